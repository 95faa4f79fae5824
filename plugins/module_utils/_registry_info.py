# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a registry holds, how it grows and where its bytes lie. Private to this collection.

:func:`look_at_storage` reads; everything else here is pure.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._gitea import GiteaPod
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref
from ansible_collections.railiance.stack.plugins.module_utils._packages import Version, unique_bytes

#: Days over which growth is told.
_WINDOWS = (1, 7, 30)
#: Where the rootless and the other image of Gitea, and older charts, keep packages.
_PLACES = (
    '"$GITEA_WORK_DIR"/data/packages',
    '"$GITEA_WORK_DIR"/packages',
    "/var/lib/gitea/data/packages",
    "/var/lib/gitea/packages",
    "/data/gitea/packages",
)


@dataclass(frozen=True)
class Limits:
    """When somebody has to look; 0 for never."""

    size_mb: int = 0
    growth_mb: int = 0
    free_percent: int = 0


# -- what it holds -------------------------------------------------------------------------------------------------
def packages(versions: Iterable[Version]) -> list[dict[str, Any]]:
    """One entry a package, its versions newest first."""
    ordered = sorted(versions, key=lambda v: v.package)
    return [_package(list(group)) for _key, group in groupby(ordered, key=lambda v: v.package)]


def _package(versions: list[Version]) -> dict[str, Any]:
    newest_first = sorted(versions, key=lambda v: (v.created, v.version), reverse=True)
    owner, kind, name = versions[0].package
    return {
        "owner": owner,
        "type": kind,
        "name": name,
        "size": unique_bytes(versions),
        "newest": newest_first[0].created.isoformat(),
        "oldest": newest_first[-1].created.isoformat(),
        "versions": [
            {
                "version": version.version,
                "digest": version.digest,
                "children": list(version.children),
                "created": version.created.isoformat(),
                "size": version.size,
                "page": version.page,
            }
            for version in newest_first
        ],
    }


def totals(versions: Iterable[Version]) -> dict[str, int]:
    every = list(versions)
    return {
        "packages": len({version.package for version in every}),
        "versions": len(every),
        "size": unique_bytes(every),
        "shared": sum(version.size for version in every) - unique_bytes(every),
    }


def growth(versions: Iterable[Version], now: datetime.datetime) -> dict[str, dict[str, int]]:
    """What came in the last days and is still there: a blob counts when its first version came."""
    first: dict[str, tuple[datetime.datetime, int]] = {}
    every = list(versions)
    for version in every:
        for name, size in version.blobs.items():
            known = first.get(name)
            if known is None or version.created < known[0]:
                first[name] = (version.created, size)
    return {
        f"{days}d": {
            "versions": sum(1 for version in every if now - version.created < datetime.timedelta(days=days)),
            "size": sum(size for came, size in first.values() if now - came < datetime.timedelta(days=days)),
        }
        for days in _WINDOWS
    }


# -- where the bytes lie -------------------------------------------------------------------------------------------
def look_at_storage(kube: Kube, pod: GiteaPod, namespace: str, deployment: str, path: str = "") -> dict[str, Any]:
    """The folder of all owners' packages in Gitea's pod, its volume, and how full that is; empty when not found."""
    places = f"'{path}'" if path else " ".join(_PLACES)
    script = (
        f'for d in {places}; do if [ -d "$d" ]; then echo "$d"; du -sk "$d" | cut -f1;'
        ' find "$d" -type f | wc -l; df -Pk "$d" | tail -n 1; exit; fi; done'
    )
    done = pod.run(["sh", "-c", script])
    lines = done.stdout.splitlines()
    if done.rc != 0 or len(lines) < 4:
        return {}
    disk = lines[3].split()
    found: dict[str, Any] = {
        "path": lines[0],
        "size": int(lines[1]) * 1024,
        "files": int(lines[2]),
        "disk_size": int(disk[1]) * 1024,
        "disk_free": int(disk[3]) * 1024,
    }
    workload = kube.get(Ref("apps/v1", "Deployment", deployment, namespace)) or {}
    found.update(_volume(kube, workload, namespace, lines[0]))
    return found


def _volume(kube: Kube, workload: Object, namespace: str, path: str) -> dict[str, str]:
    """Claim, volume and folder on the node that hold ``path``."""
    spec = ((workload.get("spec") or {}).get("template") or {}).get("spec") or {}
    mounts = [mount for container in spec.get("containers") or [] for mount in container.get("volumeMounts") or []]
    holding = [m for m in mounts if f"{path}/".startswith(m["mountPath"].rstrip("/") + "/")]
    if not holding:
        return {"claim": "", "volume": "", "node_path": ""}
    name = max(holding, key=lambda mount: len(mount["mountPath"]))["name"]
    volume: Object = next((v for v in spec.get("volumes") or [] if v["name"] == name), {})
    claim = str((volume.get("persistentVolumeClaim") or {}).get("claimName") or "")
    bound = kube.get(Ref("v1", "PersistentVolumeClaim", claim, namespace)) if claim else None
    persistent = str(((bound or {}).get("spec") or {}).get("volumeName") or "")
    disk = (kube.get(Ref("v1", "PersistentVolume", persistent)) if persistent else None) or {}
    place = disk.get("spec") or volume
    node_path = (place.get("hostPath") or place.get("local") or {}).get("path") or ""
    return {"claim": f"{namespace}/{claim}" if claim else "", "volume": persistent, "node_path": str(node_path)}


# -- when somebody has to look -------------------------------------------------------------------------------------
def alerts(result: dict[str, Any], limits: Limits) -> list[str]:
    """One sentence for each limit that is passed."""
    found = []
    size, week, storage = result["totals"]["size"], result["growth"]["7d"]["size"], result["storage"]
    on_disk = storage.get("size") or size
    if limits.size_mb and on_disk > limits.size_mb * 1024**2:
        found.append(
            f"The registry holds {on_disk / 1024**2:.0f} MB, more than {limits.size_mb} MB:"
            " prune it with the playbook registry_prune."
        )
    if limits.growth_mb and week > limits.growth_mb * 1024**2:
        found.append(
            f"The registry grew by {week / 1024**2:.0f} MB in 7 days, more than {limits.growth_mb} MB:"
            " prune more often, or keep fewer releases."
        )
    if limits.free_percent and storage.get("disk_size"):
        free = 100 * storage["disk_free"] / storage["disk_size"]
        if free < limits.free_percent:
            found.append(
                f"The disk of {storage['path']} has {free:.0f} % free, less than {limits.free_percent} %:"
                " prune the registry, or give its volume more space."
            )
    return found
