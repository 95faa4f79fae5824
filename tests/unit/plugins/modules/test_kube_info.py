from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._kube import Ref
from ansible_collections.railiance.stack.plugins.modules.kube_info import work
from unit.fakes import FakeKube, FakeModule

SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "s", "namespace": "n"},
    "data": {"password": "Y2FuYXJ5"},
}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}


def look(**params):
    options = {"api_version": "v1", "kind": "Secret", "name": None, "namespace": None, "label_selector": None}
    kube = FakeKube(NAMESPACE, SECRET)
    result = work(FakeModule(**{**options, **params}), kube)
    assert kube.writes == []
    return result["resources"]


@pytest.mark.parametrize("how", [{"name": "s", "namespace": "n"}, {"namespace": "n"}, {}])
def test_values_of_secrets_are_hidden(how):
    [found] = look(**how)
    assert Ref.of(found) == Ref("v1", "Secret", "s", "n")
    assert found["data"] == {"password": "********"}


def test_what_does_not_exist_is_an_empty_answer():
    assert look(name="other", namespace="n") == []
    assert look(kind="Cluster", api_version="postgresql.cnpg.io/v1") == []
