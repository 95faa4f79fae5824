# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions of a registry nobody needs any more, and why the others stay. Private to this collection.

:func:`needed_images` reads the cluster; :func:`judge` is pure.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._helm import read_releases
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object
from ansible_collections.railiance.stack.plugins.module_utils._packages import CleanupTask, Version, unique_bytes
from ansible_collections.railiance.stack.plugins.module_utils._registry import is_commit_like

#: What may name an image, and where its pod template is.
_WORKLOADS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("v1", "Pod", ("spec",)),
    ("apps/v1", "Deployment", ("spec", "template", "spec")),
    ("apps/v1", "ReplicaSet", ("spec", "template", "spec")),
    ("apps/v1", "StatefulSet", ("spec", "template", "spec")),
    ("apps/v1", "DaemonSet", ("spec", "template", "spec")),
    ("batch/v1", "Job", ("spec", "template", "spec")),
    ("batch/v1", "CronJob", ("spec", "jobTemplate", "spec", "template", "spec")),
)
_VERSION_LIKE = re.compile(r"v?\d+(\.\d+)+([.+-].*)?")
#: Gitea keeps blobs that no version names for this long, counted from their upload.
DEFAULT_OLDER_THAN = datetime.timedelta(hours=24)


@dataclass(frozen=True)
class Rules:
    """What stays.

    :param releases: how many releases of an image, counted from each one that runs and from the newest.
    :param wheels: how many versions of a Python package.
    :param tags: patterns of tags that always stay.
    :param youngest: everything younger stays.
    :param names: patterns of packages that are looked at; the others stay.
    """

    releases: int = 3
    wheels: int = 3
    tags: tuple[str, ...] = ("latest",)
    youngest: datetime.timedelta = datetime.timedelta(hours=48)
    names: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Needed:
    """An image that something in the cluster names.

    :param repository: ``owner/name``.
    :param by: who names it, in kubectl's words.
    :param runs: a running or wanted pod names it, not only an earlier release.
    """

    repository: str
    tag: str
    digest: str
    by: str
    runs: bool = True

    def names(self, version: Version) -> bool:
        if f"{version.owner}/{version.name}".lower() != self.repository:
            return False
        return version.digest == self.digest if self.digest else version.version.lower() == self.tag


@dataclass
class Verdict:
    """One version and why it stays; without a reason it goes."""

    version: Version
    reasons: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        version = self.version
        return {
            "owner": version.owner,
            "type": version.type,
            "name": version.name,
            "version": version.version,
            "digest": version.digest,
            "created": version.created.isoformat(),
            "size": version.size,
            "reasons": self.reasons,
        }


# -- what the cluster needs ------------------------------------------------------------------------------------------
def needed_images(kube: Kube, host: str, releases: int) -> list[Needed]:
    """Every image of this registry that a workload, a running container or one of Helm's last revisions names."""
    found: list[Needed] = []
    for api_version, kind, path in _WORKLOADS:
        for obj in kube.find(api_version, kind):
            by = f"{kind} {obj['metadata'].get('namespace')}/{obj['metadata']['name']}"
            earlier = kind == "ReplicaSet" and not (obj.get("spec") or {}).get("replicas")
            for image in [*_images(_at(obj, path)), *_running(obj)]:
                found += _needed(image, host, by, runs=not earlier)
    for namespace, name in sorted(_helm_releases(kube)):
        for revision in read_releases(kube, namespace, name)[:releases]:
            by = f"Helm release {namespace}/{name}, revision {revision.revision}"
            templates = (_at(obj, path) for obj in revision.manifest for path in (p for *_k, p in _WORKLOADS))
            for image in {image for template in templates for image in _images(template)}:
                found += _needed(image, host, by, runs=False)
    return found


def _helm_releases(kube: Kube) -> set[tuple[str, str]]:
    labelled = (secret["metadata"] for secret in kube.find("v1", "Secret", None, "owner=helm"))
    return {(meta["namespace"], (meta.get("labels") or {}).get("name", "")) for meta in labelled}


