# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ways a run can end early. Private to this collection."""

from __future__ import annotations

from typing import Any


class StackError(Exception):
    """Something is broken.

    :param message: names the object and the cause, one sentence.
    :param hint: the exact next step, one sentence; may be empty.
    :param result: fields for the module's result (rc, stderr, object, …); never secret values.
    """

    def __init__(self, message: str, hint: str = "", **result: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.result = result

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class NeedsOperator(StackError):
    """Nothing is broken, but only a person can decide or do the next step.

    Raised for a DNS record, a token, a cluster limit that belongs to the platform. The run report
    counts it apart from failures.
    """
