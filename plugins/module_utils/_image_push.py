# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tags of a registry must change to name an image, and the cheapest way there. Private to this collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._image_contract import Finding, require
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step
from ansible_collections.railiance.stack.plugins.module_utils._registry import (
    Manifest,
    Registry,
    check_tags,
    is_commit_like,
)
from ansible_collections.railiance.stack.plugins.module_utils._skopeo import Source

#: ``upload(tag)`` sends the image's layers, lets the tag name it, and says how many bytes that took.
Upload = Callable[[str], int]
#: What is not as it should be with the image that is to be sent.
Inspect = Callable[[], list[Finding]]


@dataclass
class Publication:
    """What the tags name now, and what has to happen.

    :param found: tag to manifest, ``None`` where the tag names nothing.
    :param outcomes: tag to one of unchanged, created, moved, replaced; without a source present or absent.
    :param findings: what the contract says about the image; looked at only when it has to be sent.
    :param bytes_sent: what the layers took on the way.
    :param done: the plan was carried out and read back.
    """

    registry: Registry
    tags: list[str]
    source: Source | None
    found: dict[str, Manifest | None]
    plan: Plan = field(default_factory=Plan)
    outcomes: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    bytes_sent: int = 0
    done: bool = False


def look(registry: Registry, tags: list[str], source: Source | None) -> Publication:
    """Read what every tag names: one request a tag, and one challenge and one token before the first."""
    check_tags(tags)
    return Publication(registry, tags, source, {tag: registry.manifest(tag) for tag in tags})


def plan_publication(
    publication: Publication, upload: Upload, *, replace: bool = False, inspect: Inspect = list
) -> Publication:
    """Fill in plan and outcomes. The image is sent at most once; every further tag is one manifest.

    :raises StackError: when a tag that looks like a commit names other content, and ``replace`` is not given; when
        the image that has to be sent does not keep the contract.
    :raises NeedsOperator: when something has to be written and the account may not.
    """
    registry, source = publication.registry, publication.source
    if source is None:
        publication.outcomes = {tag: "present" if found else "absent" for tag, found in publication.found.items()}
        if not all(publication.found.values()):
            registry.may_write()
        return publication
    same = {tag: m for tag, m in publication.found.items() if m and m.config_digest == source.config_digest}
    content: list[Manifest] = list(same.values())[:1]
    for tag in publication.tags:
        found = publication.found[tag]
        name = f"image {registry.name}:{tag}"
        if tag in same:
            publication.outcomes[tag] = "unchanged"
            continue
        if found and is_commit_like(tag) and not replace:
            raise StackError(
                f"{registry.name}:{tag} names other content already: {_short(found)}, not {source.config_digest[:19]}.",
                "A commit's image does not change. Push under another tag, or give replace: true if it shall.",
                digest=found.digest,
                config_digest=found.config_digest,
            )
        publication.outcomes[tag] = "created" if not found else "replaced" if is_commit_like(tag) else "moved"
        first = not publication.plan.steps and not content
        publication.plan.add(
            Step(
                "update" if found else "create",
                name,
                before={"digest": found.digest, "config": found.config_digest} if found else None,
                after={"config": source.config_digest},
                do=partial(_send, publication, upload, tag) if first else partial(_tag, publication, content, tag),
                note=("layers are sent" if first else "content is there, one manifest is written")
                + ("" if is_commit_like(tag) else "; the tag may move"),
            )
        )
    if publication.plan.changed:
        registry.may_write()
        if not content:
            publication.findings = inspect()
            require(publication.findings, source.reference)
    return publication


def verify(publication: Publication) -> Publication:
    """After execution: read back what the changed tags name.

    :raises StackError: when a tag names something else than what was pushed.
    """
    wanted = publication.source.config_digest if publication.source else ""
    for tag, outcome in publication.outcomes.items():
        if outcome == "unchanged":
            continue
        found = publication.registry.manifest(tag)
        if found is None or found.config_digest != wanted:
            raise StackError(
                f"{publication.registry.name}:{tag} does not name the pushed image"
                f" ({_short(found) if found else 'it names nothing'}).",
                "Somebody else pushed the same tag at the same time, or the client changed the image's format:"
                " build with --format docker and push again.",
            )
        publication.found[tag] = found
    publication.done = True
    return publication


def _send(publication: Publication, upload: Upload, tag: str) -> None:
    publication.bytes_sent += upload(tag)


def _tag(publication: Publication, content: list[Manifest], tag: str) -> None:
    """Write the manifest that another of the tags names; after an upload it is read first, once."""
    if not content:
        uploaded = next(step for step in publication.tags if publication.outcomes[step] != "unchanged")
        manifest = publication.registry.manifest(uploaded)
        if manifest is None:
            raise StackError(f"{publication.registry.name}:{uploaded} has just disappeared.", "Run this again.")
        content.append(manifest)
    publication.registry.put_manifest(tag, content[0])


def _short(manifest: Manifest) -> str:
    return manifest.config_digest[:19] or "an index of several platforms"
