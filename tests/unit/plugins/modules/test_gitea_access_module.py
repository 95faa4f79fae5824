from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._gitea import find_pod
from ansible_collections.railiance.stack.plugins.module_utils._kube import Completed
from ansible_collections.railiance.stack.plugins.modules import gitea_access
from unit.fakes import FakeKube, FakeModule

LABELS = {"app.kubernetes.io/name": "gitea"}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gitea"}}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "gitea", "namespace": "gitea"},
    "spec": {"selector": {"matchLabels": LABELS}},
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "gitea-ssh", "namespace": "gitea"},
    "spec": {"ports": [{"port": 22, "nodePort": 30022}]},
}
OPTIONS = {
    "api_url": "https://gitea.test/",
    "ca_file": None,
    "address": None,
    "namespace": "gitea",
    "deployment": "gitea",
    "container": "gitea",
    "ssh_service": "gitea-ssh",
    "admin_secret": {"namespace": None, "name": "gitea-admin"},
    "admin_username": "gitea_admin",
    "reset_admin": False,
    "organisations": [{"name": "apps", "visibility": None, "full_name": None, "description": "x"}],
    "repositories": [
        {"organisation": "apps", "name": "site", "private": None, "default_branch": None, "description": None}
    ],
    "ssh_keys": [{"user": None, "title": "node1", "key": "ssh-ed25519 AAAA x", "path": None}],
    "bot": {
        "username": "stack-bot",
        "team": "automation",
        "token_secret": {"namespace": None, "name": "gitea-bot-token"},
        "pull_secret": {"namespace": "other", "name": "gitea-pull"},
        "scopes": ["write:package"],
    },
}


def pod(ready="True", **metadata):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "gitea-1", "namespace": "gitea", "labels": LABELS, **metadata},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def test_the_options_become_the_wanted_state_without_what_was_not_given():
    wanted = gitea_access.wanted_from(OPTIONS)
    assert wanted.organisations == {"apps": {"description": "x"}}
    assert wanted.repositories == {("apps", "site"): {}}
    assert wanted.ssh_keys[0].user == "stack-bot"
    assert [(str(t.secret.ref), t.scopes, t.registry) for t in wanted.bot.tokens] == [
        ("Secret gitea/gitea-bot-token", ["write:package"], ""),
        ("Secret other/gitea-pull", ["read:package"], "gitea.test"),
    ]


def test_a_key_without_an_owner_is_refused():
    with pytest.raises(StackError, match="SSH key node1 belongs to nobody"):
        gitea_access.wanted_from({**OPTIONS, "bot": None})


def test_check_mode_on_a_server_without_gitea_predicts_and_returns_no_port():
    kube = FakeKube()
    result = gitea_access.work(FakeModule(check_mode=True, **OPTIONS), kube)
    assert result["changed"]
    assert not result["deployed"]
    assert len(result["plan"]) == len(result["diff"]) == 10
    assert result["ssh"] == {"host": "gitea.test", "port": None, "host_keys": []}
    assert kube.writes == kube.commands == []


def test_a_gitea_that_is_down_is_an_error_and_in_check_mode_a_warning():
    for pods in ([], [pod("False")], [pod(deletionTimestamp="2026-01-01T00:00:00Z")]):
        kube = FakeKube(NAMESPACE, DEPLOYMENT, SERVICE, *pods)
        with pytest.raises(StackError, match=r"Deployment gitea/gitea has no ready pod"):
            gitea_access.work(FakeModule(**OPTIONS), kube)
        module = FakeModule(check_mode=True, **OPTIONS)
        result = gitea_access.work(module, kube)
        assert (result["changed"], result["deployed"], result["ssh"]["port"]) == (False, True, 30022)
        assert module.warnings == ["Deployment gitea/gitea has no ready pod. What it lacks is known once it runs."]


def test_host_keys_are_read_in_the_ready_pod():
    kube = FakeKube(NAMESPACE, DEPLOYMENT, pod())
    kube.on_exec = lambda namespace, name, command, stdin: Completed(0, "ssh-rsa AAAA gitea\nssh-rsa AAAA again\n", "")
    assert find_pod(kube, "gitea", "gitea", "gitea").host_keys() == ["ssh-rsa AAAA"]
