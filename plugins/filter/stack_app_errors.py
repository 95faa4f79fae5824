# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: every mistake in stack_apps at once."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_app_errors
short_description: Names every mistake in a list of applications
version_added: 0.1.0
description:
  - Checks each entry of C(stack_apps) against the argument spec of the role C(app_release), its only schema.
  - Returns all mistakes, each as one line that begins with the path of the key; an empty list when there are none.
  - Values are not repeated in the answer, except names, hosts and commits.
author:
  - The railiance.stack authors (@railiance)
options:
  _input:
    description: The list of applications.
    type: list
    elements: dict
    required: true
  spec:
    description: Content of C(meta/argument_specs.yml) of the role C(app_release).
    type: dict
    required: true
positional: spec
"""

EXAMPLES = r"""
- name: Stop at mistakes
  ansible.builtin.assert:
    that: mistakes | length == 0
    fail_msg: "{{ mistakes | join('\n') }}"
  vars:
    mistakes: "{{ stack_apps | railiance.stack.stack_app_errors(spec) }}"
"""

RETURN = r"""
_value:
  description: "The mistakes, such as C(stack_apps[0].image.repository: missing, expected str)."
  type: list
  elements: str
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.railiance.stack.plugins.plugin_utils._app_schema import check_apps


def stack_app_errors(apps: Any, spec: Mapping[str, Any]) -> list[str]:
    """:raises AnsibleFilterError: when ``spec`` is not the spec of app_release."""
    try:
        entry = spec["argument_specs"]["main"]["options"]["app_release_app"]
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError("stack_app_errors: spec is not the argument spec of the role app_release.") from error
    return check_apps(apps, entry)


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"stack_app_errors": stack_app_errors}
