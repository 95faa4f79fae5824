from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._release import (
    KINDS,
    STATE_LABEL,
    Look,
    Wanted,
    drifted,
    history,
    labels_of,
    version_label,
)
from unit.fake_helm import stored_release
from unit.fakes import FakeKube

COMMIT = "0d1c5f7a9f3b2e64c8d7a6b5e4f3029181706f5e"
OURS = {"app.kubernetes.io/part-of": "railiance-stack", "app.kubernetes.io/instance": "shop"}
WANTED = Wanted.of(
    {
        "name": "shop",
        "settings": "5e77",
        "version": COMMIT,
        "database": {"namespace": "databases", "cluster": "apps-pg", "owner": "shop"},
        "pull_secret": {"namespace": "gitea", "name": "gitea-pull"},
        "ingress_class": "",
    }
)
INGRESS = {"ingressClassName": "traefik", "rules": [{"host": "shop.example.org"}]}


def obj(api_version, kind, name, namespace=None, labels=None, **content):
    meta = {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        "labels": OURS if labels is None else labels,
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **content}


def ready(**status):
    return {"status": {"conditions": [{"type": "Ready", "status": "True"}], **status}}


def release(revision=1, status="deployed", labels=None, commit=COMMIT, app="shop"):
    return stored_release(
        app,
        revision,
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1'}\n",
        status=status,
        labels={**OURS, "app.kubernetes.io/instance": app, **(labels or {})},
        config={"image": f"registry/shop@sha256:{commit}", "release": {"commit": commit}},
    )


def world():
    """Everything of one application, as its last run left it."""
    applied = {"status": {"applied": True}}
    deployment = {
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "app", "image": "i"}]}}},
        "status": {"observedGeneration": 1, "updatedReplicas": 1, "replicas": 1, "availableReplicas": 1},
    }
    kube = FakeKube(
        obj("v1", "Namespace", "shop"),
        obj("v1", "Namespace", "databases", labels={}),
        obj("v1", "Secret", "shop-env", "shop", data={"SECRET_KEY": "Y2FuYXJ5"}),
        obj("v1", "ConfigMap", "c", "shop", data={"a": "1"}),
        obj("v1", "Secret", "gitea-pull", "gitea", labels={}, data={"x": "eQ=="}),
        obj("apps/v1", "Deployment", "shop", "shop", **deployment),
        obj("networking.k8s.io/v1", "Ingress", "shop", "shop", spec=INGRESS),
        obj("networking.k8s.io/v1", "IngressClass", "traefik", labels={}),
        obj("cert-manager.io/v1", "Certificate", "shop-tls", "shop", **ready()),
        obj("postgresql.cnpg.io/v1", "Cluster", "apps-pg", "databases", labels={}, status={"timelineID": 1}),
        obj("postgresql.cnpg.io/v1", "Database", "apps-pg-shop", "databases", **applied),
        obj("postgresql.cnpg.io/v1", "DatabaseRole", "apps-pg-shop", "databases", **applied),
        obj("v1", "Secret", "apps-pg-role-shop", "databases", data={"password": "Y2FuYXJ5"}),
    )
    kube.put(release(labels=labels_of(WANTED, Look(kube).state(WANTED))))
    return kube


def edit(kube, kind, name, change):
    [ref] = [ref for ref in kube.objects if (ref.kind, ref.name) == (kind, name)]
    change(kube.objects[ref])


def verdict(kube, wanted=WANTED):
    return Look(kube).verdict(wanted)


def test_what_the_last_run_left_needs_nothing_and_one_look_a_kind():
    kube = world()
    kube.reads.clear()
    found = verdict(kube)
    assert (found.converged, found.reason) == (True, "")
    assert [read for read in kube.reads if read.startswith("list")] == [
        *(f"list {kind}" for dummy, kind in KINDS),
        "list IngressClass",
    ]
    assert [read for read in kube.reads if read.startswith("get")] == [
        "get Cluster databases/apps-pg",
        "get Secret gitea/gitea-pull",
    ]
    assert kube.writes == []


CHANGED = "an object is not as the last run left it"


@pytest.mark.parametrize(
    ("kind", "name", "change", "reason"),
    [
        ("Deployment", "shop", lambda o: o["spec"].update(replicas=2), CHANGED),
        ("Secret", "apps-pg-role-shop", lambda o: o["metadata"].update(labels=dict(OURS, more="x")), CHANGED),
        ("Secret", "shop-env", lambda o: o["data"].update({"SECRET_KEY": "b3RoZXI="}), CHANGED),
        ("Secret", "gitea-pull", lambda o: o["data"].update(x="eg=="), CHANGED),
        ("Ingress", "shop", lambda o: o["spec"]["rules"][0].update(host="wrong.example.org"), CHANGED),
        ("Ingress", "shop", lambda o: o["metadata"].update(labels={}), CHANGED),
        ("Ingress", "shop", lambda o: o["metadata"].update(annotations={"a": "b"}), CHANGED),
        ("Namespace", "shop", lambda o: o["metadata"]["labels"].update(other="x"), CHANGED),
        ("Cluster", "apps-pg", lambda o: o["status"].update(timelineID=2), CHANGED),
        ("Cluster", "apps-pg", lambda o: o["metadata"].update(uid="restored"), CHANGED),
        ("Certificate", "shop-tls", lambda o: o.pop("status"), "Certificate shop/shop-tls is not ready"),
        ("Database", "apps-pg-shop", lambda o: o.pop("status"), "Database databases/apps-pg-shop is not applied"),
        ("Deployment", "shop", lambda o: o["status"].update(availableReplicas=0), "Deployment shop/shop is not ready"),
    ],
)
def test_every_drift_opens_the_gate(kind, name, change, reason):
    kube = world()
    edit(kube, kind, name, change)
    assert verdict(kube).reason == reason


