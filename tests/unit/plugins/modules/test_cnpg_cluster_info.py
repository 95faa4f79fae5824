from __future__ import annotations

import json

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._cnpg import API
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Completed
from ansible_collections.railiance.stack.plugins.modules.cnpg_cluster_info import work
from unit.fakes import FakeKube, FakeModule

FOUND = {
    "server_version": "17.5",
    "databases": [
        {"name": "app", "owner": "app", "size_bytes": 100, "connection_limit": -1, "connections": 0},
        {"name": "shop", "owner": "shop", "size_bytes": 200, "connection_limit": 20, "connections": 2},
    ],
    "roles": [
        {"name": "legacy", "login": True, "superuser": False, "connections": 0, "connection_limit": 5},
        {"name": "shop", "login": True, "superuser": False, "connections": 2, "connection_limit": 20},
    ],
    "promised": 25,
    "wal_bytes": 50,
    "connections": {"max": 100, "reserved": 3, "used": 4},
}


def cluster(name="apps-pg", annotations=None, **status):
    return {
        "apiVersion": API,
        "kind": "Cluster",
        "metadata": {"name": name, "namespace": "databases", "annotations": annotations or {}},
        "spec": {"instances": 1, "storage": {"size": "10Gi"}, "managed": {"roles": [{"name": "legacy"}]}},
        "status": {
            "phase": "Cluster in healthy state",
            "currentPrimary": f"{name}-1",
            "readyInstances": 1,
            "image": "ghcr.io/cloudnative-pg/postgresql:17.5",
            **status,
        },
    }


def described(kind, app, **spec):
    labels = {"app.kubernetes.io/instance": app}
    meta = {"name": f"apps-pg-{app}", "namespace": "databases", "labels": labels}
    return {"apiVersion": API, "kind": kind, "metadata": meta, "spec": {"cluster": {"name": "apps-pg"}, **spec}}


def backup(name, phase, stopped):
    obj = described("Backup", name)
    return {**obj, "status": {"phase": phase, "stoppedAt": stopped}}


SHOP = (described("Database", "shop", name="shop", owner="shop"), described("DatabaseRole", "shop", name="shop"))


def run(*objects, **params):
    kube = FakeKube(*objects)
    kube.on_exec = lambda *call: Completed(0, json.dumps(FOUND), "")
    return work(FakeModule(**{"cluster": None, "cluster_namespace": "databases", **params}), kube)["clusters"]


def test_a_cluster_that_runs():
    [found] = run(cluster(), *SHOP, cluster="apps-pg")
    assert {key: found[key] for key in ("name", "namespace", "version", "healthy", "primary", "instances")} == {
        "name": "apps-pg",
        "namespace": "databases",
        "version": "17.5",
        "healthy": True,
        "primary": "apps-pg-1",
        "instances": 1,
    }
    assert [(one["name"], one["owner"], one["size_bytes"], one["app"]) for one in found["databases"]] == [
        ("app", "app", 100, ""),
        ("shop", "shop", 200, "shop"),
    ]
    assert [(one["name"], one["described"], one["app"]) for one in found["roles"]] == [
        ("legacy", "inline", ""),
        ("shop", "databaserole", "shop"),
    ]
    assert found["connections"] == {"max": 100, "reserved": 3, "used": 4, "free": 93, "unpromised": 72}
    assert found["storage"] == {"size": "10Gi", "storage_class": "", "used_bytes": 350}
    assert found["last_backup"] == ""


def test_the_newest_backup_that_was_completed():
    backups = [
        backup("old", "completed", "2026-01-01T00:00:00Z"),
        backup("new", "completed", "2026-02-01T00:00:00Z"),
        backup("broken", "failed", "2026-03-01T00:00:00Z"),
    ]
    assert run(cluster(), *backups)[0]["last_backup"] == "2026-02-01T00:00:00Z"
    newer = cluster(lastSuccessfulBackup="2026-02-02T00:00:00Z")
    assert run(newer, *backups)[0]["last_backup"] == "2026-02-02T00:00:00Z"


def test_a_cluster_that_cannot_be_asked_says_why():
    [found] = run(cluster(annotations={"cnpg.io/hibernation": "on"}), *SHOP)
    assert (found["healthy"], found["problem"]) == (False, "Cluster databases/apps-pg is hibernated.")
    assert found["version"] == "17.5"
    assert found["databases"] == [{"name": "shop", "owner": "shop", "app": "shop"}]
    assert (found["connections"], found["storage"]["used_bytes"]) == (None, None)


def test_all_clusters_of_a_namespace():
    assert [one["name"] for one in run(cluster(), cluster("gitea-db", phase="Setting up primary"))] == [
        "apps-pg",
        "gitea-db",
    ]


def test_a_cluster_that_does_not_exist():
    with pytest.raises(StackError) as caught:
        run(cluster="apps-pg")
    assert str(caught.value) == "Cluster databases/apps-pg does not exist. Check cluster and cluster_namespace."
