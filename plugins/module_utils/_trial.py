# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod of a new version that is asked everything before visitors can meet it. Private to this collection.

Kubernetes sends requests to a pod as soon as its readiness probe holds, and a probe asks one page. So another pod is
started first, as a Job's: it has the environment, volumes and command of those to come, but no Service knows it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Http
from ansible_collections.railiance.stack.plugins.module_utils._jobs import (
    TRIAL,
    build_job,
    job_labels,
    job_name,
    log_of,
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


def try_out(
    kube: Kube,
    template: Object,
    checks: Sequence[dict[str, Any]],
    host: str,
    *,
    app: str,
    namespace: str,
    image: str = "",
    timeout: float,
) -> list[Outcome]:
    """Start the pod, ask it every check as the proxy would, and delete it.

    :param template: as the Deployment has it.
    :param checks: the first one says that it serves; it is waited for as long as for the pod.
    :param host: public host name.
    :param image: in place of the template's.
    :param timeout: seconds until it must serve.
    :raises StackError: naming what does not hold, and what the pod logged.
    """
    container = pick_container(template)
    labels = job_labels(app, TRIAL)
    pod = build_pod(without_claims_to_come(kube, template, namespace), container["name"], labels=labels, image=image)
    pod["spec"]["terminationGracePeriodSeconds"] = _GRACE
    # A name of its own: one that a killed run has left must not stand in the way.
    name = job_name(app, TRIAL, namespace, secrets.token_hex(8))
    job = build_job(name, namespace, pod, labels=labels, timeout=int(timeout) + _SETTLES)
    http, found = Http(plain=True), list[Outcome]()

    def url_of(pod: Object) -> str:
        return f"http://{pod['status']['podIP']}:{container['ports'][0]['containerPort']}"

    def serves(pod: Object) -> bool:
        if not (pod.get("status") or {}).get("podIP"):
            return False
        found[:] = look_until(url_of(pod), list(checks[:1]), http, 0, host)
        return all(outcome.ok for outcome in found)

    with started_job(kube, job, container["name"], timeout=timeout) as pod_when:
        try:
            pod = pod_when(serves)
        except StackError as error:
            wrong = "".join(f" {one.name}: {one.detail}." for one in found if not one.ok)
            log = str(error.result.get("log") or "")
            raise _failed(kube, template, namespace, f"{error.message}{wrong}", error, log) from None
        outcomes = look_until(url_of(pod), list(checks), http, _SETTLES, host)
        try:
            check_held(url_of(pod), outcomes)
        except StackError as error:
            log = log_of(kube, pod, container["name"])
            raise _failed(kube, template, namespace, error.message, error, log) from None
    return outcomes


def _failed(kube: Kube, template: Object, namespace: str, message: str, error: StackError, log: str) -> StackError:
    found = (kube.get(Ref("v1", "Secret", name, namespace)) for name in secret_references(template))
    lines = Errors().lines(Mask([secret for secret in found if secret])(log))
    told = f" It logged: {' | '.join(lines[:_SHOWN])}" if lines else ""
    hint = error.hint or "No visitor was sent to it."
    kept = {key: value for key, value in error.result.items() if key in ("outcomes", "events", "reason")}
    return StackError(f"{message}{told}", hint, suspicious=lines, **kept)
