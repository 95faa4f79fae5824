# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a chart from the controller to the module, in check mode as well: nothing is left on the node."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

#: A chart is a handful of templates; more than this is not meant to travel with a task.
_LARGEST = 4 * 1024 * 1024


def pack(folder: Path) -> dict[str, str]:
    """Every file of a chart as path to base64.

    :raises AnsibleActionFail: when it is no chart or too large.
    """
    if not (folder / "Chart.yaml").is_file():
        raise AnsibleActionFail(
            f"There is no chart at {folder} on the controller (no Chart.yaml). Set remote_src if it lies on the node."
        )
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    if sum(path.stat().st_size for path in files.values()) > _LARGEST:
        raise AnsibleActionFail(f"The chart {folder} is larger than {_LARGEST} bytes. Copy it and set remote_src.")
    return {name: base64.b64encode(path.read_bytes()).decode() for name, path in files.items()}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module with the chart's files in ``chart_files``."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        arguments = dict(self._task.args)
        chart = arguments.get("chart")
        if chart and not boolean(arguments.get("remote_src", False), strict=False):
            arguments["chart_files"] = pack(Path(self._find(str(chart))))
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result

    def _find(self, chart: str) -> str:
        return chart if Path(chart).is_absolute() else str(self._find_needle("files", chart))
