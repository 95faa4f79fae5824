# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan, then act: the one object that is shown in check mode and executed otherwise. Private to this collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError

Action = Literal["create", "update", "delete", "run"]


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Step:
    """One change.

    :param action: what happens to the target.
    :param target: the object in kubectl's words, ``Secret databases/apps-pg-app`` or ``/swapfile``.
    :param before: state now, ``None`` when absent; secrets already masked.
    :param after: state afterwards, ``None`` when deleted; secrets already masked.
    :param do: carries the step out; its return value is collected by :meth:`Plan.execute`.
    :param note: what a reader cannot see in before and after.
    """

    action: Action
    target: str
    before: Any = None
    after: Any = None
    do: Callable[[], Any] = field(default=_nothing, repr=False, compare=False)
    note: str = ""


class Plan:
    """An ordered list of steps; empty means the world already is as asked for."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self.steps: list[Step] = list(steps)

    def add(self, step: Step) -> None:
        self.steps.append(step)

    @property
    def changed(self) -> bool:
        return bool(self.steps)

    def describe(self) -> list[dict[str, str]]:
        """The plan in a result: ``[{action, target, note}]``."""
        return [{"action": s.action, "target": s.target, "note": s.note} for s in self.steps]

    def diff(self) -> list[dict[str, Any]]:
        """The plan as Ansible's diff: one before/after pair a step."""
        return [
            {
                "before_header": f"{step.target} (current)",
                "after_header": f"{step.target} ({step.action})",
                "before": {} if step.before is None else step.before,
                "after": {} if step.after is None else step.after,
            }
            for step in self.steps
        ]

    def execute(self) -> list[Any]:
        """Carry the steps out in order and return what each doer returned.

        :raises StackError: of the failing step, with ``failed_step`` and ``done_steps`` added, so that a reader
            knows what already happened.
        """
        results: list[Any] = []
        for index, step in enumerate(self.steps):
            try:
                results.append(step.do())
            except StackError as error:
                error.result.setdefault("failed_step", f"{step.action} {step.target}")
                error.result.setdefault("done_steps", [f"{s.action} {s.target}" for s in self.steps[:index]])
                raise
        return results
