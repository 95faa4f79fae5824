from __future__ import annotations

import time

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Ref, Timeout
from ansible_collections.railiance.stack.plugins.module_utils._ready import (
    condition_test,
    pod_problems,
    readiness,
    wait_ready,
)
from unit.fakes import FakeKube


def obj(kind, spec=None, status=None, generation=2, api_version="apps/v1"):
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "x", "namespace": "n", "generation": generation},
        "spec": spec or {},
        "status": status or {},
    }


ROLLED = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        (ROLLED, True),
        ({**ROLLED, "observedGeneration": 1}, False),
        ({**ROLLED, "updatedReplicas": 0}, False),
        ({**ROLLED, "replicas": 2}, False),
        ({**ROLLED, "availableReplicas": 0}, False),
        ({}, False),
    ],
)
def test_a_deployment_is_ready_when_its_current_generation_has_rolled_out(status, ready):
    deployment = obj("Deployment", {"replicas": 1}, status)
    assert readiness(Ref.of(deployment))[1](deployment) is ready


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({"observedGeneration": 2, "readyReplicas": 1, "currentRevision": "a", "updateRevision": "a"}, True),
        ({"observedGeneration": 2, "readyReplicas": 1, "currentRevision": "a", "updateRevision": "b"}, False),
        ({"observedGeneration": 2, "currentRevision": "a", "updateRevision": "a"}, False),
    ],
)
def test_a_stateful_set_is_ready_when_its_revision_has_rolled_out(status, ready):
    stateful = obj("StatefulSet", {"replicas": 1}, status)
    assert readiness(Ref.of(stateful))[1](stateful) is ready


def test_a_failed_job_ends_the_wait_with_its_cause():
    job = obj(
        "Job",
        status={"conditions": [{"type": "Failed", "status": "True", "message": "Job has reached the backoff limit"}]},
        api_version="batch/v1",
    )
    with pytest.raises(StackError) as caught:
        readiness(Ref.of(job))[1](job)
    assert str(caught.value) == (
        "Job n/x failed: Job has reached the backoff limit. Read its log with: kubectl logs job/x -n n"
    )


def test_a_kind_that_only_has_to_exist_has_no_test():
    assert readiness(Ref("v1", "ConfigMap", "c", "n")) is None


def test_a_condition_of_an_older_generation_does_not_count():
    what, ready = condition_test({"type": "Ready"}, None, None)
    condition = {"type": "Ready", "status": "True", "observedGeneration": 1}
    assert what == "reach the condition Ready=True"
    assert not ready(obj("Issuer", status={"conditions": [condition]}))
    assert ready(obj("Issuer", status={"conditions": [{**condition, "observedGeneration": 2}]}))


def test_a_path_may_lead_through_lists_and_end_nowhere():
    what, ready = condition_test(None, "status.addresses.0.ip", "10.0.0.1")
    assert what == "reach status.addresses.0.ip = '10.0.0.1'"
    assert ready(obj("Service", status={"addresses": [{"ip": "10.0.0.1"}]}))
    assert not ready(obj("Service", status={"addresses": []}))
    assert not ready(obj("Service"))


def test_a_timeout_names_what_the_pods_are_stuck_at():
    deployment = obj("Deployment", {"replicas": 1, "selector": {"matchLabels": {"app": "x"}}})
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x-1", "namespace": "n", "labels": {"app": "x"}},
        "status": {
            "containerStatuses": [
                {"name": "web", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
            ]
        },
    }
    kube = FakeKube(deployment, pod)
    with pytest.raises(Timeout) as caught:
        wait_ready(kube, Ref.of(deployment), "become available", lambda obj: False, time.monotonic(), 30)
    assert str(caught.value) == (
        "Deployment n/x did not become available within 30 s: Pod x-1, container web: ImagePullBackOff (not found)."
        " Look at it with: kubectl describe deployment x -n n"
    )


def test_a_timeout_names_the_condition_that_fails_and_the_given_next_step():
    issuer = obj(
        "ClusterIssuer",
        status={
            "conditions": [
                {"type": "Ready", "status": "False", "message": "Failed to register ACME account: no such host."}
            ]
        },
    )
    with pytest.raises(Timeout) as caught:
        wait_ready(FakeKube(issuer), Ref.of(issuer), "get ready", lambda obj: False, 0, 60, "Check the server.")
    assert str(caught.value) == (
        "ClusterIssuer n/x did not get ready within 60 s: Ready=False, Failed to register ACME account: no such host."
        " Check the server."
    )


def test_a_missing_object_is_called_missing():
    with pytest.raises(Timeout) as caught:
        wait_ready(FakeKube(), Ref("v1", "Pod", "p", "n"), "get ready", lambda obj: True, 0, 5)
    assert str(caught.value) == (
        "Pod n/p did not get ready within 5 s: it does not exist. Look at it with: kubectl describe pod p -n n"
    )


def test_pods_say_that_they_cannot_be_scheduled_or_crashed():
    pod = obj(
        "Pod",
        status={
            "conditions": [{"type": "PodScheduled", "status": "False", "message": "Insufficient memory"}],
            "containerStatuses": [
                {
                    "name": "web",
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
                }
            ],
        },
        api_version="v1",
    )
    assert pod_problems(pod) == [
        "Pod x cannot be scheduled (Insufficient memory)",
        "Pod x, container web: CrashLoopBackOff",
        "Pod x, container web: ended with 3 (Error)",
    ]
