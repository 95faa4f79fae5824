# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that release a chart share: its files, its policy, what serves now. Private to this collection."""

from __future__ import annotations

import base64
import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._helm import (
    RECORD,
    Chart,
    Release,
    Runner,
    environment,
    read_releases,
)
from ansible_collections.railiance.stack.plugins.module_utils._kube import ApiError, Kube, Ref
from ansible_collections.railiance.stack.plugins.module_utils._manage_pod import secret_references
from ansible_collections.railiance.stack.plugins.module_utils._policy import Rules, pods, violations
from ansible_collections.railiance.stack.plugins.module_utils._release import ROLLING_OUT, STATE_LABEL
from ansible_collections.railiance.stack.plugins.module_utils._smoke import LOGIN_SECRET_SPEC, credentials_of

#: Options of both; ``chart``, ``values`` and whether ``policy`` is needed are each module's own.
CHART_SPEC: dict[str, Any] = {
    "chart_files": {"type": "dict"},
    "policy": {
        "type": "dict",
        "options": {
            "hosts": {"type": "list", "elements": "str", "default": []},
            "django": {"type": "bool", "default": False},
            "login": LOGIN_SECRET_SPEC,
        },
    },
    "wait_timeout": {"type": "int", "default": 300},
    "description": {"type": "str", "default": ""},
    "labels": {"type": "dict", "default": {}},
    "binary_path": {"type": "path", "default": "/usr/local/bin/helm"},
}


@contextlib.contextmanager
def laid_out(
    params: Mapping[str, Any], make_runner: Callable[[dict[str, str]], Runner]
) -> Iterator[tuple[str, Runner]]:
    """The chart's path on this host, and what runs Helm there; files that came along are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="helm-release-") as folder:
        path = unpack(params["chart_files"], f"{folder}/chart") if params["chart_files"] else str(params["chart"])
        yield path, make_runner(environment(dict(params), folder))


def chart_of(params: Mapping[str, Any], path: str, name: str, namespace: str, **more: Any) -> Chart:
    """:param more: further fields of :class:`Chart`; ``values`` among them."""
    return Chart(
        name=name,
        namespace=namespace,
        path=path,
        binary=params["binary_path"],
        options=["--kube-context", params["context"]] if params.get("context") else [],
        description=params["description"],
        labels={key: str(value) for key, value in params["labels"].items()},
        timeout=params["wait_timeout"],
        **more,
    )


def unpack(files: dict[str, str], folder: str) -> str:
    """Write the chart's files below ``folder`` and return the chart's path."""
    for name, content in files.items():
        path = Path(folder, name)
        if not path.resolve().is_relative_to(Path(folder).resolve()):
            raise StackError(f"The chart holds a file outside of itself: {name}.", "Correct the chart.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))
    return folder


def check(kube: Kube, rendered: list[dict[str, Any]], policy: Mapping[str, Any], target: str) -> None:
    """:raises StackError: with everything that the policy and the server have against these objects."""
    rules = Rules(tuple(policy["hosts"]), policy["django"])
    names = {
        (obj["metadata"].get("namespace"), name)
        for obj in rendered
        for pod in pods(obj)
        for name in secret_references(pod)
    }
    secrets = {name: kube.get(Ref("v1", "Secret", name, namespace)) for namespace, name in sorted(names)}
    found = violations(rendered, {name: secret for name, secret in secrets.items() if secret}, rules)
    if policy["login"]:
        try:
            credentials_of(kube, policy["login"])
        except NeedsOperator as error:
            found.append(str(error))
    for obj in rendered:
        ref = Ref.of(obj)
        # What a namespace would take cannot be asked before it exists.
        if ref.namespace and kube.get(Ref("v1", "Namespace", ref.namespace)) is None:
            continue
        try:
            kube.apply(obj, dry_run=True)
        except ApiError as error:
            found.append(f"{ref} is refused by the server: {error.message}")
    if found:
        raise StackError(f"{target} is not released: {' '.join(found)}", "Correct the entry.", violations=found)


def served(releases: list[Release]) -> dict[str, Any]:
    """The revision that serves now, 0 when none does, and the newest one, which may have failed.

    :param releases: newest first.
    """
    newest = releases[0].revision if releases else 0
    for release in releases:
        # Before one that is rolling out, the one that it has superseded.
        if release.status in ("deployed", "superseded") and release.labels.get(STATE_LABEL) != ROLLING_OUT:
            unknown = (release.values.get(RECORD) or {}).get("unknown") or []
            return {
                "revision": release.revision,
                "newest": newest,
                "image": str(release.values.get("image") or ""),
                "unknown": [str(name) for name in unknown],
            }
    return {"revision": 0, "newest": newest, "image": "", "unknown": []}


def live_pod(kube: Kube, chart: Chart) -> dict[str, Any]:
    """The pod template that serves now; empty when there is none."""
    deployment = kube.get(Ref("apps/v1", "Deployment", chart.name, chart.namespace)) or {}
    return dict((deployment.get("spec") or {}).get("template") or {})


def stored_values(kube: Kube, chart: Chart, revision: int) -> dict[str, Any]:
    """:raises StackError: when the revision is not stored any more."""
    for release in read_releases(kube, chart.namespace, chart.name):
        if release.revision == revision:
            return release.values
    raise StackError(f"{chart.target} has no revision {revision}.", "Look with: helm history")


def services(kube: Kube, rendered: list[dict[str, Any]]) -> dict[str, str]:
    """Address and port of each Service of the release inside the cluster."""
    found = {}
    for ref in (Ref.of(obj) for obj in rendered if obj["kind"] == "Service"):
        spec = (kube.get(ref) or {}).get("spec") or {}
        if spec.get("clusterIP") and spec.get("ports"):
            found[ref.name] = f"{spec['clusterIP']}:{spec['ports'][0]['port']}"
    return found
