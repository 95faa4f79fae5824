from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Ref, Timeout
from ansible_collections.railiance.stack.plugins.module_utils._pods import RESTARTED_AT
from ansible_collections.railiance.stack.plugins.modules.kube_restart import ARGUMENT_SPEC, work
from unit.fakes import FakeKube, FakeModule

REF = Ref("apps/v1", "Deployment", "shop", "shop")
LABELS = {"app": "shop"}


def module(check_mode=False, **params):
    defaults = {key: spec["default"] for key, spec in ARGUMENT_SPEC.items() if "default" in spec}
    return FakeModule(check_mode, **{**defaults, "name": "shop", "namespace": "shop", **params})


def deployment(**status):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}}},
        "status": status,
    }


def pod(name, created="2026-01-01T00:00:00Z", ready="True", **meta):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": LABELS, "creationTimestamp": created, **meta},
        "spec": {"containers": [{"name": "app"}]},
        "status": {
            "startTime": created,
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "app", "restartCount": 2}],
        },
    }


def cluster(rolls_out=True):
    """A Deployment with one pod, and a controller that replaces it when the template changes."""
    kube = FakeKube(deployment(), pod("shop-old"))

    def controller(kube, verb, ref):
        if verb == "patch" and rolls_out:
            kube.objects.pop(Ref("v1", "Pod", "shop-old", "shop"), None)
            kube.put(pod("shop-new", "2026-01-02T00:00:00Z"))
            live = kube.objects[REF]
            live["status"] = {
                "observedGeneration": live["metadata"]["generation"],
                "replicas": 1,
                "updatedReplicas": 1,
                "availableReplicas": 1,
            }

    kube.on_write = controller
    return kube


def annotations(kube):
    return kube.objects[REF]["spec"]["template"]["metadata"].get("annotations") or {}


def test_new_pods_take_the_place_of_the_old_ones():
    kube = cluster()
    result = work(module(), kube)
    assert result["changed"] is True
    assert result["old_pods"] == [{"name": "shop-old", "ready": True, "started": "2026-01-01T00:00:00Z", "restarts": 2}]
    assert [one["name"] for one in result["new_pods"]] == ["shop-new"]
    assert kube.written == ["patch Deployment shop/shop"]


def test_two_restarts_are_two():
    kube = cluster()
    work(module(), kube)
    first = annotations(kube)[RESTARTED_AT]
    work(module(), kube)
    assert annotations(kube)[RESTARTED_AT] > first


def test_check_mode_restarts_nothing():
    kube = cluster()
    result = work(module(check_mode=True), kube)
    assert (result["changed"], result["new_pods"], kube.writes, kube.dry_runs) == (True, [], [], [])
    assert result["plan"] == [{"action": "update", "target": "Deployment shop/shop", "note": "new pods"}]


def test_pods_on_their_way_out_do_not_count():
    kube = cluster()
    kube.put(pod("shop-leaving", deletionTimestamp="2026-01-01T00:00:01Z"))
    assert [one["name"] for one in work(module(), kube)["old_pods"]] == ["shop-old"]


def test_an_absent_workload_is_named():
    with pytest.raises(StackError) as error:
        work(module(), FakeKube())
    assert str(error.value) == (
        "Deployment shop/shop does not exist. Deploy the application first, or correct its name."
    )


def test_pods_that_do_not_come_are_an_error():
    with pytest.raises(Timeout, match=r"Deployment shop/shop did not become available within 0 s"):
        work(module(wait_timeout=0), cluster(rolls_out=False))
