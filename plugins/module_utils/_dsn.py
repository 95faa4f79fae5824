# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Database addresses for applications. Private to this collection."""

from __future__ import annotations

import re
import secrets
import string
from urllib.parse import quote

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError

#: Names that PostgreSQL takes and that every reader of a database URL gives back unchanged.
_IDENTIFIER = re.compile(r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$")
_PASSWORD_LETTERS = string.ascii_letters + string.digits


def database_url(user: str, password: str, host: str, port: int, dbname: str) -> str:
    """``postgresql://…`` with every part percent-encoded.

    Only unreserved characters stay as they are, so libpq, psycopg, dj-database-url and SQLAlchemy read the same
    password whatever it is made of.
    """
    return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{port}/{quote(dbname, safe='')}"


def generate_password(length: int = 40) -> str:
    """Letters and digits only: some reader of a credential always forgets to quote."""
    return "".join(secrets.choice(_PASSWORD_LETTERS) for position in range(length))


def check_identifier(what: str, name: str) -> None:
    """:raises StackError: when not every reader of a database URL would give the name back unchanged."""
    if not _IDENTIFIER.match(name):
        raise StackError(
            f"{what} {name!r} is not usable.",
            "Use at most 63 letters, digits, underscores and hyphens, beginning with a letter or an underscore.",
        )
