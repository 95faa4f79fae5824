from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator
from ansible_collections.railiance.stack.plugins.module_utils._release import Look, labels_of
from ansible_collections.railiance.stack.plugins.modules.release_info import work
from unit.fake_helm import stored_release
from unit.fakes import FakeModule
from unit.plugins.module_utils.test_release import COMMIT, OURS, WANTED, edit, obj, release, world

DATABASE = {"namespace": "databases", "cluster": "apps-pg", "owner": "shop", "name": "shop"}
ENTRY = {"name": "shop", "settings": "5e77", "version": COMMIT, "database": DATABASE, "ingress_class": ""}
PULL = {"namespace": "gitea", "name": "gitea-pull"}


def look(kube, *entries, history_of=None, target=None):
    return work(FakeModule(apps=list(entries), history_of=history_of, target=target), kube)


def cluster():
    kube = world()
    spec = {"cluster": {"name": "apps-pg"}, "name": "shop", "owner": "shop"}
    edit(kube, "Database", "apps-pg-shop", lambda o: o.update(spec=spec))
    kube.put(release(labels=labels_of(WANTED, Look(kube).state(WANTED))))
    return kube


def revision(number, labels, schema, **record):
    config = {
        "image": f"registry/shop@sha256:{number}",
        "release": {"commit": str(number) * 40, "schema": schema, **record},
    }
    return stored_release("shop", number, "", labels={**OURS, **labels}, config=config)


def revisions():
    """One that was complete, one that was not, and the one that serves."""
    kube = cluster()
    for ref in [ref for ref in kube.objects if ref.name.startswith("sh.helm")]:
        del kube.objects[ref]
    kube.put(revision(1, {"railiance.io/state": "s"}, {"shop": "0001_initial"}))
    kube.put(revision(2, {"railiance.io/state": "null"}, {"shop": "0001_initial"}))
    dump = {"name": "shop-20261121T105049Z-4f2c1a"}
    kube.put(revision(3, {"railiance.io/state": "s"}, {"shop": "0002_price"}, restore_point=dump))
    return kube


def test_of_each_application_it_says_what_serves():
    found = look(cluster(), {**ENTRY, "pull_secret": PULL}, {"name": "new"})
    shop, new = found["releases"]
    assert (shop["name"], shop["revision"], shop["commit"], shop["complete"]) == ("shop", 1, COMMIT, True)
    assert (shop["status"], shop["at"], shop["pending"]) == ("deployed", "2026-01-01T00:00:00Z", "")
    assert new == {"name": "new", "namespace": "new", "revision": 0, "pending": "it was never released"}
    assert found["table"] == [
        "app  shop  commit 0d1c5f7a9f3b  revision 1 since 2026-01-01T00:00:00Z",
        "app  new   never released",
    ]


def test_one_application_is_shown_with_the_revisions_one_can_go_back_to():
    found = look(revisions(), ENTRY, history_of="shop")
    assert [one["migrations"] for one in found["history"]] == [["shop.0002_price"], [], []]
    assert found["table"] == [
        "serves    commit 333333333333",
        "image     registry/shop@sha256:3",
        "revision  3 since 2026-01-01T00:00:00Z, complete",
        "deploy    would release it: its settings, or the role, changed",
        "revision 3  2026-01-01T00:00:00Z  commit 333333333333  serves               migrations up to shop.0002_price"
        "  restore point shop-20261121T105049Z-4f2c1a",
        "revision 2  2026-01-01T00:00:00Z  commit 222222222222  not complete",
        "revision 1  2026-01-01T00:00:00Z  commit 111111111111  can be gone back to",
    ]


def test_an_application_that_was_never_released_has_no_history():
    found = look(cluster(), {"name": "new"}, history_of="new")
    assert (found["history"], found["table"]) == ([], ["serves    nothing: new was never released"])


def test_a_release_that_failed_says_so():
    kube = cluster()
    kube.put(stored_release("shop", 2, "", status="failed", labels=OURS, config={"image": "registry/shop@sha256:2"}))
    assert look(kube, ENTRY)["table"] == ["app  shop  shop@2  revision 2 not complete, failed: d"]
    assert (
        "revision  2 since 2026-01-01T00:00:00Z, not complete, failed: d"
        in look(kube, ENTRY, history_of="shop")["table"]
    )


def test_data_that_serves_is_not_reported():
    kube = cluster()
    kube.put(obj("v1", "PersistentVolumeClaim", "shop-media", "shop"))
    volumes = [{"name": "media", "persistentVolumeClaim": {"claimName": "shop-media"}}]
    edit(kube, "Deployment", "shop", lambda o: o["spec"]["template"]["spec"].update(volumes=volumes))
    found = look(kube, ENTRY)
    assert (found["kept"], found["orphans"]) == ([], [])


def test_data_that_an_entry_no_longer_names_is_reported():
    kube = cluster()
    kube.put(obj("v1", "PersistentVolumeClaim", "shop-media", "shop"))
    found = look(kube, {**ENTRY, "database": None})
    assert [(one["kind"], one["why"]) for one in found["kept"]] == [
        ("PersistentVolumeClaim", "none of its pods mounts it"),
        ("Database", "its entry names another database, or none"),
    ]
    assert look(kube, {**ENTRY, "database": {**DATABASE, "name": "other"}})["kept"][1]["kind"] == "Database"


def test_data_that_a_removal_kept_is_reported_until_an_entry_names_it():
    kube = cluster()
    for ref in [ref for ref in kube.objects if ref.name.startswith("sh.helm") or ref.kind == "Deployment"]:
        del kube.objects[ref]
    kube.put(obj("v1", "PersistentVolumeClaim", "shop-media", "shop"))
    found = look(kube)
    assert found["table"] == [
        "kept    PersistentVolumeClaim shop/shop-media of shop: it was kept when the application was removed",
        "kept    Database databases/apps-pg-shop of shop: it was kept when the application was removed",
    ]
    assert look(kube, ENTRY)["kept"] == []


def test_data_of_what_serves_without_a_release_is_not_reported():
    kube = cluster()
    labels = {"app.kubernetes.io/part-of": "railiance-stack", "app.kubernetes.io/instance": "gitea"}
    kube.put(obj("apps/v1", "Deployment", "gitea", "gitea", labels, spec={}))
    kube.put(obj("v1", "PersistentVolumeClaim", "gitea-data", "gitea", labels))
    assert look(kube, ENTRY)["kept"] == []


def test_a_release_without_an_entry_is_an_orphan():
    assert look(cluster())["table"] == ["orphan  shop in namespace shop: no entry names it"]


def test_a_revision_can_be_asked_for_by_what_it_is():
    assert look(revisions(), history_of="shop", target="previous")["target"]["revision"] == 1
    with pytest.raises(NeedsOperator, match=r"^There is no complete revision '2'\. Complete are: 3: .*; 1: "):
        look(revisions(), history_of="shop", target="2")
