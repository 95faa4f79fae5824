# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pods of a release have logged. Private to this collection."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ansible_collections.railiance.stack.plugins.module_utils._helm import Release
from ansible_collections.railiance.stack.plugins.module_utils._kube import ApiError, Kube, Object, Ref
from ansible_collections.railiance.stack.plugins.module_utils._manage_pod import Mask, secret_references

_ERROR = re.compile(r"\b(ERROR|CRITICAL|FATAL)\b|^Traceback \(most recent call last\)|^panic:")
_TAIL = 500
_LONGEST = 300


def error_lines(log: str) -> list[str]:
    """Lines that look like errors, in order, each kind of line once."""
    found = (line.strip()[:_LONGEST] for line in log.splitlines() if _ERROR.search(line))
    return list(dict.fromkeys(found))


def suspicious_lines(kube: Kube, namespace: str, release: Release) -> list[str]:
    """The same for every pod of the release's Deployments that runs its image, with the values of Secrets hidden."""
    found: list[str] = []
    for deployment in (obj for obj in release.manifest if obj["kind"] == "Deployment"):
        template = deployment["spec"]["template"]
        images = {container["image"] for container in template["spec"]["containers"]}
        secrets = (kube.get(Ref("v1", "Secret", name, namespace)) for name in secret_references(template))
        mask = Mask([secret for secret in secrets if secret])
        labels = deployment["spec"]["selector"]["matchLabels"]
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        for pod, container in _containers(kube.find("v1", "Pod", namespace, selector), images):
            try:
                found += error_lines(mask(kube.logs(namespace, pod, container, tail=_TAIL)))
            except ApiError:
                continue  # the pod went away meanwhile
    return list(dict.fromkeys(found))


def _containers(pods: Iterable[Object], images: set[str]) -> Iterable[tuple[str, str]]:
    for pod in pods:
        for container in pod["spec"]["containers"]:
            if container["image"] in images and not pod["metadata"].get("deletionTimestamp"):
                yield pod["metadata"]["name"], container["name"]
