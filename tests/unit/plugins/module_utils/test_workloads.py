from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._kube import Ref
from ansible_collections.railiance.stack.plugins.module_utils._workloads import restart, users, uses_secret
from unit.fakes import FakeKube

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


def template(**container):
    return {"spec": {"containers": [container]}}


@pytest.mark.parametrize(
    "pod",
    [
        template(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}]),
        template(envFrom=[{"secretRef": {"name": "db"}}]),
        {"spec": {"initContainers": [{"envFrom": [{"secretRef": {"name": "db"}}]}], "containers": [{}]}},
        {"spec": {"containers": [{}], "volumes": [{"secret": {"secretName": "db"}}]}},
        {"spec": {"containers": [{}], "volumes": [{"projected": {"sources": [{"secret": {"name": "db"}}]}}]}},
    ],
    ids=["env", "envFrom", "init container", "volume", "projected volume"],
)
def test_every_way_to_use_a_secret(pod):
    assert uses_secret(pod, "db") is True
    assert uses_secret(pod, "other") is False


@pytest.mark.parametrize(
    "pod",
    [
        {},
        template(env=[{"name": "db", "value": "db"}, {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "db"}}}]),
        template(envFrom=[{"configMapRef": {"name": "db"}}]),
        {"spec": {"containers": [{}], "volumes": [{"configMap": {"name": "db"}}]}},
    ],
)
def test_what_is_no_secret(pod):
    assert uses_secret(pod, "db") is False


def workload(kind, name, pod, **meta):
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"replicas": 1, "template": {**pod, "metadata": meta}},
    }


def test_users_and_their_restart():
    uses = template(envFrom=[{"secretRef": {"name": "db"}}])
    kube = FakeKube(
        NAMESPACE,
        workload("Deployment", "web", uses, annotations={"secret.railiance.io/db": "1", "kept": "yes"}),
        workload("StatefulSet", "queue", uses),
        workload("Deployment", "other", template(envFrom=[{"secretRef": {"name": "else"}}])),
    )
    found = users(kube, "shop", "db")
    assert [(str(user.ref), user.version, user.ready) for user in found] == [
        ("Deployment shop/web", "1", False),
        ("StatefulSet shop/queue", "", False),
    ]
    restart(kube, found[0], "db", "2")
    annotations = kube.objects[Ref("apps/v1", "Deployment", "web", "shop")]["spec"]["template"]["metadata"]
    assert annotations == {"annotations": {"secret.railiance.io/db": "2", "kept": "yes"}}
    assert kube.written == ["patch Deployment shop/web"]
