from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator
from ansible_collections.railiance.stack.plugins.modules import gitea_image_push
from unit.fakes import FakeModule

OPTIONS = {
    "registry": "forge.test",
    "repository": "apps/site",
    "tags": ["0d1c5f7a9f3b", "latest"],
    "source": "containers-storage:localhost/site:1",
    "token_secret": {"namespace": "gitea", "name": "gitea-bot-token"},
    "token_file": None,
    "ca_file": None,
    "address": None,
}


@pytest.fixture
def no_secret(monkeypatch):
    def missing(options, read):
        raise NeedsOperator("Secret gitea/gitea-bot-token is missing.")

    monkeypatch.setattr(gitea_image_push, "login_of", missing)


def test_without_its_secret_a_prediction_takes_the_registry_for_empty(no_secret):
    module = FakeModule(check_mode=True, **OPTIONS)
    work = gitea_image_push.work(module)
    assert [s["target"] for s in work.plan.describe()] == [
        "image forge.test/apps/site:0d1c5f7a9f3b",
        "image forge.test/apps/site:latest",
    ]
    assert work.result["exists"] is False
    assert module.warnings == ["Secret gitea/gitea-bot-token is missing. The registry is taken for empty."]
    assert not gitea_image_push.work(FakeModule(check_mode=True, **{**OPTIONS, "source": None})).plan.changed


def test_without_its_secret_a_run_stops(no_secret):
    with pytest.raises(NeedsOperator):
        gitea_image_push.work(FakeModule(**OPTIONS))
