# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared ``main()`` of the modules that need no cluster; imports nothing of Kubernetes. Private to this collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan


@dataclass
class Work:
    """What a module found out: the plan and the fields of its result.

    :param plan: executed unless in check mode.
    :param result: further fields of the result; plain values only.
    :param always: what runs also when the plan is empty, but never in check mode; it changes nothing a user asked for.
    """

    plan: Plan
    result: dict[str, Any] = field(default_factory=dict)
    always: Callable[[], None] | None = None


def run_host_module(
    argument_spec: dict[str, Any],
    look: Callable[[AnsibleModule], Work],
    **module_options: Any,
) -> NoReturn:
    """Read, plan, and act unless in check mode.

    :param look: reads the world and returns the plan; must not write.
    """
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **module_options)
    try:
        work = look(module)
        if not module.check_mode:
            work.plan.execute()
            if work.always:
                work.always()
    except StackError as error:
        module.fail_json(
            msg=str(error), hint=error.hint, needs_operator=isinstance(error, NeedsOperator), **error.result
        )
    module.exit_json(changed=work.plan.changed, plan=work.plan.describe(), diff=work.plan.diff(), **work.result)
    raise AssertionError("exit_json does not return")
