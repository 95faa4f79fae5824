from __future__ import annotations

import base64
import time

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._apply import (
    Manifest,
    abridged,
    applied_by_us,
    foreign_owner,
    in_order,
    load_manifests,
    with_namespaces,
    with_webhook_retry,
)
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import ApiError, NotServed, Ref
from unit.fakes import FakeKube

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": {"a": "1"}}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d", "namespace": "n"},
    "spec": {"replicas": 1},
}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.example.org"},
    "spec": {
        "group": "example.org",
        "names": {"kind": "Thing"},
        "scope": "Namespaced",
        "versions": [{"name": "v1", "schema": {"openAPIV3Schema": {"type": "object"}}}],
    },
}
THING = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "n"}, "spec": {}}
HELM = {
    "labels": {"app.kubernetes.io/managed-by": "Helm"},
    "annotations": {"meta.helm.sh/release-name": "cm", "meta.helm.sh/release-namespace": "infra"},
}


def owned(obj, **meta):
    return {**obj, "metadata": {**obj["metadata"], **meta}}


def plan_of(kube, *objects, **options):
    if options.pop("as_component", False):
        options["component"] = frozenset(Ref.of(obj) for obj in objects)
    manifest = Manifest(kube, in_order(objects), timeout=0, **options)
    return manifest, manifest.plan()


# -- manifests
def test_manifests_are_read_and_lists_opened(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n---\n"
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: b}}\n"
    )
    assert [obj["kind"] for obj in load_manifests([str(path)])] == ["ConfigMap", "Secret"]


def test_a_missing_file_is_named():
    with pytest.raises(StackError) as caught:
        load_manifests(["/nowhere/m.yaml"])
    assert str(caught.value) == "Could not read the manifest /nowhere/m.yaml: No such file or directory. Check src."


def test_a_document_that_is_no_object_is_named(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("kind: ConfigMap\nmetadata: {name: a}\n")
    with pytest.raises(StackError) as caught:
        load_manifests([str(path)])
    assert str(caught.value) == (
        f"Document 1 of {path} is no Kubernetes object: it needs apiVersion, kind and metadata.name."
        " Correct the manifest."
    )


def test_namespaces_and_crds_come_first_and_their_kinds_last():
    kinds = [obj["kind"] for obj in in_order([THING, DEPLOYMENT, CRD, CONFIG, NAMESPACE])]
    assert kinds == ["Namespace", "CustomResourceDefinition", "Deployment", "ConfigMap", "Thing"]


def test_a_namespaced_object_without_a_namespace_gets_the_default_one():
    kube = FakeKube(missing_kinds=["Thing", "Widget"])
    bare = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    thing = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "t"}}
    widget = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "w"}}
    found = with_namespaces(kube, [bare, NAMESPACE, CRD, thing, widget], "n")
    assert [obj["metadata"].get("namespace") for obj in found] == ["n", None, None, "n", None]
    assert "namespace" not in bare["metadata"]


# -- owners
@pytest.mark.parametrize(
    ("meta", "owner"),
    [
        ({}, ""),
        (HELM, "the Helm release infra/cm"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, ""),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/x"}}, "the Argo CD application shop"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "infra"}}, "the Flux Kustomization infra"),
        ({"annotations": {"objectset.rio.cattle.io/owner-name": "traefik"}}, "the k3s add-on traefik"),
        ({"ownerReferences": [{"kind": "ReplicaSet", "name": "r", "controller": True}]}, "ReplicaSet r"),
        ({"ownerReferences": [{"kind": "Cluster", "name": "c"}]}, ""),
    ],
)
def test_owners_are_recognised(meta, owner):
    assert foreign_owner(owned(CONFIG, **meta)) == owner


def test_an_object_of_another_owner_is_left_alone():
    kube = FakeKube(NAMESPACE, owned(CONFIG, **HELM))
    manifest, plan = plan_of(kube, {**CONFIG, "data": {"a": "2"}})
    assert plan.steps == []
    assert manifest.notes == ["ConfigMap n/c belongs to the Helm release infra/cm and is left alone."]
    assert kube.dry_runs == []


def test_an_object_of_another_owner_is_taken_when_told():
    kube = FakeKube(NAMESPACE, owned(CONFIG, **HELM))
    manifest, plan = plan_of(kube, {**CONFIG, "data": {"a": "2"}}, adopt=True)
    assert [step.target for step in plan.steps] == ["ConfigMap n/c"]
    assert manifest.notes == []


def test_a_component_of_another_owner_is_used_as_it_is():
    kube = FakeKube(NAMESPACE, owned(DEPLOYMENT, **HELM))
    manifest, plan = plan_of(kube, CONFIG, DEPLOYMENT, as_component=True)
    assert plan.steps == []
    assert manifest.notes == [
        "Deployment n/d belongs to the Helm release infra/cm: the component is used as it is, nothing of it is applied."
    ]


def test_a_component_installed_by_hand_is_used_as_it_is_without_asking_the_server_what_would_change():
    kube = FakeKube(NAMESPACE, DEPLOYMENT)
    manifest, plan = plan_of(kube, CONFIG, DEPLOYMENT, as_component=True)
    assert plan.steps == []
    assert kube.dry_runs == []
    assert manifest.notes[0].startswith("Deployment n/d belongs to whoever installed it by hand: ")


def test_objects_beside_a_component_of_another_owner_are_applied():
    kube = FakeKube(NAMESPACE, owned(DEPLOYMENT, **HELM))
    manifest, plan = plan_of(kube, CONFIG, DEPLOYMENT, component=frozenset({Ref.of(DEPLOYMENT)}))
    assert [step.target for step in plan.steps] == ["ConfigMap n/c"]
    assert len(manifest.notes) == 1