def test_a_removed_object_opens_the_gate():
    kube = world()
    [ingress] = [ref for ref in kube.objects if ref.kind == "Ingress"]
    del kube.objects[ingress]
    assert verdict(kube).reason == CHANGED


def test_a_look_at_one_application_sees_the_same_as_a_look_at_all():
    kube = world()
    kube.put({**release(app="other"), "metadata": {**release(app="other")["metadata"], "name": "other"}})
    one, all_of_them = Look(kube, WANTED), Look(kube)
    assert one.state(WANTED) == all_of_them.state(WANTED)
    assert one.objects(WANTED) == all_of_them.objects(WANTED)
    assert "Namespace" in [o["kind"] for o in one.objects(WANTED)]
    assert [o["name"] for o in all_of_them.orphans(["shop"])] == ["other"]
    assert one.orphans(["shop"]) == []


def test_a_namespace_that_carries_another_name_is_seen_as_changed_by_both_looks():
    kube = world()
    labels = {**OURS, "app.kubernetes.io/instance": "other"}
    edit(kube, "Namespace", "shop", lambda o: o["metadata"].update(labels=labels))
    assert verdict(kube).reason == CHANGED
    assert Look(kube, WANTED).state(WANTED) == Look(kube).state(WANTED)


def test_another_ingress_controller_opens_the_gate():
    kube = world()
    kube.put(obj("networking.k8s.io/v1", "IngressClass", "nginx", labels={}))
    assert verdict(kube).reason.startswith("Several ingress classes could be meant: nginx, traefik.")
    assert verdict(kube, Wanted(**{**WANTED.__dict__, "ingress_class": "traefik"})).converged
    other = verdict(kube, Wanted(**{**WANTED.__dict__, "ingress_class": "nginx"}))
    assert other.reason == "Ingress shop/shop is not of class nginx"


def test_other_settings_and_another_version_are_told_apart():
    kube = world()
    params = {**WANTED.__dict__, "settings": "other"}
    assert verdict(kube, Wanted(**params)).reason == "its settings, or the role, changed"
    found = verdict(kube, Wanted(**{**WANTED.__dict__, "version": "f" * 40}))
    assert (found.reason, found.same_settings) == ("0d1c5f7a9f3b is released", True)


def test_a_new_or_failed_release_is_never_converged():
    kube = world()
    assert verdict(FakeKube()).reason == "it was never released"
    kept = labels_of(WANTED, Look(kube).state(WANTED))
    kube.put(release(2, "failed", kept))
    assert verdict(kube).reason == "its last release is failed"


def test_secret_values_are_in_no_label():
    kube = world()
    labels = labels_of(WANTED, Look(kube).state(WANTED))
    assert all(len(value) <= 63 for value in labels.values())
    assert "canary" not in repr(labels)
    assert "Y2FuYXJ5" not in repr(labels)


def test_a_prebuilt_image_is_known_by_its_digest():
    digest = "3fc9b689459d738f8c88a3a48aa9e33542016b7a4052e001aaa536fca74813cb"
    assert version_label(f"registry.example.org/shop@sha256:{digest}") == digest[:63]


def test_releases_without_an_entry_are_orphans():
    kube = world()
    kube.put(release(app="forgotten"))
    look = Look(kube)
    assert look.orphans(["shop"]) == [{"name": "forgotten", "namespace": "forgotten"}]
    assert look.namespace_of("forgotten") == "forgotten"


def test_the_history_says_which_revisions_were_complete():
    kube = world()
    kube.put(release(2, labels={STATE_LABEL: "null"}, commit="f" * 40))
    found = history(Look(kube).releases("shop", "shop"))
    assert [(one["revision"], one["commit"], one["complete"]) for one in found] == [
        (2, "f" * 40, False),
        (1, COMMIT, True),
    ]


def test_drift_of_the_release_itself_is_asked_of_the_server():
    kube = world()
    newest = Look(kube).newest("shop", "shop")
    assert drifted(kube, newest) == []
    edit(kube, "ConfigMap", "c", lambda o: o["data"].update(a="2"))
    assert drifted(kube, newest) == ["ConfigMap shop/c differs from the release"]
    assert kube.writes == []