def _at(obj: Object, path: Sequence[str]) -> Mapping[str, Any]:
    value: Any = obj
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _images(pod_spec: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod_spec.get(kind) or []:
            if isinstance(container, dict) and container.get("image"):
                yield str(container["image"])


def _running(obj: Object) -> Iterator[str]:
    """What the container runtime says it runs, by digest: a tag may have moved since."""
    status = obj.get("status") or {}
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or []:
            if "@sha256:" in str(container.get("imageID") or ""):
                yield str(container["imageID"])


def _needed(image: str, host: str, by: str, *, runs: bool) -> list[Needed]:
    repository, tag, digest = split_image(image, host)
    return [Needed(repository, tag, digest, by, runs)] if repository else []


def split_image(image: str, host: str) -> tuple[str, str, str]:
    """``(owner/name, tag, digest)`` of an image of this registry; three empty strings for another's."""
    name = image.partition("://")[2] or image
    if not name.lower().startswith(f"{host.lower()}/"):
        return "", "", ""
    name, _at_sign, digest = name[len(host) + 1 :].partition("@")
    repository, _colon, tag = name.partition(":")
    return repository.lower(), tag.lower() or ("" if digest else "latest"), digest


# -- what stays ------------------------------------------------------------------------------------------------------
def judge(versions: Iterable[Version], needed: Iterable[Needed], rules: Rules, now: datetime.datetime) -> list[Verdict]:
    """Every version with the reasons why it stays; children of an index stay with it."""
    verdicts = [Verdict(version) for version in versions]
    wanted = list(needed)
    running: set[int] = set()
    for verdict in verdicts:
        version = verdict.version
        if not any(fnmatch(version.name, pattern) for pattern in rules.names):
            verdict.reasons.append("is not looked at")
        for one in wanted:
            if one.names(version):
                verdict.reasons.append(f"{'runs' if one.runs else 'ran'}: {one.by}")
                if one.runs:
                    running.add(id(verdict))
        if now - version.created < rules.youngest:
            verdict.reasons.append(f"is younger than {rules.youngest.total_seconds() / 3600:g} h")
        if version.type == "container" and any(fnmatch(version.version, pattern) for pattern in rules.tags):
            verdict.reasons.append(f"tag {version.version} is kept")
    for package in {verdict.version.package for verdict in verdicts}:
        _keep_newest([v for v in verdicts if v.version.package == package], rules, running)
    _keep_children(verdicts)
    for verdict in verdicts:
        verdict.reasons = list(dict.fromkeys(verdict.reasons))
    return verdicts


def is_release(version: Version) -> bool:
    """Whether a version is a release: a Python package's, and an image's whose tag is a commit or a version number."""
    if version.type != "container":
        return True
    tag = version.version
    return not tag.startswith("sha256:") and (is_commit_like(tag) or bool(_VERSION_LIKE.fullmatch(tag)))


def _keep_newest(verdicts: list[Verdict], rules: Rules, running: set[int]) -> None:
    ordered = sorted(
        (v for v in verdicts if is_release(v.version)),
        key=lambda v: (v.version.created, v.version.version),
        reverse=True,
    )
    many = rules.releases if verdicts[0].version.type == "container" else rules.wheels
    for verdict in ordered[:many]:
        verdict.reasons.append(f"is one of the newest {many}")
    # What runs may be older than builds that were never released: what came before it is what one goes back to.
    digests = {v.version.digest for v in verdicts if id(v) in running}
    for start, verdict in enumerate(ordered):
        if verdict.version.digest and verdict.version.digest in digests:
            for earlier in ordered[start + 1 : start + many]:
                earlier.reasons.append(f"is one of the {many - 1} releases before {verdict.version.version[:12]}")


def _keep_children(verdicts: list[Verdict]) -> None:
    """Of everything that stays, and of what they in turn name."""
    waiting = [verdict for verdict in verdicts if verdict.reasons]
    seen: set[int] = set()
    while waiting:
        parent = waiting.pop()
        if id(parent) in seen:
            continue
        seen.add(id(parent))
        for verdict in verdicts:
            if verdict.version.package == parent.version.package and verdict.version.digest in parent.version.children:
                verdict.reasons.append(f"belongs to the index {parent.version.version}")
                waiting.append(verdict)


def in_order(verdicts: Iterable[Verdict]) -> list[Version]:
    """What goes, an index before its children: cut off in between, no index is left that lacks one."""
    gone = [verdict.version for verdict in verdicts if not verdict.reasons]
    return sorted(gone, key=lambda v: (not v.children, v.version.startswith("sha256:"), v.created))


# -- when the space is free ------------------------------------------------------------------------------------------
def space(
    verdicts: Iterable[Verdict], task: CleanupTask, older_than: datetime.timedelta, now: datetime.datetime
) -> dict[str, Any]:
    """How much the removed versions held alone, and when Gitea's own task frees it: deleting frees nothing yet."""
    every = list(verdicts)
    gone, kept = [v.version for v in every if not v.reasons], [v.version for v in every if v.reasons]
    released = unique_bytes([*gone, *kept]) - unique_bytes(kept)
    if not gone:
        return {"bytes": 0, "after": "", "text": "Everything is needed."}
    if not released:
        return {"bytes": 0, "after": "", "text": "Nothing is freed: versions that stay consist of the same."}
    old_enough = max(version.created for version in gone) + older_than
    due = max(old_enough, now)
    text = (
        f"{released / 1e6:.1f} MB are free once Gitea's task cleanup_packages ({task.schedule}) has run after"
        f" {due:%Y-%m-%d %H:%M} UTC"
    )
    if task.next_run:
        text += f"; its next run is {task.next_run:%Y-%m-%d %H:%M} UTC"
        if task.next_run < due:
            text += ", too early for all of it"
    return {"bytes": released, "after": due.isoformat(), "text": f"{text}."}


def parse_duration(text: str) -> datetime.timedelta:
    """Go's way to write one, ``24h``, ``1h30m``, ``90s``.

    :raises StackError: for anything else.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|m|s)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise StackError(f"{text!r} is no duration.", "Write it as Gitea does, 24h or 1h30m.")
    seconds = {"h": 3600, "m": 60, "s": 1}
    return datetime.timedelta(seconds=sum(float(number) * seconds[unit] for number, unit in parts))


def table(verdicts: Iterable[Verdict]) -> list[str]:
    """One line a version, for a person: what goes first."""
    ordered = sorted(verdicts, key=lambda v: (bool(v.reasons), v.version.package, v.version.created))
    width = max((len(str(verdict.version)) for verdict in ordered), default=0)
    return [
        f"{'keep' if verdict.reasons else 'delete':<6}  {verdict.version!s:<{width}}"
        f"  {verdict.version.size / 1e6:>8.1f} MB  {'; '.join(verdict.reasons[:2])}".rstrip()
        for verdict in ordered
    ]