def test_a_component_that_was_applied_before_is_converged():
    kube = FakeKube(NAMESPACE)
    plan_of(kube, CONFIG, DEPLOYMENT, as_component=True)[1].execute()
    kube.writes.clear()
    newer = {**DEPLOYMENT, "spec": {"replicas": 2}}
    _, plan = plan_of(kube, CONFIG, newer, as_component=True)
    assert [step.target for step in plan.steps] == ["Deployment n/d"]


# -- plans
def test_a_second_run_changes_nothing():
    kube = FakeKube()
    _, plan = plan_of(kube, NAMESPACE, CONFIG)
    plan.execute()
    assert kube.written == ["apply Namespace n", "apply ConfigMap n/c"]
    kube.writes.clear()
    assert plan_of(kube, NAMESPACE, CONFIG)[1].steps == []
    assert kube.writes == []


def test_drift_is_shown_as_the_server_would_set_it_back():
    kube = FakeKube(NAMESPACE)
    plan_of(kube, CONFIG)[1].execute()
    kube.put({**CONFIG, "data": {"a": "by hand", "b": "kept"}})
    _, plan = plan_of(kube, CONFIG)
    assert (plan.steps[0].before["data"], plan.steps[0].after["data"]) == (
        {"a": "by hand", "b": "kept"},
        {"a": "1", "b": "kept"},
    )


def test_taking_over_the_fields_of_an_equal_object_is_a_change_that_says_so_once():
    kube = FakeKube(NAMESPACE, CONFIG)
    _, plan = plan_of(kube, CONFIG)
    assert plan.describe() == [
        {"action": "update", "target": "ConfigMap n/c", "note": "only who keeps these fields changes"}
    ]
    plan.execute()
    assert applied_by_us(kube.objects[Ref.of(CONFIG)])
    assert plan_of(kube, CONFIG)[1].steps == []


def test_objects_without_their_namespace_or_kind_are_predicted_as_written():
    kube = FakeKube(missing_kinds=["Thing"])
    _, plan = plan_of(kube, NAMESPACE, CONFIG, CRD, THING)
    assert [(step.action, step.target, step.note) for step in plan.steps] == [
        ("create", "Namespace n", ""),
        ("create", "CustomResourceDefinition things.example.org", ""),
        ("create", "ConfigMap n/c", "defaults are known once its namespace exists"),
        ("create", "Thing n/t", "defaults are known once the cluster serves this kind"),
    ]
    assert kube.writes == []


def test_secrets_are_masked_on_both_sides():
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}}
    kube = FakeKube(NAMESPACE, {**secret, "data": {"p": base64.b64encode(b"old-canary").decode()}})
    _, plan = plan_of(kube, {**secret, "stringData": {"p": "new-canary"}})
    assert plan.steps[0].before["data"] == {"p": "********"}
    assert plan.steps[0].after["data"] == {"p": "******** (changed)"}
    assert "canary" not in repr(plan.diff())


def test_a_secret_that_cannot_be_asked_of_the_server_is_masked_too():
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}}
    _, plan = plan_of(FakeKube(), {**secret, "stringData": {"p": "new-canary"}})
    assert plan.steps[0].after["stringData"] == {"p": "********"}


def test_the_schema_of_a_crd_is_shown_as_a_checksum():
    _, after = abridged(None, CRD)
    assert after["spec"]["versions"][0]["schema"].startswith("sha256:")
    assert CRD["spec"]["versions"][0]["schema"] == {"openAPIV3Schema": {"type": "object"}}


def test_an_unknown_kind_that_nothing_brings_fails_with_what_was_done_before():
    kube = FakeKube(missing_kinds=["Thing"])
    _, plan = plan_of(kube, NAMESPACE, THING)
    with pytest.raises(NotServed) as caught:
        plan.execute()
    assert str(caught.value) == (
        "The cluster does not serve Thing (example.org/v1). Install the component that brings this kind first."
    )
    assert caught.value.result["failed_step"] == "create Thing n/t"
    assert caught.value.result["done_steps"] == ["create Namespace n"]


def test_objects_of_a_brought_kind_wait_for_their_crd():
    kube = FakeKube(NAMESPACE, missing_kinds=["Thing"])

    def establish(kube, verb, ref):
        if ref.kind == "CustomResourceDefinition":
            kube.objects[ref]["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
            kube.missing_kinds.discard("Thing")

    kube.on_write = establish
    manifest = Manifest(kube, in_order([THING, CRD]), timeout=1)
    manifest.plan().execute()
    assert kube.written == ["apply CustomResourceDefinition things.example.org", "apply Thing n/t"]


def test_a_field_that_never_changes_has_a_next_step():
    kube = FakeKube(NAMESPACE, DEPLOYMENT)
    kube.errors[("apply", None)] = ApiError(
        "Could not apply Deployment n/d: spec.selector: field is immutable (422).", status=422, reason="Invalid"
    )
    with pytest.raises(ApiError) as caught:
        plan_of(kube, DEPLOYMENT)
    assert str(caught.value) == (
        "Could not apply Deployment n/d: spec.selector: field is immutable (422)."
        " Keep this field as it is, or delete Deployment n/d yourself when losing it is fine, and run again."
    )


# -- webhooks
def test_a_webhook_that_comes_up_is_waited_for(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    answers = [ApiError("Could not apply X: failed calling webhook: connection refused (500).", status=500), "done"]

    def call():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert with_webhook_retry(call, time.monotonic() + 60) == "done"


def test_other_errors_are_not_repeated():
    calls = []

    def call():
        calls.append(1)
        raise ApiError("Could not apply X: spec.selector is immutable (422).", status=422)

    with pytest.raises(ApiError):
        with_webhook_retry(call, time.monotonic() + 60)
    assert len(calls) == 1
