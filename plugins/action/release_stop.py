# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends a release with what failed in it, after what served was put back; a stop for a person stays one."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

_SPEC = {
    "failure": {"type": "dict", "required": True},
    "task": {"type": "str", "required": True},
    "serving": {"type": "str", "default": ""},
}


def stop(options: dict[str, Any]) -> dict[str, Any]:
    failure = options["failure"]
    said = str(failure.get("msg") or "it gave no reason").removeprefix("Task failed: ").removesuffix(".")
    serving = f"{options['serving']} serves as before." if options["serving"] else "Nothing was exposed before it."
    return {
        "failed": True,
        "changed": False,
        "msg": f"{options['task']}: {said}. {serving}",
        "hint": str(failure.get("hint") or ""),
        "needs_operator": bool(failure.get("needs_operator")),
    }


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs nowhere but here."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        return {**result, **stop(self.validate_argument_spec(argument_spec=_SPEC)[1])}
