from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._picture import (
    KINDS,
    checks,
    checks_of,
    healthy,
    table,
    take,
)
from ansible_collections.railiance.stack.plugins.modules.stack_info import work
from unit.fakes import FakeModule


class Cluster:
    """Answers LIST calls from a dict of kind to objects and remembers what was asked."""

    def __init__(self, objects):
        self.objects = objects
        self.asked = []

    def find(self, api_version, kind, namespace=None, label_selector=None):
        self.asked.append(kind)
        return self.objects.get(kind, [])


def condition(ok, message="", type_="Ready"):
    return {"conditions": [{"type": type_, "status": "True" if ok else "False", "message": message}]}


def workload(name, namespace, ready=1, replicas=1):
    return {
        "metadata": {"name": name, "namespace": namespace, "generation": 2},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": 2, "readyReplicas": ready, "updatedReplicas": ready},
    }


def world():
    return {
        "Node": [{"metadata": {"name": "node1"}, "status": condition(True)}],
        "Deployment": [
            workload("coredns", "kube-system"),
            workload("gitea", "gitea"),
            workload("shop", "shop"),
        ],
        "StatefulSet": [workload("valkey", "platform")],
        "ClusterIssuer": [{"metadata": {"name": "letsencrypt-prod"}, "status": condition(True)}],
        "Certificate": [{"metadata": {"name": "shop-tls", "namespace": "shop"}, "status": condition(True)}],
        "Ingress": [
            {"metadata": {"name": "shop", "namespace": "shop"}, "spec": {"rules": [{"host": "shop.example.org"}]}}
        ],
        "Cluster": [
            {
                "metadata": {"name": "apps-pg", "namespace": "databases"},
                "spec": {"instances": 1},
                "status": {"phase": "Cluster in healthy state", "readyInstances": 1},
            }
        ],
        "Database": [
            {
                "metadata": {
                    "name": "shop",
                    "namespace": "databases",
                    "labels": {"app.kubernetes.io/instance": "shop"},
                },
                "status": {"applied": True},
            }
        ],
    }


APPS = [{"name": "shop", "namespace": "shop"}]


def failing(objects):
    return [(c.name, c.detail) for c in checks(take(Cluster(objects)), APPS) if not c.ok]


def test_each_kind_is_listed_once():
    cluster = Cluster(world())
    take(cluster)
    assert cluster.asked == [kind for unused, kind in KINDS.values()]


def test_a_healthy_stack_has_no_failing_check():
    found = checks(take(Cluster(world())), APPS)
    assert healthy(found)
    assert [c.name for c in found if not c.ok] == []
    assert {c.layer for c in found} == {"S2", "S3", "S5"}


def test_an_empty_cluster_names_what_is_missing():
    assert failing({}) == [
        ("Node", "the cluster has no node"),
        ("ClusterIssuer", "there is none"),
        ("Deployment gitea/gitea", "does not exist"),
        ("Deployment shop/shop", "does not exist"),
    ]


def test_a_pod_that_is_not_ready_is_seen():
    objects = world()
    objects["Deployment"][2] = workload("shop", "shop", ready=0)
    assert failing(objects) == [("Deployment shop/shop", "0/1 ready")]


def test_a_rollout_that_has_not_been_observed_is_not_healthy():
    objects = world()
    objects["Deployment"][2]["metadata"]["generation"] = 3
    assert failing(objects) == [("Deployment shop/shop", "1/1 ready")]


def test_a_database_that_was_not_applied_says_why():
    objects = world()
    objects["Database"][0]["status"] = {"applied": False, "message": "role does not exist"}
    assert failing(objects) == [("Database databases/shop", "role does not exist")]


def test_a_strangers_failing_certificate_is_reported_and_does_not_block():
    objects = world()
    objects["Certificate"].append(
        {"metadata": {"name": "old", "namespace": "legacy"}, "status": condition(False, "DNS problem")}
    )
    found = checks(take(Cluster(objects)), APPS)
    assert [(c.name, c.detail, c.required) for c in found if not c.ok] == [
        ("Certificate legacy/old", "DNS problem", False)
    ]
    assert healthy(found)


def test_the_table_has_a_line_a_check():
    lines = table(checks(take(Cluster({})), APPS))
    assert lines[0] == "S2  FAIL  Node                    the cluster has no node"
    assert len(lines) == 4


