# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends a release with what failed in it, after what served was put back; a stop for a person stays one."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

_SPEC = {
    "app": {"type": "str", "required": True},
    "failure": {"type": "dict", "required": True},
    "task": {"type": "str", "required": True},
    "serving": {"type": "str", "default": ""},
    "broken": {"type": "list", "elements": "str", "default": []},
    "restore_point": {"type": "str", "default": ""},
}


def stop(options: dict[str, Any]) -> dict[str, Any]:
    failure = options["failure"]
    said = str(failure.get("msg") or "it gave no reason").removeprefix("Task failed: ").removesuffix(".")
    ended, hint = _serving(options)
    return {
        "failed": True,
        "changed": False,
        "msg": f"{options['task']}: {said}. {ended}".rstrip(),
        "hint": " ".join(filter(None, [str(failure.get("hint") or ""), hint])),
        "needs_operator": bool(failure.get("needs_operator")),
    }


def _serving(options: dict[str, Any]) -> tuple[str, str]:
    """What users have now, and the next step when it is not what they had."""
    image, broken = options["serving"], options["broken"]
    if options["failure"].get("overtaken"):
        # The failure says whose version serves.
        return "", ""
    if not image:
        return "It was not released before; nothing of it is exposed.", ""
    if not broken:
        return f"{image} serves as before.", ""
    ended = f"{image} was not put back: it cannot work with what has happened to the schema, {', '.join(broken)}."
    hint = "Release a version that can."
    if options["restore_point"]:
        restore = f"ansible-playbook playbooks/restore.yml -e app={options['app']}"
        hint = (
            "Release a version that can, or go back to the database before it, which loses what was written since: "
            f"{restore} -e restore_point={options['restore_point']} -e restore_writers=stop, "
            "then playbooks/rollback.yml."
        )
    return ended, hint


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs nowhere but here."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        return {**result, **stop(self.validate_argument_spec(argument_spec=_SPEC)[1])}
