# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not lie open in an environment or a file of configuration. Private to this collection.

Pure functions without the cluster's client: entries are judged on the controller, rendered objects on the node.
"""

from __future__ import annotations

import re

_ON = frozenset({"1", "true", "yes", "on"})
DEBUG = ("DEBUG", "DJANGO_DEBUG")
_SECRET_NAME = re.compile(r"(PASSWORD|PASSWD|SECRET|SECRET_KEY|TOKEN|PRIVATE_KEY|API_KEY|CREDENTIALS)$")
_LOGIN_IN_URL = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
#: A line of a file that gives one of them a value, in whichever case; a path or a reference to a variable is none.
_GIVEN = re.compile(
    r"""^\s*(?:export\s+)?["']?[\w.-]*(?:password|passwd|secret[_-]key|token|private[_-]key|api[_-]key)["']?"""
    r"""\s*[=:]\s*["']?[^\s"'${<./][^\s"']{7,}""",
    re.IGNORECASE,
)


def is_on(name: str, value: str) -> bool:
    """Whether it is a variable that turns on debugging."""
    return name in DEBUG and value.lower() in _ON


def looks_secret(name: str, value: str) -> bool:
    """By the name of a variable, or by a login in an address."""
    return bool(value and (_SECRET_NAME.search(name) or _LOGIN_IN_URL.search(value)))


def secret_lines(text: str) -> list[int]:
    """Numbers of the lines of a file that look like secrets, as far as names, addresses and key blocks tell."""
    signs = (_GIVEN, _LOGIN_IN_URL, _PRIVATE_KEY)
    return [number for number, line in enumerate(text.splitlines(), 1) if any(sign.search(line) for sign in signs)]
