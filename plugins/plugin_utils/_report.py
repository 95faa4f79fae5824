# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run did, layer by layer, without its data. Private to this collection.

The recorder gets events in plain words, so it can be tested without Ansible. It keeps names, states, durations and the
sentences that this collection itself writes for a reader; never a result's other fields.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "changed", "skipped", "failed", "needs_operator", "unreachable", "ignored", "rescued"]

#: Version of the report's shape; raised when a field changes its meaning or goes away.
SCHEMA = 1
#: Actions whose message is written for a reader by this collection (its modules, its asserts).
_OWN_MESSAGES = (
    "railiance.stack.",
    "ansible.builtin.assert",
    "ansible.builtin.fail",
    "ansible.builtin.validate_argument_spec",
)
_COUNTS: tuple[Status, ...] = ("ok", "changed", "skipped", "failed", "needs_operator", "unreachable", "ignored")


@dataclass
class TaskRecord:
    """One task on one host."""

    host: str
    name: str
    role: str
    action: str
    status: Status
    seconds: float
    message: str = ""
    hint: str = ""
    plan: list[dict[str, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "host": self.host,
            "name": self.name,
            "role": self.role,
            "action": self.action,
            "status": self.status,
            "seconds": round(self.seconds, 3),
        }
        return result | {key: value for key in ("message", "hint", "plan") if (value := getattr(self, key))}


@dataclass
class Layer:
    """The plays that carry the same layer tag, or one play without such a tag."""

    key: str
    title: str
    seconds: float = 0.0
    tasks: list[TaskRecord] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        result: dict[str, int] = {status: sum(task.status == status for task in self.tasks) for status in _COUNTS}
        result["ok"] += sum(task.status == "rescued" for task in self.tasks)
        return result

    @property
    def status(self) -> str:
        if not self.tasks:
            return "not_run"
        states = {task.status for task in self.tasks}
        for status in ("failed", "unreachable", "needs_operator", "changed"):
            if status in states:
                return status
        return "ok"


class Recorder:
    """Collects the events of one run.

    :param playbook: its file name.
    :param check_mode: whether nothing is written in this run.
    :param clock: seconds, monotonic; injected by tests.
    """

    def __init__(self, playbook: str, check_mode: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.playbook = playbook
        self.check_mode = check_mode
        self.layers: list[Layer] = []
        self._clock = clock
        self._begin = clock()
        self._current: Layer | None = None
        self._entered = self._begin

    def expect(self, key: str, title: str) -> Layer:
        """Announce a layer that this playbook holds, so that one that is never reached shows as not run."""
        layer = next((layer for layer in self.layers if layer.key == key), None)
        if layer is None:
            layer = Layer(key, title)
            self.layers.append(layer)
        return layer

    def enter(self, key: str, title: str) -> None:
        """A play of this layer begins; the layer before it ends."""
        self._leave()
        self._current = self.expect(key, title)

    def add(self, task: TaskRecord) -> None:
        layer = self._current or self.expect("play", "play")
        layer.tasks.append(task)

    def finish(self, failures: Mapping[str, int]) -> None:
        """End of the run.

        :param failures: host to the number of failures that were neither ignored nor rescued. A host leaves the run
            at its first one, so what failed on it before was rescued.
        """
        self._leave()
        for host in {task.host for layer in self.layers for task in layer.tasks}:
            failed = [
                task
                for layer in self.layers
                for task in layer.tasks
                if task.host == host and task.status in ("failed", "needs_operator")
            ]
            for task in failed[: len(failed) - failures.get(host, 0)]:
                task.status = "rescued"

    @property
    def outcome(self) -> str:
        """``ok``, ``needs_operator``, ``unreachable`` or ``failed``; the worst of the layers."""
        states = {layer.status for layer in self.layers}
        return next((status for status in ("failed", "unreachable", "needs_operator") if status in states), "ok")

    def stops(self) -> list[TaskRecord]:
        """The tasks that ended the run on their host."""
        final = ("failed", "unreachable", "needs_operator")
        return [task for layer in self.layers for task in layer.tasks if task.status in final]

    def as_dict(self) -> dict[str, Any]:
        """The report: plain JSON types only."""
        return {
            "schema": SCHEMA,
            "playbook": self.playbook,
            "check_mode": self.check_mode,
            "outcome": self.outcome,
            "seconds": round(self._entered - self._begin, 3),
            "needs_operator": [task.as_dict() for task in self.stops() if task.status == "needs_operator"],
            "failures": [task.as_dict() for task in self.stops() if task.status != "needs_operator"],
            "layers": [
                {
                    "layer": layer.key,
                    "title": layer.title,
                    "status": layer.status,
                    "seconds": round(layer.seconds, 3),
                    "counts": layer.counts(),
                    "tasks": [task.as_dict() for task in layer.tasks],
                }
                for layer in self.layers
            ],
        }

    def summary(self) -> list[str]:
        """One line a layer, then one line for every task that ended the run."""
        width = max((len(layer.title) for layer in self.layers), default=0)
        lines = []
        for layer in self.layers:
            counts = layer.counts()
            lines.append(
                f"{layer.title:<{width}}  {layer.status.replace('_', ' '):<14}  ok {counts['ok']:>3}  "
                f"changed {counts['changed']:>3}  failed {counts['failed'] + counts['unreachable']:>2}  "
                f"needs operator {counts['needs_operator']:>2}  {layer.seconds:>6.1f} s"
            )
        for task in self.stops():
            lines.append(f"{task.status.replace('_', ' ')}: {task.host}: {task.message or task.name}")
        return lines

    def _leave(self) -> None:
        now = self._clock()
        if self._current is not None:
            self._current.seconds += now - self._entered
        self._current, self._entered = None, now


def read_result(action: str, result: Mapping[str, Any], *, failed: bool) -> dict[str, Any]:
    """The few fields of a task's result that may be kept.

    :param action: the fully qualified action.
    :param result: the result as callbacks see it, already without what ``no_log`` hides.
    :param failed: whether the task failed; otherwise no message is kept.
    :returns: ``needs_operator`` (bool), ``message``, ``hint`` and ``plan``, for :class:`TaskRecord`.
    """
    items = [item for item in result.get("results") or [] if isinstance(item, Mapping)]
    kept: dict[str, Any] = {"needs_operator": False, "message": "", "hint": "", "plan": []}
    if not action.startswith(_OWN_MESSAGES):
        return kept
    messages: list[str] = []
    hints: list[str] = []
    for one in [*items, result]:
        if one.get("_ansible_no_log") or "censored" in one:
            continue
        # Callbacks see the whole result without "failed"; the items of a loop still carry it.
        if failed and (one is result or one.get("failed")):
            kept["needs_operator"] = kept["needs_operator"] or bool(one.get("needs_operator"))
            # A loop's own message only says that an item failed.
            if one is not result or not messages:
                messages.append(str(one.get("msg") or ""))
                hints.append(str(one.get("hint") or ""))
        kept["plan"] += [
            {key: str(step.get(key, "")) for key in ("action", "target", "note")}
            for step in one.get("plan") or []
            if isinstance(step, Mapping)
        ]
    kept["message"] = " ".join(filter(None, messages))
    kept["hint"] = " ".join(filter(None, hints))
    return kept
