# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workloads that use a Secret, and their restart when it changed. Private to this collection."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref
from ansible_collections.railiance.stack.plugins.module_utils._ready import readiness, wait_ready

#: What keeps pods running; pods that a schedule makes read the Secret anew by themselves.
_KINDS = ("Deployment", "StatefulSet", "DaemonSet")
#: On a pod template, followed by the Secret's name; the chart of role app_release writes the same.
VERSION_ANNOTATION = "secret.railiance.io/"


def uses_secret(template: Object, secret: str) -> bool:
    """Whether a pod of this template gets something out of the Secret, as environment or as files."""
    spec = template.get("spec") or {}
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        for entry in container.get("env") or []:
            if _name((entry.get("valueFrom") or {}).get("secretKeyRef")) == secret:
                return True
        if any(_name(source.get("secretRef")) == secret for source in container.get("envFrom") or []):
            return True
    for volume in spec.get("volumes") or []:
        if (volume.get("secret") or {}).get("secretName") == secret:
            return True
        if any(
            _name(source.get("secret")) == secret for source in (volume.get("projected") or {}).get("sources") or []
        ):
            return True
    return False


def _name(reference: Any) -> str:
    return str((reference or {}).get("name") or "")


def version_in(template: Object, secret: str) -> str:
    """Which version of the Secret the pods of a template were started for; empty when it does not say."""
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(VERSION_ANNOTATION + secret) or "")


@dataclass(frozen=True)
class User:
    """A workload that uses the Secret.

    :param version: the version its pods were started for.
    :param ready: whether it is rolled out and available.
    """

    ref: Ref
    version: str
    ready: bool


def users(kube: Kube, namespace: str, secret: str) -> list[User]:
    found = []
    for kind in _KINDS:
        for workload in kube.find("apps/v1", kind, namespace):
            template = workload["spec"]["template"]
            if uses_secret(template, secret):
                ref = Ref.of(workload)
                test = readiness(ref)
                found.append(User(ref, version_in(template, secret), test is None or test[1](workload)))
    return found


def restart(kube: Kube, user: User, secret: str, version: str) -> None:
    """New pods for that version of the Secret, in the workload's own way of replacing them."""
    annotations = {VERSION_ANNOTATION + secret: version}
    kube.patch(user.ref, {"spec": {"template": {"metadata": {"annotations": annotations}}}})


def wait_rolled_out(kube: Kube, user: User, timeout: float) -> None:
    """:raises Timeout: naming what its pods are stuck at."""
    test = readiness(user.ref)
    if test is not None:
        wait_ready(kube, user.ref, *test, time.monotonic() + timeout, timeout)
