from __future__ import annotations

import getpass
import subprocess

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.modules import git_remote
from unit.fakes import FakeModule


@pytest.fixture
def options(tmp_path):
    path = tmp_path / "copy"
    subprocess.run(["git", "init", "--quiet", str(path)], check=True)
    entry = {"path": str(path), "url": "/nowhere.git", "name": "origin", "push": True, "remote_is_new": False}
    return {"user": getpass.getuser(), "repositories": [entry]}


def test_a_remote_that_does_not_answer_is_an_error_and_in_check_mode_a_warning(options):
    with pytest.raises(StackError, match=r"/nowhere\.git does not answer"):
        git_remote.look(FakeModule(**options))
    module = FakeModule(check_mode=True, **options)
    assert [step.action for step in git_remote.look(module).plan.steps] == ["create"]
    assert "What it lacks is known once it answers." in module.warnings[0]


def test_a_new_remote_is_left_out_in_check_mode_only(options):
    options["repositories"][0]["remote_is_new"] = True
    module = FakeModule(check_mode=True, **options)
    assert git_remote.look(module).plan.changed
    assert module.warnings == []
    with pytest.raises(StackError, match=r"/nowhere\.git does not answer"):
        git_remote.look(FakeModule(**options))
