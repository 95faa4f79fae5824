# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The revision to go back to, or to act on. Private to this collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator

Revisions = Sequence[Mapping[str, Any]]


def release_target(history: Revisions, wanted: str) -> Mapping[str, Any]:
    """Only a version whose release was complete is chosen.

    :param history: as the module ``release_info`` returns it, newest first.
    :param wanted: ``previous`` for the last complete revision with another image than the newest one, ``current`` for
        the one that serves, or a number.
    :raises NeedsOperator: when there is no such revision, with those that there are.
    """
    complete = [one for one in history if one["complete"]]
    if wanted == "current":
        return _serving(history, complete)
    if wanted == "previous":
        found = [one for one in complete if one["image"] != history[0]["image"]]
    else:
        found = [one for one in complete if str(one["revision"]) == wanted]
    if found:
        return found[0]
    known = "; ".join(f"{one['revision']}: {one['description']}" for one in complete) or "none"
    raise NeedsOperator(f"There is no complete revision '{wanted}'.", f"Complete are: {known}.")


def _serving(history: Revisions, complete: Revisions) -> Mapping[str, Any]:
    """A later revision of an image that was complete once, such as one that was put back, is good."""
    serves = next((one for one in history if one["status"] == "deployed"), None)
    if serves is None:
        raise NeedsOperator("No revision serves.", "Release the application first, with deploy_stack or promote.")
    if complete and complete[0]["image"] == serves["image"]:
        return serves
    version = f"commit={serves['commit']}" if serves["commit"] else f"image={serves['image']}"
    raise NeedsOperator(
        f"Revision {serves['revision']} serves ({serves['description']}), and the release of that version is not"
        " complete.",
        f"Complete it with promote -e {version}, or go back with rollback; then run this again.",
    )
