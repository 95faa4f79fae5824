# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: public host names of a list of applications."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_app_hosts
short_description: Public host names of a list of applications
version_added: 0.1.0
description:
  - Returns C(host) and C(extra_hosts) of every entry that is not private, each once.
  - Entries that are not well-formed are passed over; C(railiance.stack.stack_app_errors) names them.
author:
  - The railiance.stack authors (@railiance)
options:
  _input:
    description: The list of applications.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show them
  ansible.builtin.debug:
    msg: "{{ stack_apps | railiance.stack.stack_app_hosts }}"
"""

RETURN = r"""
_value:
  description: The host names.
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.plugin_utils._app_schema import hosts_of


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"stack_app_hosts": hosts_of}
