# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod of a new version that is asked everything before visitors can meet it. Private to this collection.

Kubernetes sends requests to a pod as soon as its readiness probe holds, and a probe asks one page. So another pod is
started first, as a Job's: it has the environment, volumes and command of those to come, but no Service knows it.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Http
from ansible_collections.railiance.stack.plugins.module_utils._jobs import (
    TRIAL,
    PodWhen,
    build_job,
    job_labels,
    job_name,
    started_job,
)
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref
from ansible_collections.railiance.stack.plugins.module_utils._manage_pod import (
    Mask,
    build_pod,
    pick_container,
    secret_references,
    without_claims_to_come,
)
from ansible_collections.railiance.stack.plugins.module_utils._release_log import Errors
from ansible_collections.railiance.stack.plugins.module_utils._site import check_held, look_until
from ansible_collections.railiance.stack.plugins.module_utils._smoke import Outcome

#: Seconds for all checks to hold once the first one does.
_SETTLES = 20
#: Nobody waits for an answer of it when it goes.
_GRACE = 1
_SHOWN = 3


class Trial:
    """A pod that starts."""

    def __init__(self, kube: Kube, pod: Object, namespace: str, pod_when: PodWhen) -> None:
        self._kube, self._pod, self._namespace, self._pod_when = kube, pod, namespace, pod_when

    def ask(self, checks: Sequence[dict[str, Any]], host: str) -> list[Outcome]:
        """Every check, of the pod itself and as the proxy would ask.

        :param checks: the first one says that it serves; it is waited for as long as for the pod.
        :param host: public host name.
        :raises StackError: naming what does not hold, and what the pod logged.
        """
        port = pick_container(self._pod)["ports"][0]["containerPort"]
        http, found = Http(plain=True), list[Outcome]()

        def url_of(pod: Object) -> str:
            return f"http://{pod['status']['podIP']}:{port}"

        def serves(pod: Object) -> bool:
            if not (pod.get("status") or {}).get("podIP"):
                return False
            found[:] = look_until(url_of(pod), list(checks[:1]), http, 0, host)
            return all(outcome.ok for outcome in found)

        try:
            pod = self._pod_when(serves)
        except StackError as error:
            wrong = "".join(f" {one.name}: {one.detail}." for one in found if not one.ok)
            raise self._failed(f"{error.message}{wrong}", error, str(error.result.get("log") or "")) from None
        outcomes = look_until(url_of(pod), list(checks), http, _SETTLES, host)
        try:
            check_held(url_of(pod), outcomes)
        except StackError as error:
            log = self._kube.logs(self._namespace, pod["metadata"]["name"], pick_container(self._pod)["name"])
            raise self._failed(error.message, error, log) from None
        return outcomes

    def _failed(self, message: str, error: StackError, log: str) -> StackError:
        names = secret_references(self._pod)
        found = (self._kube.get(Ref("v1", "Secret", name, self._namespace)) for name in names)
        lines = Errors().lines(Mask([secret for secret in found if secret])(log))
        told = f" It logged: {' | '.join(lines[:_SHOWN])}" if lines else ""
        hint = error.hint or "No visitor was sent to it."
        kept = {key: value for key, value in error.result.items() if key in ("outcomes", "events", "reason")}
        return StackError(f"{message}{told}", hint, suspicious=lines, **kept)


@contextlib.contextmanager
def on_trial(
    kube: Kube, template: Object, *, app: str, namespace: str, image: str = "", timeout: float
) -> Iterator[Trial]:
    """The pod, from its start to the end of the block.

    :param template: as the Deployment has it.
    :param image: in place of the template's.
    :param timeout: seconds until it must serve.
    """
    container = pick_container(template)["name"]
    labels = job_labels(app, TRIAL)
    pod = build_pod(without_claims_to_come(kube, template, namespace), container, labels=labels, image=image)
    pod["spec"]["terminationGracePeriodSeconds"] = _GRACE
    # A name of its own: one that a killed run has left must not stand in the way.
    name = job_name(app, TRIAL, namespace, secrets.token_hex(8))
    job = build_job(name, namespace, pod, labels=labels, timeout=int(timeout) + _SETTLES)
    with started_job(kube, job, container, timeout=timeout) as pod_when:
        yield Trial(kube, template, namespace, pod_when)
