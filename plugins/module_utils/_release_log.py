# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pods of a release have logged. Private to this collection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._helm import Release
from ansible_collections.railiance.stack.plugins.module_utils._kube import ApiError, Kube, Object, Ref, selector_of
from ansible_collections.railiance.stack.plugins.module_utils._manage_pod import Mask, secret_references
from ansible_collections.railiance.stack.plugins.module_utils._release import Wanted

#: Regular expressions of lines that look like errors.
PATTERNS = (
    r"\b(ERROR|CRITICAL|FATAL)\b",
    r'"level": ?"(error|critical|fatal)"',
    r"^Traceback \(most recent call last\)",
    r"^panic:",
)
#: Options of the modules that read it.
LOG_SPEC: dict[str, Any] = {
    "errors": {"type": "str", "choices": ["warn", "fail"], "default": "warn"},
    "patterns": {"type": "list", "elements": "str", "default": list(PATTERNS)},
    "ignore": {"type": "list", "elements": "str", "default": []},
}
#: How many lines a result shows.
SHOWN = 20
_TRACEBACK = "Traceback (most recent call last)"
_TAIL = 500
_LONGEST = 300


class Errors:
    """Finds lines that look like errors.

    :param patterns: regular expressions, any of which makes a line one.
    :param ignore: regular expressions of lines that are none all the same.
    :raises StackError: when one of them is no regular expression.
    """

    def __init__(self, patterns: Sequence[str] = PATTERNS, ignore: Sequence[str] = ()) -> None:
        self._wanted = [_compiled(pattern) for pattern in patterns]
        self._ignored = [_compiled(pattern) for pattern in ignore]

    def lines(self, log: str) -> list[str]:
        """In order, each kind of line once; a traceback as its last line, which names the exception."""
        found = []
        lines = log.splitlines()
        for number, line in enumerate(lines):
            if any(pattern.search(line) for pattern in self._wanted):
                text = _exception(lines, number) if line.startswith(_TRACEBACK) else line.strip()
                if not any(pattern.search(text) for pattern in self._ignored):
                    found.append(text[:_LONGEST])
        return list(dict.fromkeys(found))


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise StackError(
            f"{pattern!r} is no regular expression: {error}.", "Correct log_patterns or log_ignore of the entry."
        ) from error


def _exception(lines: Sequence[str], start: int) -> str:
    """The first line after a traceback's frames."""
    for line in lines[start + 1 :]:
        if line.strip() and not line.startswith(" "):
            return f"Traceback: {line.strip()}"
    return lines[start].strip()


def suspicious_lines(kube: Kube, namespace: str, release: Release, errors: Errors) -> list[str]:
    """Of every pod of the release's Deployments that runs its image, with the values of Secrets hidden.

    A container that was restarted counts as well, whatever it logged.
    """
    found: list[str] = []
    for deployment in (obj for obj in release.manifest if obj["kind"] == "Deployment"):
        template = deployment["spec"]["template"]
        images = {container["image"] for container in template["spec"]["containers"]}
        secrets = (kube.get(Ref("v1", "Secret", name, namespace)) for name in secret_references(template))
        mask = Mask([secret for secret in secrets if secret])
        labels = deployment["spec"]["selector"]["matchLabels"]
        selector = selector_of(labels)
        for pod, container, restarts in _containers(kube.find("v1", "Pod", namespace, selector), images):
            if restarts:
                found.append(f"container {container} of Pod {pod} was restarted {restarts} times")
            try:
                found += errors.lines(mask(kube.logs(namespace, pod, container, tail=_TAIL)))
            except ApiError:
                continue  # the pod went away meanwhile
    return list(dict.fromkeys(found))


def _containers(pods: Iterable[Object], images: set[str]) -> Iterable[tuple[str, str, int]]:
    """Pod, container and how often it was restarted."""
    for pod in pods:
        statuses = {one["name"]: one for one in (pod.get("status") or {}).get("containerStatuses") or []}
        for container in pod["spec"]["containers"]:
            if container["image"] in images and not pod["metadata"].get("deletionTimestamp"):
                name = container["name"]
                yield pod["metadata"]["name"], name, int(statuses.get(name, {}).get("restartCount") or 0)


def read_log(
    kube: Kube, wanted: Wanted, release: Release, params: Mapping[str, Any], warn: Callable[[str], object]
) -> list[str]:
    """The lines that look like errors, told as ``params`` ask for.

    :param params: ``errors``, ``patterns`` and ``ignore`` of :data:`LOG_SPEC`.
    :raises StackError: when they fail the task.
    """
    lines = suspicious_lines(kube, wanted.namespace, release, Errors(params["patterns"], params["ignore"]))
    if not lines:
        return []
    told = f"{wanted.name} has logged {len(lines)} lines that look like errors: {' | '.join(lines[:3])}"
    if params["errors"] == "fail":
        raise StackError(
            f"{told}.",
            "Correct the cause, or name what is harmless in log_ignore of the entry.",
            suspicious=lines[:SHOWN],
        )
    warn(told)
    return lines
