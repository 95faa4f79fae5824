# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: what a failed release has done to the schema that the version before cannot work with."""

from __future__ import annotations

DOCUMENTATION = r"""
name: release_broken
short_description: Migrations that keep a failed release from being taken back
version_added: 0.1.0
description:
  - Says which migrations of a release have happened although the version before cannot work with them.
  - When nobody could be asked what has happened, it is all of them.
author:
  - The railiance.stack authors (@railiance)
options:
  _input:
    description: Results of the tasks that may have moved the schema and of the one that failed, in their order.
    type: list
    elements: dict
    required: true
  way:
    description: The way that M(railiance.stack.release_way) returned.
    type: dict
    required: true
positional: way
"""

EXAMPLES = r"""
- name: Show what keeps the version before from being put back
  ansible.builtin.debug:
    msg: "{{ [migrated, ansible_failed_result] | railiance.stack.release_broken(decision.way) }}"
"""

RETURN = r"""
_value:
  description: Names of migrations; empty when the version before can be put back.
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._decision import broken


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"release_broken": lambda results, way: broken(way, results)}
