# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an application writes into its database: stopped, and started as it was. Private to this collection.

How many pods a workload had stands in an annotation of it, so that also a later run can start it.
"""

from __future__ import annotations

import functools
import time

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref, Timeout, selector_of
from ansible_collections.railiance.stack.plugins.module_utils._plan import Step
from ansible_collections.railiance.stack.plugins.module_utils._ready import readiness, wait_ready

REPLICAS_ANNOTATION = "railiance.io/replicas-before-restore"
SUSPEND_ANNOTATION = "railiance.io/suspended-by-restore"
_SCALED = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"))
_SCHEDULED = ("batch/v1", "CronJob")


class Writers:
    """The Deployments, StatefulSets and CronJobs of a namespace."""

    def __init__(self, kube: Kube, namespace: str, timeout: float) -> None:
        self.kube, self.namespace, self.timeout = kube, namespace, timeout
        self._scaled = [obj for kind in _SCALED for obj in kube.find(*kind, namespace)]
        self._scheduled = kube.find(*_SCHEDULED, namespace)

    @property
    def images(self) -> dict[str, str]:
        """What runs, ``<workload>/<container>`` to image."""
        return {
            f"{obj['metadata']['name']}/{container['name']}": container["image"]
            for obj in self._scaled
            for container in obj["spec"]["template"]["spec"]["containers"]
        }

    # -- plans -------------------------------------------------------------------------------------------------
    def stopping(self) -> list[Step]:
        steps = [
            Step(
                "update",
                str(Ref.of(obj)),
                {"replicas": _replicas(obj)},
                {"replicas": 0},
                functools.partial(self._stop, obj),
            )
            for obj in self._scaled
            if _replicas(obj)
        ]
        steps += [
            Step(
                "update",
                str(Ref.of(obj)),
                {"suspend": False},
                {"suspend": True},
                functools.partial(self._suspend, obj, True),
            )
            for obj in self._scheduled
            if not obj["spec"].get("suspend")
        ]
        return steps

    def starting(self) -> list[Step]:
        """As they are now, or were before an earlier run stopped them."""
        steps = [
            Step(
                "update",
                str(Ref.of(obj)),
                {"replicas": 0},
                {"replicas": count},
                functools.partial(self._start, obj, count),
            )
            for obj in self._scaled
            if (count := _replicas(obj) or _noted(obj))
        ]
        steps += [
            Step(
                "update",
                str(Ref.of(obj)),
                {"suspend": True},
                {"suspend": False},
                functools.partial(self._suspend, obj, False),
            )
            for obj in self._scheduled
            if not obj["spec"].get("suspend") or SUSPEND_ANNOTATION in _annotations(obj)
        ]
        return steps

    def resume(self) -> None:
        """Start what was stopped and not started again; whether it becomes ready is not waited for."""
        for obj in self._scaled:
            if not _replicas(obj) and _noted(obj):
                self._scale(obj, _noted(obj), None)
        for obj in self._scheduled:
            if SUSPEND_ANNOTATION in _annotations(obj):
                self._suspend(obj, False)

    # -- doing -------------------------------------------------------------------------------------------------
    def _stop(self, obj: Object) -> None:
        ref = Ref.of(obj)
        self._scale(obj, 0, str(_replicas(obj)))
        labels = obj["spec"]["selector"].get("matchLabels") or {}
        selector = selector_of(labels)

        def gone(dummy: Object | None) -> bool:
            return not self.kube.find("v1", "Pod", ref.namespace, selector)

        try:
            self.kube.wait(ref, gone, "stop", timeout=self.timeout)
        except Timeout as error:
            raise StackError(
                f"The pods of {ref} did not end within {self.timeout:.0f} s.",
                f"Look at them with: kubectl -n {ref.namespace} get pods -l {selector}",
            ) from error

    def _start(self, obj: Object, count: int) -> None:
        ref = Ref.of(obj)
        self._scale(obj, count, None)
        known = readiness(ref)
        if known:
            what, ready = known
            wait_ready(self.kube, ref, what, ready, time.monotonic() + self.timeout, self.timeout)

    def _scale(self, obj: Object, count: int, note: str | None) -> None:
        annotations = {REPLICAS_ANNOTATION: note}
        self.kube.patch(Ref.of(obj), {"metadata": {"annotations": annotations}, "spec": {"replicas": count}})

    def _suspend(self, obj: Object, suspended: bool) -> None:
        note = {SUSPEND_ANNOTATION: "true" if suspended else None}
        self.kube.patch(Ref.of(obj), {"metadata": {"annotations": note}, "spec": {"suspend": suspended}})


def _replicas(obj: Object) -> int:
    return int(obj["spec"].get("replicas", 1))


def _noted(obj: Object) -> int:
    text = _annotations(obj).get(REPLICAS_ANNOTATION, "")
    return int(text) if text.isdigit() else 0


def _annotations(obj: Object) -> dict[str, str]:
    return dict(obj["metadata"].get("annotations") or {})
