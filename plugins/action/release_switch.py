# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the chart from the controller to the module, as for helm_release."""

from __future__ import annotations

from ansible_collections.railiance.stack.plugins.action.helm_release import ActionModule as WithChart


class ActionModule(WithChart):
    """The same options name the chart."""
