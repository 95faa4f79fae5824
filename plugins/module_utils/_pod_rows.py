# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a management command in one transaction and tells which rows it changed. It runs in the application's container.

A seed is looked at before anything of it is kept: it runs twice, and the second time must change nothing; a login that
it makes must not have a password that others can know. Private to this collection.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
import sys
from collections.abc import Iterator
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._pod_migrations import say

#: What people choose when a password is not meant to protect anything. A try takes a third of a second: no dictionary.
_WELL_KNOWN = ("admin", "password", "passwort", "demo", "test", "secret", "changeme", "geheim", "123456", "12345678")
_MOST_WORDS = 40
_MOST_LOGINS = 5

_COUNTS = """
select quote_ident(schemaname) || '.' || quote_ident(relname), n_tup_ins, n_tup_upd, n_tup_del
from pg_stat_xact_user_tables where n_tup_ins + n_tup_upd + n_tup_del > 0
"""


class Refused(Exception):
    """Nothing of it is kept."""


class _Tee(io.TextIOBase):
    """Keeps what is printed, and prints it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return int(self._stream.write(text))

    def flush(self) -> None:
        self._stream.flush()


class Rows:
    """:param request: ``{command, arguments, database, seed}``."""

    def __init__(self, request: dict[str, Any]) -> None:
        from django.db import connections

        self._command: str = request["command"]
        self._arguments: list[str] = request["arguments"]
        self._seed: bool = request["seed"]
        self._alias: str = request["database"] or "default"
        self._connection = connections[self._alias]
        self._counting = self._connection.vendor == "postgresql"
        self._said = ""

    def run(self) -> None:
        from django.db import transaction

        logins: list[str] = []
        with transaction.atomic(using=self._alias):
            before = self._passwords() if self._seed else {}
            self._call()
            rows = self._counts()
            if self._seed:
                self._prove(rows)
                logins = self._logins(before)
            changed = self._changed(rows)
        say("rows", rows=rows, changed=changed, logins=logins)

    def _call(self) -> None:
        from django.core.management import call_command

        tee = _Tee(sys.stdout)
        with contextlib.redirect_stdout(tee):
            call_command(self._command, *self._arguments)
        self._said += tee.text

    # rows
    def _counts(self) -> dict[str, dict[str, int]]:
        """What this transaction did so far. An update counts also when it wrote what was there."""
        return {
            table: {"inserted": inserted, "updated": updated, "deleted": deleted}
            for table, inserted, updated, deleted in (self._query(_COUNTS) if self._counting else [])
        }

    def _changed(self, rows: dict[str, dict[str, int]]) -> bool | None:
        """``None`` where the database does not tell."""
        if not self._counting:
            return None
        if any(one["inserted"] or one["deleted"] for one in rows.values()):
            return True
        now = self._checksums(rows)
        return bool(rows) and now != self._checksums_before(rows)

    def _checksums(self, tables: Any) -> dict[str, Any]:
        return {table: self._query(_checksum(table))[0] for table in tables}

    def _checksums_before(self, tables: Any) -> dict[str, Any] | None:
        """As others see the tables: this transaction is not there for them yet."""
        from django.db import DatabaseError, connections

        other = connections.create_connection(self._alias)
        try:
            with other.cursor() as cursor:
                cursor.execute("set lock_timeout = '2s'")  # the command may have locked a table whole
                found = {}
                for table in tables:
                    cursor.execute(_checksum(table))
                    found[table] = cursor.fetchone()
                return found
        except DatabaseError:
            return None
        finally:
            other.close()

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    # seeds
    def _prove(self, first: dict[str, dict[str, int]]) -> None:
        """:raises Refused: when a second time changes something."""
        if not self._counting:
            return
        kept = self._checksums(first)
        self._call()
        second = self._counts()
        different = sorted(
            table
            for table in second
            if table not in first
            or any(second[table][what] != first[table][what] for what in ("inserted", "deleted"))
            or self._checksums([table])[table] != kept[table]
        )
        if different:
            raise Refused(f"{self._command} is not idempotent: run again, it changes {', '.join(different)}.")

    def _passwords(self) -> dict[Any, str]:
        from django.contrib.auth import get_user_model
        from django.core.exceptions import ImproperlyConfigured

        try:
            users = get_user_model()._default_manager.using(self._alias)
        except (ImproperlyConfigured, LookupError):  # an application without users
            return {}
        return dict(users.values_list("pk", "password"))

    def _logins(self, before: dict[Any, str]) -> list[str]:
        """Names of the logins that were made or given a password.

        :raises Refused: when a password is one that others can know.
        """
        from django.contrib.auth import get_user_model
        from django.contrib.auth.hashers import check_password, is_password_usable

        new = [pk for pk, password in self._passwords().items() if before.get(pk) != password]
        if not new:
            return []
        names = []
        for user in get_user_model()._default_manager.using(self._alias).filter(pk__in=new).order_by("pk"):
            name = user.get_username()
            names.append(name)
            if len(names) > _MOST_LOGINS or not is_password_usable(user.password):
                continue
            for word, origin in self._words(name, getattr(user, "email", "") or ""):
                if check_password(word, user.password):
                    raise Refused(f"{self._command} makes the login '{name}' with a password that {origin}.")
        return names

    def _words(self, name: str, email: str) -> list[tuple[str, str]]:
        """Passwords to try, and what is wrong with each."""
        own = [name, email, email.partition("@")[0], f"{name}123"]
        groups = (
            (own, "follows from its name"),
            (_WELL_KNOWN, "everybody tries first"),
            (re.findall(r"[^\s/:,;'\"()<>]{3,40}", self._said), "it prints"),
            (self._literals(), "stands in its source"),
        )
        found: dict[str, str] = {}
        for words, origin in groups:
            for word in words:
                if word and word not in found and len(found) < _MOST_WORDS:
                    found[word] = origin
        return list(found.items())

    def _literals(self) -> list[str]:
        from django.core.management import get_commands, load_command_class

        app = get_commands()[self._command]
        command = app if not isinstance(app, str) else load_command_class(app, self._command)
        try:
            return literals(inspect.getsource(sys.modules[type(command).__module__]))
        except (OSError, TypeError):  # compiled without its source
            return []


def literals(source: str) -> list[str]:
    """Words in a command's source that could be a password, the likeliest first."""
    tree = ast.parse(source)
    likely = [text for node in ast.walk(tree) for text in _near_a_password(node)]
    return list(dict.fromkeys([*likely, *_texts(tree)]))


def _near_a_password(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any("pass" in ast.dump(target).lower() for target in targets):
            yield from _texts(node.value)
    elif isinstance(node, ast.Call):
        called = ast.dump(node.func).lower()
        if any(word in called for word in ("create_user", "create_superuser", "set_password", "make_password")):
            yield from _texts(node)


def _texts(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and re.fullmatch(r"\S{3,40}", one.value):
            yield one.value


def _checksum(table: str) -> str:
    return f"select count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text from {table} t"  # noqa: S608


def main(request: dict[str, Any]) -> None:
    try:
        Rows(request).run()
    except Refused as error:
        say("refused", message=str(error))
        raise SystemExit(3) from None
