# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the revision to go back to."""

from __future__ import annotations

DOCUMENTATION = r"""
name: release_target
short_description: The revision to go back to
version_added: 0.1.0
description:
  - Chooses from the history that M(railiance.stack.release_info) returns. Only a version whose release was complete is
    chosen.
author:
  - The railiance.stack authors (@railiance)
options:
  _input:
    description: The revisions, newest first.
    type: list
    elements: dict
    required: true
  wanted:
    description:
      - V(previous) for the last complete revision with another image than the newest one, or a number.
      - V(current) for the revision that serves. It is refused when a run was stopped before that version was complete;
        a later revision of the same image, such as one that was put back, is good.
    type: str
    required: true
positional: wanted
"""

EXAMPLES = r"""
- name: Show what a rollback would release
  ansible.builtin.debug:
    msg: "{{ releases.history | railiance.stack.release_target('previous') }}"
"""

RETURN = r"""
_value:
  description: The revision.
  type: dict
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError


def release_target(history: Sequence[Mapping[str, Any]], wanted: Any) -> Mapping[str, Any]:
    """:raises AnsibleFilterError: when there is no such revision, with those that there are."""
    complete = [one for one in history if one["complete"]]
    if str(wanted) == "current":
        return _serving(history, complete)
    if str(wanted) == "previous":
        found = [one for one in complete if one["image"] != history[0]["image"]]
    else:
        found = [one for one in complete if str(one["revision"]) == str(wanted)]
    if found:
        return found[0]
    known = "; ".join(f"{one['revision']}: {one['description']}" for one in complete) or "none"
    raise AnsibleFilterError(f"There is no complete revision '{wanted}'. Complete are: {known}.")


def _serving(history: Sequence[Mapping[str, Any]], complete: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    serves = next((one for one in history if one["status"] == "deployed"), None)
    if serves is None:
        raise AnsibleFilterError("No revision serves. Release the application first, with deploy_stack or promote.")
    if complete and complete[0]["image"] == serves["image"]:
        return serves
    version = f"commit={serves['commit']}" if serves["commit"] else f"image={serves['image']}"
    raise AnsibleFilterError(
        f"Revision {serves['revision']} serves ({serves['description']}), and the release of that version is not"
        f" complete. Complete it with promote -e {version}, or go back with rollback; then run this again."
    )


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"release_target": release_target}
