# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of what counts as an error in a log."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  errors:
    description: Whether lines that look like errors only warn or fail the task.
    type: str
    choices: [warn, fail]
    default: warn
  patterns:
    description: Regular expressions of lines that look like errors.
    type: list
    elements: str
    default:
      - \b(ERROR|CRITICAL|FATAL)\b
      - '"level": ?"(error|critical|fatal)"'
      - ^Traceback \(most recent call last\)
      - '^panic:'
  ignore:
    description:
      - Regular expressions of such lines that are harmless. Of a traceback the line that names the exception counts.
    type: list
    elements: str
    default: []
"""