def cronjob(**parts):
    labels = {"app.kubernetes.io/instance": "shop"}
    spec = {"schedule": "17 3 * * *", **parts.pop("spec", {})}
    return {"metadata": {"name": "shop-tidy", "namespace": "shop", "labels": labels}, "spec": spec, "status": parts}


@pytest.mark.parametrize(
    ("obj", "ok", "detail"),
    [
        (cronjob(), True, "has not run yet"),
        (cronjob(spec={"suspend": True}, lastScheduleTime="2026-01-02T03:17:00Z"), True, "suspended"),
        (cronjob(lastScheduleTime="2026-01-02T03:17:00Z", active=[{}]), True, "runs now"),
        (
            cronjob(lastScheduleTime="2026-01-02T03:17:00Z", lastSuccessfulTime="2026-01-02T03:17:04Z"),
            True,
            "last run succeeded at 2026-01-02T03:17:04Z",
        ),
        (
            cronjob(lastScheduleTime="2026-01-02T03:17:00Z", lastSuccessfulTime="2026-01-01T03:17:04Z"),
            False,
            "the run of 2026-01-02T03:17:00Z did not succeed",
        ),
    ],
)
def test_the_last_run_of_a_schedule_is_seen(obj, ok, detail):
    found = checks(take(Cluster({**world(), "CronJob": [obj]})), [{"name": "shop", "namespace": "shop"}])
    [check] = [one for one in found if one.name == "CronJob shop/shop-tidy"]
    assert (check.ok, check.detail) == (ok, f"{detail} (17 3 * * *)")
    assert healthy(found) is ok


def of_shop(objects):
    return checks_of(take(Cluster(objects)), APPS[0])


def test_one_application_is_looked_at_without_its_neighbours():
    objects = world()
    objects["Deployment"].append(workload("other", "other", ready=0))
    objects["Node"] = []
    objects["Database"][0]["spec"] = {"cluster": {"name": "apps-pg"}}
    objects["Cluster"].append({"metadata": {"name": "gitea-db", "namespace": "databases"}})
    found = of_shop(objects)
    assert healthy(found)
    assert [c.name for c in found] == [
        "Cluster databases/apps-pg",
        "Deployment shop/shop",
        "Certificate shop/shop-tls",
        "Ingress shop/shop",
        "Database databases/shop",
    ]
    objects["Cluster"][0]["status"]["readyInstances"] = 0
    assert not healthy(of_shop(objects))


def test_what_another_application_has_in_the_same_namespace_is_not_its_own():
    objects = world()
    labels = {"app.kubernetes.io/instance": "other"}
    strange = {"metadata": {"name": "other-tls", "namespace": "shop", "labels": labels}, "status": condition(False)}
    objects["Certificate"].append(strange)
    assert healthy(of_shop(objects))


def test_a_certificate_says_until_when_it_is_valid():
    objects = world()
    objects["Certificate"][0]["status"]["notAfter"] = "2027-02-20T10:00:00Z"
    [check] = [c for c in of_shop(objects) if c.name.startswith("Certificate")]
    assert check.detail == "Ready, valid until 2027-02-20T10:00:00Z"


def test_a_crashing_pod_says_why():
    objects = world()
    labels = {"app.kubernetes.io/name": "shop"}
    objects["Deployment"][2] = workload("shop", "shop", ready=0)
    objects["Deployment"][2]["spec"]["selector"] = {"matchLabels": labels}
    container = {
        "name": "app",
        "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }
    pod = {"metadata": {"name": "shop-1", "namespace": "shop", "labels": {**labels, "a": "b"}}}
    objects["Pod"] = [
        {**pod, "status": {"containerStatuses": [container]}},
        {"metadata": {"name": "x", "namespace": "y", "labels": labels}, "status": {"containerStatuses": [container]}},
    ]
    assert [c.detail for c in of_shop(objects) if not c.ok] == [
        "0/1 ready; started again 4 times; Pod shop-1, container app: CrashLoopBackOff;"
        " Pod shop-1, container app: ended with 137 (OOMKilled)"
    ]


def test_an_application_that_nobody_named_is_refused_with_those_that_were():
    module = FakeModule(apps=[{"name": "shop", "namespace": None}], only="sohp")
    with pytest.raises(StackError, match="There is no application sohp among the given ones") as caught:
        work(module, Cluster(world()))
    assert caught.value.hint == "There are: shop."
