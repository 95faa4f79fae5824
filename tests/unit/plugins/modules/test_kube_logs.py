from __future__ import annotations

import base64

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import ApiError, Ref
from ansible_collections.railiance.stack.plugins.module_utils._pods import seconds
from ansible_collections.railiance.stack.plugins.modules.kube_logs import ARGUMENT_SPEC, work
from unit.fakes import FakeKube, FakeModule


def module(**params):
    defaults = {key: spec["default"] for key, spec in ARGUMENT_SPEC.items() if "default" in spec}
    return FakeModule(**{**defaults, "namespace": "shop", "label_selector": "app=shop", **params})


def pod(name, created):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "shop"}, "creationTimestamp": created},
        "spec": {"containers": [{"name": "app", "envFrom": [{"secretRef": {"name": "shop-env"}}]}]},
    }


@pytest.fixture
def kube():
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "shop-env", "namespace": "shop"},
        "data": {"SECRET_KEY": base64.b64encode(b"canary-value").decode()},
    }
    kube = FakeKube(secret, pod("shop-b", "2026-01-02T00:00:00Z"), pod("shop-a", "2026-01-01T00:00:00Z"))
    kube.pod_logs = {
        ("shop", "shop-a"): "first\nkey canary-value used\n",
        ("shop", "shop-b"): "second\n",
        ("shop", "shop-b before"): "it fell over\n",
    }
    return kube


def test_the_oldest_pod_comes_first_and_secrets_are_hidden(kube):
    result = work(module(), kube)
    assert result == {
        "changed": False,
        "logs": [
            {"pod": "shop-a", "container": "app", "lines": ["first", "key ******** used"]},
            {"pod": "shop-b", "container": "app", "lines": ["second"]},
        ],
    }
    assert kube.writes == []


def test_what_a_crash_left(kube):
    kube.errors[("logs", Ref("v1", "Pod", "shop-a", "shop"))] = ApiError("no previous container", status=400)
    logs = work(module(previous=True), kube)["logs"]
    assert [one["lines"] for one in logs] == [[], ["it fell over"]]


def test_a_container_can_be_chosen(kube):
    assert work(module(container="sidecar"), kube)["logs"] == []


@pytest.mark.parametrize(("text", "expected"), [("", None), ("90", 90), ("90s", 90), ("10m", 600), ("1d", 86400)])
def test_spans_of_time(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["5x", "m", "-1m", "1 h"])
def test_what_is_no_span_of_time_is_refused(text):
    with pytest.raises(StackError) as error:
        seconds(text)
    assert str(error.value) == f"since: '{text}' is no span of time. Write it like 90s, 10m, 2h or 1d."
