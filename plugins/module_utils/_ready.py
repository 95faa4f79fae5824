# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an object is ready, and why it is not. Private to this collection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref, Timeout, selector_of

Ready = Callable[[Object], bool]


# -- what ready means, per kind --------------------------------------------------------------------------------
def has_condition(obj: Object, kind: str, status: str = "True") -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return any(c.get("type") == kind and c.get("status") == status for c in conditions)


def _is_current(obj: Object) -> bool:
    return bool((obj.get("status") or {}).get("observedGeneration", 0) >= obj["metadata"].get("generation", 0))


def _deployment(obj: Object) -> bool:
    status, wanted = obj.get("status") or {}, (obj.get("spec") or {}).get("replicas", 1)
    updated = status.get("updatedReplicas", 0)
    return (
        _is_current(obj)
        and updated >= wanted
        and status.get("replicas", 0) <= updated
        and status.get("availableReplicas", 0) >= wanted
    )


def _stateful_set(obj: Object) -> bool:
    status, spec = obj.get("status") or {}, obj.get("spec") or {}
    wanted = spec.get("replicas", 1)
    rolled = (spec.get("updateStrategy") or {}).get("type") == "OnDelete" or (
        status.get("currentRevision") == status.get("updateRevision")
    )
    return _is_current(obj) and rolled and status.get("readyReplicas", 0) >= wanted


def _daemon_set(obj: Object) -> bool:
    status = obj.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    rolled = status.get("updatedNumberScheduled", 0) >= wanted
    return _is_current(obj) and rolled and status.get("numberAvailable", 0) >= wanted


def _job(obj: Object) -> bool:
    if has_condition(obj, "Failed"):
        ref = Ref.of(obj)
        raise StackError(
            f"{ref} failed: {_message(obj, 'Failed')}.",
            f"Read its log with: kubectl logs job/{ref.name} -n {ref.namespace}",
        )
    return has_condition(obj, "Complete")


#: What the wait of a manifest looks at: group and kind, the words of the sentence, the test.
_KINDS: dict[tuple[str, str], tuple[str, Ready]] = {
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (
        "become Established",
        lambda obj: has_condition(obj, "Established"),
    ),
    ("apiregistration.k8s.io", "APIService"): ("become Available", lambda obj: has_condition(obj, "Available")),
    ("apps", "Deployment"): ("become available", _deployment),
    ("apps", "StatefulSet"): ("become ready", _stateful_set),
    ("apps", "DaemonSet"): ("become available", _daemon_set),
    ("batch", "Job"): ("complete", _job),
}


def readiness(ref: Ref) -> tuple[str, Ready] | None:
    """The words and the test for this kind; ``None`` when existing is enough."""
    return _KINDS.get((ref.api_version.rpartition("/")[0], ref.kind))


def condition_test(condition: dict[str, str] | None, path: str | None, value: Any) -> tuple[str, Ready]:
    """Words and test for an entry of ``wait_for``: a condition, or a value at a dotted path.

    A condition that carries ``observedGeneration`` counts only for the current generation.
    """
    if condition:
        kind, status = condition["type"], str(condition.get("status", "True"))

        def met(obj: Object) -> bool:
            generation = obj["metadata"].get("generation", 0)
            return any(
                c.get("type") == kind
                and c.get("status") == status
                and c.get("observedGeneration", generation) >= generation
                for c in (obj.get("status") or {}).get("conditions") or []
            )

        return f"reach the condition {kind}={status}", met
    parts = (path or "").strip(".").split(".")
    return f"reach {path} = {value!r}", lambda obj: str(_at(obj, parts)) == str(value)


def _at(obj: Any, parts: list[str]) -> Any:
    for part in parts:
        if isinstance(obj, list) and part.isdigit():
            obj = obj[int(part)] if int(part) < len(obj) else None
        elif isinstance(obj, dict):
            obj = obj.get(part)
        else:
            return None
    return obj


def _message(obj: Object, kind: str) -> str:
    for condition in (obj.get("status") or {}).get("conditions") or []:
        if condition.get("type") == kind:
            return str(condition.get("message") or condition.get("reason") or kind)
    return kind


# -- waiting ---------------------------------------------------------------------------------------------------
def wait_ready(
    kube: Kube, ref: Ref, what: str, ready: Ready, deadline: float, timeout: float, hint: str = ""
) -> Object:
    """Poll one object until it is ready.

    :param what: completes "… did not <what> within …".
    :param deadline: ``time.monotonic()`` value shared by all waits of a call; at least one look is taken.
    :param timeout: the number the message names.
    :raises Timeout: naming what its pods are stuck at, when they are.
    """
    try:
        found = kube.wait(
            ref,
            lambda obj: obj is not None and ready(obj),
            what,
            timeout=max(0.0, deadline - time.monotonic()),
        )
    except Timeout as error:
        last = kube.get(ref)
        causes = [*_conditions(last), *(stuck_pods(kube, last) if last else [])]
        detail = "; ".join(dict.fromkeys(causes)) or ("it does not exist" if last is None else "no cause is given")
        look = f"kubectl describe {ref.kind.lower()} {ref.name}" + (f" -n {ref.namespace}" if ref.namespace else "")
        raise Timeout(
            f"{ref} did not {what} within {timeout:.0f} s: {detail.rstrip('.')}.", hint or f"Look at it with: {look}"
        ) from error
    if found is None:  # wait() returns what ready() accepted, and it accepts no absent object
        raise StackError(f"{ref} vanished while it was looked at.", "Run again.")
    return found


def _conditions(obj: Object | None) -> Iterable[str]:
    """Conditions that say what is wrong; those that hold are no cause."""
    for condition in ((obj or {}).get("status") or {}).get("conditions") or []:
        words = condition.get("message") or condition.get("reason")
        if words and condition.get("status") != "True":
            yield f"{condition.get('type')}={condition.get('status')}, {str(words).rstrip('.')}"


def stuck_pods(kube: Kube, workload: Object) -> list[str]:
    """Why the pods of a workload do not become ready, one phrase a container.

    :param workload: an object with ``spec.selector.matchLabels``; anything else gives nothing.
    """
    labels = ((workload.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    namespace = workload["metadata"].get("namespace")
    if not labels or not namespace:
        return []
    selector = selector_of(labels)
    return [line for pod in kube.find("v1", "Pod", namespace, selector) for line in pod_problems(pod)]


def pod_problems(pod: Object) -> list[str]:
    """What keeps one pod from being ready, out of its own status."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    found = []
    if has_condition(pod, "PodScheduled", "False"):
        found.append(f"Pod {name} cannot be scheduled ({_message(pod, 'PodScheduled')})")
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            text = waiting.get("message") or ""
            found.append(
                f"Pod {name}, container {container['name']}: {waiting['reason']}" + (f" ({text})" if text else "")
            )
        if ended.get("exitCode"):
            found.append(
                f"Pod {name}, container {container['name']}: ended with {ended['exitCode']} ({ended.get('reason')})"
            )
    return found
