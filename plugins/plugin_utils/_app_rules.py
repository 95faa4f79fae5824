# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What no single key of an application's entry can say. Private to this collection.

Everything here is known before anything starts. Values are never repeated: they may be secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._plain import is_on, looks_secret, secret_lines

_YES = ("true", "yes", "on", "1", "y", "t")


def app_rules(app: Mapping[str, Any]) -> list[str]:
    """Every broken rule of one entry, as ``key: what is wrong and what to do``.

    :param app: as written or as the role's argument spec has it; keys of a wrong type are passed over.
    """
    return [*_plain(app), *_smoke(app), *_patterns(app)]


def is_private(app: Mapping[str, Any]) -> bool:
    return str(app.get("private", "")).lower() in _YES


def _plain(app: Mapping[str, Any]) -> Iterator[str]:
    """Environment and configuration lie open in the release and in a ConfigMap, and in every diff of them."""
    config = _mapping(app.get("config"))
    for path, given in (("environment", app.get("environment")), ("config.environment", config.get("environment"))):
        for name, value in _mapping(given).items():
            if is_on(str(name), str(value)):
                yield f"{path}.{name}: is on. No application is released with it; remove it."
            elif looks_secret(str(name), str(value)):
                yield f"{path}.{name}: looks like a secret. Move it to secret_environment or the encrypted file."
    for name, content in _mapping(config.get("files")).items():
        if lines := secret_lines(str(content)):
            yield (
                f"config.files.{name}: line {', '.join(map(str, lines))} looks like a secret."
                " Give it as secret_environment and read it from there."
            )


def _smoke(app: Mapping[str, Any]) -> Iterator[str]:
    for key in ("smoke_login", "smoke_record"):
        if app.get(key) and is_private(app):
            yield f"{key}: is done from outside, and the application is private. Remove it."
    if app.get("smoke_record") and not app.get("smoke_login"):
        yield "smoke_record: nobody is logged in to make the record. Give smoke_login."


def _patterns(app: Mapping[str, Any]) -> Iterator[str]:
    for key in ("log_patterns", "log_ignore"):
        given = app.get(key)
        for index, pattern in enumerate(given if isinstance(given, Sequence) and not isinstance(given, str) else []):
            try:
                re.compile(str(pattern))
            except re.error as error:
                yield f"{key}[{index}]: is no regular expression: {error}. Correct it."


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
