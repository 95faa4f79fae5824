# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: what no single key of an application's entry can say."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_app_rules
short_description: Names every rule across its keys that an application's entry breaks
version_added: 0.1.0
description:
  - Debugging turned on, or a secret, in C(environment) or C(config), where it would lie open; a login from outside for
    a private application; a record without a login; what is no regular expression.
  - C(railiance.stack.stack_app_errors) includes them for each entry of a list.
  - Values are not repeated in the answer.
author:
  - The railiance.stack authors (@railiance)
options:
  _input:
    description: One entry of C(stack_apps).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Stop at an entry that breaks a rule
  ansible.builtin.assert:
    that: broken | length == 0
    fail_msg: "{{ broken | join(' ') }}"
  vars:
    broken: "{{ stack_apps[0] | railiance.stack.stack_app_rules }}"
"""

RETURN = r"""
_value:
  description: "The rules, such as C(config.environment.DEBUG: is on. No application is released with it; remove it.)"
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.plugin_utils._app_rules import app_rules


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"stack_app_rules": app_rules}
