# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides on the controller what a release may do to the schema: nothing has to be asked of the server for that."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.railiance.stack.plugins.module_utils import _decision
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError

_SPEC = {
    "app": {"type": "str", "required": True},
    "image": {"type": "str", "default": ""},
    "plan": {"type": "dict", "required": True},
    "reverse": {"type": "dict"},
    "accepted": {"type": "list", "elements": "str", "default": []},
    "history": {"type": "list", "elements": "dict"},
    "kept": {"type": "list", "elements": "dict", "default": []},
    "approved": {"type": "list", "elements": "str", "default": []},
    "window": {"type": "str", "default": ""},
}


def decide(options: dict[str, Any], check_mode: bool = False) -> dict[str, Any]:
    """The result in three stages: the image knows the schema; it does not, and the history tells where to go back to;
    the newer image has said how.

    :param check_mode: what the image does may then be unknown: it is not built yet.
    :raises NeedsOperator: when only a person can decide.
    :raises StackError: when the image could not be looked into.
    """
    app, image, plan = options["app"], options["image"], options["plan"]
    if plan.get("pending") is None:
        return {"way": asdict(_not_known(app, image, plan, check_mode)), "targets": [], "schema": {}, "unknown": []}
    applied, all_unknown = plan.get("applied") or [], plan.get("unknown") or []
    unknown = [name for name in all_unknown if name not in options["accepted"]]
    history, reverse = options["history"], options["reverse"]
    if unknown and history is None:
        return {"way": asdict(_decision.Way("back")), "targets": [], "schema": {}, "unknown": all_unknown}
    then = _decision.schema_of(history or [], image)
    targets = _decision.targets(unknown, applied, then, plan.get("way_back") or []) if unknown else []
    if targets and reverse is None:
        return {"way": asdict(_decision.Way("back")), "targets": targets, "schema": {}, "unknown": all_unknown}
    reversed_first = (reverse or {}).get("pending") or []
    if reversed_first:
        noted = _decision.restore_points(history or [], image)
        points = noted or _decision.taken_before(options["kept"], reversed_first)
        way = _decision.back(app, image, reversed_first, then is not None, points)
    else:
        notes = [f"does not know, and leaves as it is: {', '.join(unknown)}"] if unknown else []
        approval = _decision.Approval(tuple(options["approved"]), options["window"])
        way = _decision.forward(app, plan["pending"], approval, notes)
    after = set(applied) - set(way.migrations) if way.kind == "back" else {*applied, *way.migrations}
    left = [name for name in all_unknown if name in after]
    return {"way": asdict(way), "targets": targets, "schema": _decision.schema(after), "unknown": left}


def _not_known(app: str, image: str, plan: dict[str, Any], check_mode: bool) -> _decision.Way:
    why = next((str(step["note"]) for step in plan.get("plan") or [] if step.get("note")), "it did not say why")
    if not check_mode:
        raise StackError(
            f"Application '{app}': what {image} does to its schema is not known, so nothing was started: {why}.",
            "Correct the cause, then run again.",
        )
    return _decision.not_known(app, why)


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs nowhere but here."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        options = self.validate_argument_spec(argument_spec=_SPEC)[1]
        try:
            return {**result, "changed": False, **decide(options, self._task.check_mode)}
        except StackError as stop:
            needed = isinstance(stop, NeedsOperator)
            return {**result, "failed": True, "msg": str(stop), "hint": stop.hint, "needs_operator": needed}
