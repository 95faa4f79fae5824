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


def test_what_is_no_longer_given_goes_and_the_version_is_foretold(task, kubectl):
    fewer = {"name": "login", "namespace": NAMESPACE, "data": {"password": {"generate": 24}}}
    foretold = task("kube_secret", check=True, **fewer)
    done = task("kube_secret", **fewer)
    assert (foretold["changed"], foretold["version"]) == (True, done["version"])
    assert set(kubectl(f"get secret login -n {NAMESPACE} -o json")["data"]) == {"password"}
