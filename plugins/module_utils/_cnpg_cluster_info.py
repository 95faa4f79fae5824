# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a CloudNativePG cluster holds and what it has left. Private to this collection."""

from __future__ import annotations

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils import _cnpg, _cnpg_refuse
from ansible_collections.railiance.stack.plugins.module_utils._cnpg import API
from ansible_collections.railiance.stack.plugins.module_utils._cnpg_look import CLUSTER_SQL, look
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import INSTANCE, Kube, Object, Ref


def clusters_of(kube: Kube, namespace: str, name: str | None) -> list[Object]:
    """
    :raises StackError: when the cluster that is asked for does not exist.
    """
    if name is None:
        return kube.find(API, "Cluster", namespace)
    ref = Ref(API, "Cluster", name, namespace)
    cluster = kube.get(ref)
    if cluster is None:
        raise StackError(f"{ref} does not exist.", "Check cluster and cluster_namespace.")
    return [cluster]


def describe(kube: Kube, cluster: Object) -> dict[str, Any]:
    """One cluster; of one that does not run only what its objects say."""
    ref, spec, status = Ref.of(cluster), cluster.get("spec") or {}, cluster.get("status") or {}
    problem = _problem(cluster)
    found = {} if problem else look(kube, cluster, CLUSTER_SQL)
    objects = {
        kind: _cnpg.for_cluster(kube.find(API, kind, ref.namespace), ref.name)
        for kind in ("Database", "DatabaseRole", "Backup")
    }
    databases = found.get("databases") or _described(objects["Database"], "owner")
    roles = found.get("roles") or _described(objects["DatabaseRole"], "connectionLimit")
    inline = {role.get("name") for role in _cnpg.inline_roles(cluster)}
    return {
        "name": ref.name,
        "namespace": ref.namespace,
        "version": found.get("server_version") or _image_tag(cluster),
        "healthy": not problem,
        "phase": status.get("phase") or "",
        "problem": problem,
        "primary": status.get("currentPrimary") or "",
        "instances": int(spec.get("instances") or 0),
        "ready_instances": int(status.get("readyInstances") or 0),
        "databases": [{**database, "app": _app_of(objects["Database"], database["name"])} for database in databases],
        "roles": [
            {
                **role,
                "app": _app_of(objects["DatabaseRole"], role["name"]),
                "described": "inline"
                if role["name"] in inline
                else "databaserole"
                if _cnpg.named(objects["DatabaseRole"], role["name"])
                else "",
            }
            for role in roles
        ],
        "connections": _connections(found),
        "storage": {
            "size": str((spec.get("storage") or {}).get("size") or ""),
            "storage_class": str((spec.get("storage") or {}).get("storageClass") or ""),
            "used_bytes": sum(database["size_bytes"] for database in found["databases"]) + found["wal_bytes"]
            if found
            else None,
        },
        "last_backup": _last_backup(status, objects["Backup"]),
    }


def _problem(cluster: Object) -> str:
    """Why nothing can be asked of its PostgreSQL; empty when something can."""
    try:
        _cnpg_refuse.refuse_cluster(cluster)
    except StackError as error:
        return error.message
    return "" if _cnpg_refuse.healthy(cluster) else f"{Ref.of(cluster)} is not healthy."


def _described(objects: list[Object], further: str) -> list[dict[str, Any]]:
    key = {"owner": "owner", "connectionLimit": "connection_limit"}[further]
    return [{"name": obj["spec"].get("name"), key: obj["spec"].get(further)} for obj in objects]


def _app_of(objects: list[Object], name: str) -> str:
    return _cnpg.labels_of(_cnpg.named(objects, name)).get(INSTANCE, "")


def _image_tag(cluster: Object) -> str:
    image = str((cluster.get("status") or {}).get("image") or (cluster.get("spec") or {}).get("imageName") or "")
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


def _connections(found: dict[str, Any]) -> dict[str, Any] | None:
    """``free`` is what could be opened now, ``unpromised`` what could still be promised to an application."""
    if not found:
        return None
    held = found["connections"]
    usable = held["max"] - held["reserved"]
    return {**held, "free": usable - held["used"], "unpromised": usable - found["promised"]}


def _last_backup(status: Object, backups: list[Object]) -> str:
    """When the newest base backup that CloudNativePG knows of was complete; empty when it knows of none."""
    times = [
        str((backup.get("status") or {}).get("stoppedAt") or "")
        for backup in backups
        if (backup.get("status") or {}).get("phase") == "completed"
    ]
    by_method = (status.get("lastSuccessfulBackupByMethod") or {}).values()
    return max([*times, *map(str, by_method), str(status.get("lastSuccessfulBackup") or "")])
