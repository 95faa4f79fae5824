# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pods of a workload: which they are, new ones in their place, what they logged. Private to this collection."""

from __future__ import annotations

import re
import time
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import ApiError, Kube, Object, Ref, selector_of
from ansible_collections.railiance.stack.plugins.module_utils._manage_pod import Mask, secret_references
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step
from ansible_collections.railiance.stack.plugins.module_utils._ready import has_condition, readiness, wait_ready

#: What kubectl writes: whoever looks at the workload recognises it.
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_workload(kube: Kube, ref: Ref) -> Object:
    """:raises StackError: when it does not exist."""
    found = kube.get(ref)
    if found is None:
        raise StackError(f"{ref} does not exist.", "Deploy the application first, or correct its name.")
    return found


def pods_of(kube: Kube, workload: Object) -> list[Object]:
    """Its pods that are not on their way out, oldest first."""
    labels = ((workload.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    selector = selector_of(labels)
    pods = kube.find("v1", "Pod", workload["metadata"].get("namespace"), selector) if selector else []
    return sorted(
        (pod for pod in pods if not pod["metadata"].get("deletionTimestamp")),
        key=lambda pod: (str(pod["metadata"].get("creationTimestamp") or ""), pod["metadata"]["name"]),
    )


def describe(pod: Object) -> dict[str, Any]:
    """One pod in a result."""
    status = pod.get("status") or {}
    return {
        "name": pod["metadata"]["name"],
        "ready": has_condition(pod, "Ready"),
        "started": str(status.get("startTime") or ""),
        "restarts": sum(int(one.get("restartCount") or 0) for one in status.get("containerStatuses") or []),
    }


def plan_restart(kube: Kube, ref: Ref, now: str) -> Plan:
    """New pods, one after the other, in place of the running ones.

    :param now: time of the restart; a pod template with another one is another template.
    """

    def restart() -> None:
        kube.patch(ref, {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: now}}}}})

    template = (read_workload(kube, ref).get("spec") or {}).get("template") or {}
    last = ((template.get("metadata") or {}).get("annotations") or {}).get(RESTARTED_AT)
    return Plan([Step("update", str(ref), {RESTARTED_AT: last}, {RESTARTED_AT: now}, restart, "new pods")])


def wait_rolled_out(kube: Kube, ref: Ref, timeout: int) -> list[Object]:
    """The pods of the workload once it is ready.

    :raises Timeout: naming what its pods are stuck at.
    """
    known = readiness(ref)
    if known is None:
        raise StackError(f"{ref} has no pods of its own.", "Name a Deployment, StatefulSet or DaemonSet.")
    return pods_of(kube, wait_ready(kube, ref, *known, time.monotonic() + timeout, timeout))


def seconds(text: str) -> int | None:
    """``90``, ``10m``, ``2h``, ``1d`` in seconds; ``None`` for an empty text.

    :raises StackError: for anything else.
    """
    match = re.fullmatch(r"(\d+)([smhd]?)", text)
    if text and not match:
        raise StackError(f"since: '{text}' is no span of time.", "Write it like 90s, 10m, 2h or 1d.")
    return int(match[1]) * _UNITS[match[2] or "s"] if match else None


def read_logs(
    kube: Kube, pods: list[Object], *, container: str, since: int | None, lines: int, previous: bool
) -> list[dict[str, Any]]:
    """The end of each container's log, with the values of the Secrets that its pod uses hidden."""
    found = []
    for pod in pods:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        secrets = (kube.get(Ref("v1", "Secret", secret, namespace)) for secret in secret_references(pod))
        mask = Mask([secret for secret in secrets if secret])
        for one in pod["spec"]["containers"]:
            if container in ("", one["name"]):
                text = _log(kube, namespace, name, one["name"], since, lines, previous)
                found.append({"pod": name, "container": one["name"], "lines": mask(text).splitlines()})
    return found


def _log(kube: Kube, namespace: str, pod: str, container: str, since: int | None, lines: int, previous: bool) -> str:
    try:
        return kube.logs(namespace, pod, container, tail=lines, since=since, previous=previous)
    except ApiError as error:
        if error.status in (400, 404):  # it has not run yet, or not before
            return ""
        raise
