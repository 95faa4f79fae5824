# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Argo CD says about itself and its Applications. Private to this collection."""

from __future__ import annotations

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref
from ansible_collections.railiance.stack.plugins.module_utils._ready import readiness

_PART_OF = "app.kubernetes.io/part-of=argocd"
_API = "argoproj.io/v1alpha1"


def report(kube: Kube) -> dict[str, Any]:
    """``{state, namespace, version, components, applications}``; ``state`` is absent, healthy or degraded."""
    workloads = [
        *kube.find("apps/v1", "Deployment", label_selector=_PART_OF),
        *kube.find("apps/v1", "StatefulSet", label_selector=_PART_OF),
    ]
    components = [_component(obj) for obj in workloads]
    applications = [_application(obj) for obj in kube.find(_API, "Application")]
    if not components:
        state = "absent"
    elif all(entry["ready"] for entry in components):
        state = "healthy"
    else:
        state = "degraded"
    return {
        "state": state,
        "namespace": workloads[0]["metadata"]["namespace"] if workloads else "",
        "version": next((version for obj in workloads if (version := _version(obj))), ""),
        "components": sorted(components, key=lambda entry: str(entry["name"])),
        "applications": sorted(applications, key=lambda entry: (str(entry["namespace"]), str(entry["name"]))),
    }


def _component(obj: Object) -> dict[str, Any]:
    known = readiness(Ref.of(obj))
    return {"kind": obj["kind"], "name": obj["metadata"]["name"], "ready": bool(known and known[1](obj))}


def _version(obj: Object) -> str:
    """Out of the image of Argo CD itself; Redis and Dex have versions of their own."""
    for container in obj["spec"]["template"]["spec"].get("containers") or []:
        image = str(container.get("image") or "")
        if "argocd" in image or "argo-cd" in image:
            return image.partition("@")[0].rpartition(":")[2]
    return ""


def _application(obj: Object) -> dict[str, Any]:
    status = obj.get("status") or {}
    health, sync = status.get("health") or {}, status.get("sync") or {}
    conditions = [str(entry.get("message") or entry.get("type")) for entry in status.get("conditions") or []]
    return {
        "name": obj["metadata"]["name"],
        "namespace": obj["metadata"]["namespace"],
        "health": health.get("status") or "Unknown",
        "sync": sync.get("status") or "Unknown",
        "revision": sync.get("revision") or "",
        "message": health.get("message") or "; ".join(conditions),
    }
