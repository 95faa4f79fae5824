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
  - Chooses from the history that M(railiance.stack.release_info) returns. Only a revision that was complete is chosen.
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
      - V(previous) for the last complete revision with another image than the newest one, V(current) for the newest
        complete one, or a number.
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
    if str(wanted) == "previous":
        found = [one for one in complete if one["image"] != history[0]["image"]]
    elif str(wanted) == "current":
        found = complete
    else:
        found = [one for one in complete if str(one["revision"]) == str(wanted)]
    if found:
        return found[0]
    known = "; ".join(f"{one['revision']}: {one['description']}" for one in complete) or "none"
    raise AnsibleFilterError(f"There is no complete revision '{wanted}'. Complete are: {known}.")


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"release_target": release_target}
