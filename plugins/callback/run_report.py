# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run report: one line a layer at the end, and the whole run as JSON when asked for."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_report
type: aggregate
short_description: Reports a run layer by layer, also as JSON
version_added: 0.1.0
description:
  - Prints one line for each layer of the stack at the end of a run, with its outcome, counts and duration.
  - Writes the run as JSON when O(path) is set. Plays are grouped by their layer tag, V(preflight) or V(s1) to V(s5).
  - A task that stopped because only a person can do the next step counts as C(needs_operator), apart from failures.
  - The report holds names, states, durations, the plans of this collection's modules and the sentences they stop
    with. It never holds another field of a result, and nothing of a task with C(no_log).
  - Playbooks without a layer print nothing.
author:
  - The railiance.stack authors (@railiance)
requirements:
  - Enable it with C(callbacks_enabled) in C(ansible.cfg).
options:
  path:
    description:
      - File for the JSON report, replaced as a whole with mode 0600; its folder is created.
      - Without it no file is written.
    type: path
    env:
      - name: RAILIANCE_RUN_REPORT
    ini:
      - section: callback_run_report
        key: path
"""

EXAMPLES = r"""
ansible.cfg: |
  [defaults]
  callbacks_enabled = railiance.stack.run_report
  [callback_run_report]
  path = .ansible/run-report.json
"""

import json
import os
import tempfile
import time
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible_collections.railiance.stack.plugins.plugin_utils._report import Recorder, Status, TaskRecord, read_result

_LAYERS = ("preflight", "s1", "s2", "s3", "s4", "s5")


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible has no type information
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "railiance.stack.run_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._recorder: Recorder | None = None
        self._started: dict[tuple[str, str], float] = {}

    # -- events ------------------------------------------------------------------------------------------------
    def v2_playbook_on_start(self, playbook: Any) -> None:
        # CLIARGS is empty in a run that was not started from the command line.
        check_mode = bool(context.CLIARGS.get("check", False))
        self._recorder = Recorder(os.path.basename(playbook._file_name), check_mode)
        for play in playbook.get_plays():
            self._recorder.expect(*_layer_of(play))

    def v2_playbook_on_play_start(self, play: Any) -> None:
        if self._recorder:
            self._recorder.enter(*_layer_of(play))

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._started[host.get_name(), task._uuid] = time.monotonic()

    def v2_runner_on_ok(self, result: Any) -> None:
        self._add(result, "changed" if result.is_changed() else "ok")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._add(result, "skipped")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._add(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._add(result, "unreachable")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if not self._recorder:
            return
        self._recorder.finish(stats.failures)
        if any(layer.key in _LAYERS for layer in self._recorder.layers):
            self._display.banner("LAYERS")
            for line in self._recorder.summary():
                self._display.display(line)
        path = self.get_option("path")
        if path:
            self._write(str(path), self._recorder.as_dict())

    # -- inside ------------------------------------------------------------------------------------------------
    def _add(self, result: Any, status: Status) -> None:
        if not self._recorder:
            return
        task, host = result._task, result._host.get_name()
        action = task.resolved_action or task.action
        fields: dict[str, Any] = {"message": "", "hint": "", "plan": []}
        if status == "unreachable":
            fields["message"] = _unreachable(host, result._result)
        elif not task.no_log:
            fields = read_result(action, result._result, failed=status in ("failed", "ignored"))
            if fields.pop("needs_operator") and status == "failed":
                status = "needs_operator"
        self._recorder.add(
            TaskRecord(
                host=host,
                name=str(task.name or action),
                role=task._role.get_name() if task._role else "",
                action=action,
                status=status,
                seconds=time.monotonic() - self._started.pop((host, task._uuid), time.monotonic()),
                **fields,
            )
        )

    def _write(self, path: str, report: dict[str, Any]) -> None:
        folder = os.path.dirname(os.path.abspath(path))
        try:
            os.makedirs(folder, exist_ok=True)
            # mkstemp creates 0600; the report becomes visible only when complete.
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=".run-report-")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(report, file, indent=2)
                    file.write("\n")
                os.replace(temporary, path)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            # The run itself is over; its outcome must not depend on the report.
            self._display.warning(f"The run report {path} could not be written: {error}.")


def _layer_of(play: Any) -> tuple[str, str]:
    """Key and title of a play's layer; a play without a layer tag stands for itself."""
    title = str(play.get_name())
    for tag in play.tags:
        if tag in _LAYERS:
            return str(tag), title
    return title, title


def _unreachable(host: str, result: Any) -> str:
    cause = " ".join(str(result.get("msg") or "no answer").split()).removeprefix("Task failed: ").rstrip(".")
    return (
        f"the server cannot be reached: {cause}. Check ansible_host, ansible_user and the SSH key of {host} "
        f"in the inventory, then: ansible {host} -m ansible.builtin.ping"
    )
