from __future__ import annotations

import base64

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.railiance.stack.plugins.action.helm_release import pack


def test_a_chart_is_packed_with_its_folders(tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("name: x")
    (tmp_path / "templates" / "a.yaml").write_text("a: 1")
    assert pack(tmp_path) == {
        "Chart.yaml": base64.b64encode(b"name: x").decode(),
        "templates/a.yaml": base64.b64encode(b"a: 1").decode(),
    }


def test_a_folder_without_a_chart_is_named(tmp_path):
    with pytest.raises(AnsibleActionFail) as caught:
        pack(tmp_path)
    assert str(caught.value) == (
        f"There is no chart at {tmp_path} on the controller (no Chart.yaml). Set remote_src if it lies on the node."
    )
