from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._jobs import Clock
from ansible_collections.railiance.stack.plugins.module_utils._pull_proof import build_pod, prove, pull_hint
from unit.fakes import FakeKube

IMAGE = "forge.test/apps/site@sha256:1"
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gitea"}}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull", "namespace": "gitea"}}


class Ticks:
    """Time that passes only by waiting."""

    def __init__(self):
        self.time = 0.0

    def clock(self):
        return Clock(lambda: self.time, self.wait)

    def wait(self, seconds):
        self.time += seconds


def cluster(**status):
    """A cluster whose kubelet reports this container status of every pod."""

    def kubelet(kube, verb, ref):
        if verb == "create" and ref.kind == "Pod":
            pod = kube.objects[ref]
            kube.put({**pod, "status": {"containerStatuses": [status]}, "spec": {**pod["spec"], "nodeName": "node1"}})

    kube = FakeKube(NAMESPACE, SECRET)
    kube.on_write = kubelet
    return kube


def test_a_pulled_image_is_the_runtime_s_word_and_the_pod_is_gone():
    kube = cluster(imageID=IMAGE)
    proof = prove(kube, IMAGE, "gitea", "pull", clock=Ticks().clock()).as_dict()
    assert proof == {"pulled": True, "node": "node1", "image_id": IMAGE, "seconds": 0.0, "pull_secret": "pull"}
    assert [verb for verb, _ref in kube.writes] == ["create", "delete"]


def test_a_refused_pull_is_given_a_moment_and_then_said():
    kube, ticks = cluster(state={"waiting": {"reason": "ErrImagePull", "message": "401 Unauthorized."}}), Ticks()
    with pytest.raises(StackError) as raised:
        prove(kube, IMAGE, "gitea", clock=ticks.clock())
    assert str(raised.value) == (
        f"The cluster cannot pull {IMAGE}: 401 Unauthorized. Give a valid Secret in pull_proof.pull_secret."
    )
    assert ticks.time >= 8
    assert kube.writes[-1][0] == "delete"


def test_a_pull_that_takes_too_long():
    kube = cluster(state={"waiting": {"reason": "ContainerCreating"}})
    with pytest.raises(StackError, match=r"did not pull .* within 5 s"):
        prove(kube, IMAGE, "gitea", timeout=5, clock=Ticks().clock())
    assert kube.writes[-1][0] == "delete"


def test_a_secret_that_is_missing_is_asked_for_before_a_pod_is_made():
    kube = FakeKube(NAMESPACE)
    with pytest.raises(NeedsOperator, match="Secret gitea/pull is missing"):
        prove(kube, IMAGE, "gitea", "pull", clock=Ticks().clock())
    assert kube.writes == []


def test_the_pod_asks_the_registry_and_runs_nothing():
    spec = build_pod(IMAGE, "gitea")["spec"]
    assert spec["containers"][0]["imagePullPolicy"] == "Always"
    assert "imagePullSecrets" not in spec
    assert build_pod(IMAGE, "gitea", "pull")["spec"]["imagePullSecrets"] == [{"name": "pull"}]


def test_hints():
    assert "s2_cluster" in pull_hint("x509: certificate signed by unknown authority")
    assert "push it again" in pull_hint("manifest not found")
    assert "containerd" in pull_hint("something new")
