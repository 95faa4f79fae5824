"""kube_secret against a real cluster: create, modify, delete, each foretold, done and repeated."""

from __future__ import annotations

import pytest

NAMESPACE = "it-kube-secret"


@pytest.fixture(autouse=True, scope="module")
def _namespace(kubectl):
    kubectl(f"create namespace {NAMESPACE}")
    yield
    kubectl(f"delete namespace {NAMESPACE}")


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({"data": {"password": {"generate": 24}}}, id="create"),
        pytest.param({"data": {"password": {"generate": 24}}, "secret_data": {"user": "shop"}}, id="modify"),
    ],
)
def test_foretold_done_repeated(task, kubectl, wanted):
    arguments = {"name": "login", "namespace": NAMESPACE, **wanted}
    foretold = task("kube_secret", check=True, **arguments)
    done = task("kube_secret", **arguments)
    again = task("kube_secret", **arguments)
    assert [foretold["changed"], done["changed"], again["changed"]] == [True, True, False], (foretold, done, again)
    assert foretold["plan"] == done["plan"]
    keys = kubectl(f"get secret login -n {NAMESPACE} -o json")["data"]
    assert set(keys) == {*wanted["data"], *wanted.get("secret_data", {})}
