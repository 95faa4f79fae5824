"""release_trial over an in-memory cluster, with a real server on this machine in the place of the pod."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._jobs import TRIAL, job_labels, sweep
from ansible_collections.railiance.stack.plugins.modules.release_trial import work
from unit.fake_jobs import SERVES, play_job
from unit.fakes import FakeKube, FakeModule

CHECKS = [{"path": "/health/"}, {"path": "/prices/"}]


def deployment(port, **changes):
    container = {
        "name": "app",
        "image": "registry/shop:1",
        "command": ["serve", "$(PORT)"],
        "args": ["--fast"],
        "ports": [{"name": "http", "containerPort": port}],
        "readinessProbe": {"httpGet": {"path": "/health/", "port": "http"}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 15}}},
        **changes,
    }
    claim = {"name": "media", "persistentVolumeClaim": {"claimName": "shop-media"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": "shop"}, "annotations": {"env": "7"}},
                "spec": {"containers": [container], "volumes": [claim], "terminationGracePeriodSeconds": 60},
            }
        },
    }


def try_it(kube, wanted, check=False, timeout=10):
    options = {"app": "shop", "deployment": wanted, "public_host": "shop.example.org", "checks": CHECKS}
    return work(FakeModule(check, **options, wait_timeout=timeout), kube)


def cluster(*objects, **played):
    kube = FakeKube({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}, *objects)
    play_job(kube, "", **played)
    return kube


def test_the_pod_is_the_one_to_come_without_a_service_that_knows_it(server):
    kube = cluster(deployment(server.server_port))
    done = try_it(kube, deployment(server.server_port, image="registry/shop:2"))
    assert (done["asked"], done["changed"], [one["ok"] for one in done["outcomes"]]) == (True, False, [True, True])
    [job] = kube.jobs
    pod = job["spec"]["template"]
    [container] = pod["spec"]["containers"]
    assert container == {
        "name": "app",
        "image": "registry/shop:2",
        "command": ["serve", "$(PORT)"],
        "args": ["--fast"],
        "env": [],
    }
    assert pod["metadata"] == {"labels": job_labels("shop", TRIAL), "annotations": {"env": "7"}}
    assert (pod["spec"]["restartPolicy"], pod["spec"]["terminationGracePeriodSeconds"]) == ("Never", 1)
    # Of a volume that is still to be made nothing can be read.
    assert pod["spec"]["volumes"] == [{"name": "media", "emptyDir": {}}]
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (0, 60)
    assert not any(ref.kind == "Job" for ref in kube.objects)


def test_nothing_is_started_where_no_pod_is_to_come(server):
    wanted = deployment(server.server_port)
    for kube in (cluster(), cluster(copy.deepcopy(wanted))):
        assert try_it(kube, wanted) == {"changed": False, "asked": False}
        assert kube.jobs == []


def test_check_mode_says_that_it_would_be_asked(server):
    kube = cluster(deployment(server.server_port))
    assert try_it(kube, deployment(1), check=True) == {"changed": False, "asked": True}
    assert (kube.jobs, server.seen) == ([], [])


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"phase": "Pending"}, "was not ready within 0 s. It logged: ERROR out of cheese"),
        (SERVES, "/health/: status 503, expected 200. It logged: ERROR out of cheese"),
    ],
)
def test_a_pod_that_does_not_serve_in_time_says_why(server, status, told):
    server.statuses["/health/"] = 503
    kube = cluster(deployment(server.server_port), trial=(status, "starting\nERROR out of cheese\n"))
    with pytest.raises(StackError) as caught:
        try_it(kube, deployment(server.server_port, image="registry/shop:2"), timeout=0)
    assert told in caught.value.message
    assert caught.value.result["suspicious"] == ["ERROR out of cheese"]
    assert not any(ref.kind == "Job" for ref in kube.objects)


def test_a_pod_on_trial_that_a_killed_run_left_goes_with_the_next_release():
    kube = FakeKube({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    for name, purpose in (("trial", TRIAL), ("look", "management-command")):
        meta = {"name": name, "namespace": "shop", "labels": job_labels("shop", purpose)}
        kube.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta})
    assert sweep(kube, "shop", "shop") == ["trial"]
