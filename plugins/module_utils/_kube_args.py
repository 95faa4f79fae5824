# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubernetes.core's connection options without its client, for modules that need the cluster only sometimes.

Private to this collection. Importing the client costs a quarter of a second.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC as _AUTH_ARG_SPEC

AUTH_ARG_SPEC: dict[str, Any] = dict(_AUTH_ARG_SPEC)
