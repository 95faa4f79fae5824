# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: what an entry of stack_apps asks for, comparable."""

from __future__ import annotations

DOCUMENTATION = r"""
name: release_identity
short_description: What an entry of stack_apps asks for, in a form that can be compared
version_added: 0.1.0
description:
  - Turns an entry of C(stack_apps) into what M(railiance.stack.release_info) and M(railiance.stack.release_record)
    take.
  - C(settings) in the answer is a short text that stands for the entry without its version, for the given settings, and
    for the files of this collection that take part in a release. Secret values enter it through scrypt.
author:
  - The railiance.stack authors (@railiance)
options:
  _input:
    description: One entry.
    type: dict
    required: true
  settings:
    description: Variables of the role that the release depends on.
    type: dict
    required: true
positional: settings
"""

EXAMPLES = r"""
- name: Show what would be compared
  ansible.builtin.debug:
    msg: "{{ stack_apps[0] | railiance.stack.release_identity({'registry': 'gitea.example.org'}) }}"
"""

RETURN = r"""
_value:
  description:
    - The keys C(name), C(namespace), C(settings), C(version), and where they apply C(database), C(pull_secret) and
      C(ingress_class).
  type: dict
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.plugin_utils._release_identity import identity


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"release_identity": identity}
