from __future__ import annotations

from ansible_collections.railiance.stack.plugins.modules.argocd_info import work
from unit.fakes import FakeKube, FakeModule

READY = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


def deployment(name, status, image="quay.io/argoproj/argocd:v3.1.0"):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "argocd", "labels": {"app.kubernetes.io/part-of": "argocd"}},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "c", "image": image}]}}},
        "status": status,
    }


APPLICATION = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Application",
    "metadata": {"name": "shop", "namespace": "argocd"},
    "status": {
        "health": {"status": "Degraded"},
        "sync": {"status": "OutOfSync", "revision": "4f2c1a9"},
        "conditions": [{"type": "ComparisonError", "message": "no such repository"}],
    },
}


def report(*objects, **options):
    return work(FakeModule(), FakeKube(*objects, **options))["report"]


def test_absent_is_a_fine_answer():
    other = deployment("web", READY)
    other["metadata"]["labels"] = {}
    assert report(other, missing_kinds=["Application"]) == {
        "state": "absent",
        "namespace": "",
        "version": "",
        "components": [],
        "applications": [],
    }


def test_components_and_applications_are_reported():
    found = report(deployment("argocd-redis", READY, "redis:7"), deployment("argocd-server", READY), APPLICATION)
    assert (found["state"], found["namespace"], found["version"]) == ("healthy", "argocd", "v3.1.0")
    assert [entry["name"] for entry in found["components"]] == ["argocd-redis", "argocd-server"]
    assert found["applications"] == [
        {
            "name": "shop",
            "namespace": "argocd",
            "health": "Degraded",
            "sync": "OutOfSync",
            "revision": "4f2c1a9",
            "message": "no such repository",
        }
    ]


def test_a_component_that_is_not_ready_degrades_it():
    assert report(deployment("argocd-server", {}))["state"] == "degraded"
