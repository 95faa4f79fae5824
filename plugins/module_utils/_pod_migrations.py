# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the looks at Django's and at Alembic's migrations share. It runs in the application's container.

One session, read-only, tells what is pending. For a run that changes something it stays until the change is through: it
holds the lock of the database, ends sessions that hang, and reads the state again at the end. PostgreSQL gives a
session's lock back when the session ends, however it ends. Private to this collection.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

#: Begins every line that is meant for the module.
MARK = "railiance "
#: Key of the advisory lock, in every database the same: "rail", 1.
_LOCK = (0x7261696C, 1)

_HOLDER = """
select a.application_name, coalesce(host(a.client_addr), 'local'), to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ')
from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.classid = %s and l.objid = %s and l.objsubid = 2
  and l.database = (select oid from pg_database where datname = current_database())
"""
_END = """
select a.pid, coalesce(a.state, ''), coalesce(a.wait_event_type || '/' || a.wait_event, ''), left(a.query, 200),
       (select coalesce(string_agg(concat(b.pid, ' (', b.application_name, ', ', b.state, ')'), ', '), '')
        from pg_stat_activity b where b.pid = any(pg_blocking_pids(a.pid))),
       pg_terminate_backend(a.pid)
from pg_stat_activity a
where a.usename = current_user and a.datname = current_database() and a.application_name = %s
  and a.pid <> pg_backend_pid()
"""

#: Words of SQL that take rows, columns or guarantees away. An index, a default or a view hold no rows of their own.
_DESTROYING_SQL = re.compile(
    r"\b(?:drop\s+(?!index|not\s+null|default|identity|expression|trigger|function|procedure|view|rule|policy)|truncate\b"
    r"|delete\s+from\b)",
    re.IGNORECASE,
)
_SQL_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)

EMPTY = "the database is empty"
FRESH = "the same run creates the table"

Query = Callable[..., "list[tuple[Any, ...]]"]


def say(kind: str, **fields: Any) -> None:
    sys.stdout.write(MARK + json.dumps({"kind": kind, **fields}) + "\n")
    sys.stdout.flush()


def destroys(sql: str) -> bool:
    """Whether a text of SQL takes rows, columns, tables or constraints away, as far as its words tell."""
    return bool(_DESTROYING_SQL.search(bare(sql)))


def bare(sql: str) -> str:
    """A text of SQL without its comments."""
    return _SQL_COMMENT.sub(" ", sql).strip()


def note(
    description: str, *, reversible: bool = True, destructive: bool = False, compatible: bool = True, reason: str = ""
) -> dict[str, Any]:
    """What is said of one operation.

    :param compatible: whether a version of the application that does not know it yet can go on reading and writing.
    """
    return {
        "description": description,
        "reversible": reversible,
        "destructive": destructive,
        "compatible": compatible,
        "reason": reason,
    }


def unread(what: str, reversible: bool) -> dict[str, Any]:
    """What is said of an operation that nobody here can judge.

    :param what: and why.
    """
    said = "so it counts as destroying" if reversible else "and it declares no way back"
    return {"reversible": reversible, "destructive": True, "reason": f"{what}, {said}"}


def planned(migration: str, backward: bool, operations: list[dict[str, Any]], atomic: bool = True) -> dict[str, Any]:
    """One migration of the plan."""
    return {
        "migration": migration,
        "direction": "backward" if backward else "forward",
        "operations": operations,
        "reversible": all(one["reversible"] for one in operations),
        "destructive": any(one["destructive"] for one in operations),
        "compatible": all(one["compatible"] for one in operations),
        "atomic": atomic,
    }


def harmless(found: list[dict[str, Any]], why: str) -> list[dict[str, Any]]:
    """The same operations where there is nothing that they could harm."""
    return [
        {**one, "destructive": False, "compatible": True, "reason": why}
        if one["destructive"] or not one["compatible"]
        else one
        for one in found
    ]


def verdict(pending: list[dict[str, Any]]) -> str:
    """What may follow: ``nothing``, ``forward``, ``backward``, or ``impossible``: what cannot end is not begun."""
    if not pending:
        return "nothing"
    if any(one["direction"] == "backward" and not one["reversible"] for one in pending):
        return "impossible"
    return str(pending[-1]["direction"])


class Session:
    """The session that looks.

    :param query: runs one statement and gives its rows; ``None`` where the database is not PostgreSQL.
    :param application: the sessions' name, by which the run's own ones are known.
    """

    def __init__(self, query: Query | None, application: str) -> None:
        self._query = query
        self._application = application

    def read_only(self) -> None:
        """:raises SystemExit: when it cannot be made so."""
        if self._query is None:
            return
        self._query("select set_config('default_transaction_read_only', 'on', false)")
        if self._query("select current_setting('default_transaction_read_only')") != [("on",)]:
            raise SystemExit("The session could not be made read-only.")

    def lock(self) -> None:
        """Waits until nobody else migrates this database, then ends what a crashed run left working there."""
        if self._query is None:
            return
        # An idle session is what a lock looks like.
        self._query("select set_config(name, '0', false) from pg_settings where name = 'idle_session_timeout'")
        told = False
        while not self._query("select pg_try_advisory_lock(%s, %s)", _LOCK)[0][0]:
            if not told:
                holders = self._query(_HOLDER, _LOCK)
                said = [f"{name or 'unnamed'} from {address} since {since}" for name, address, since in holders]
                say("waiting", holder=", ".join(said))
                told = bool(said)
            time.sleep(0.5)
        self.end_others("orphans")

    def end_others(self, kind: str) -> None:
        if self._query is None or not self._application:
            say(kind, sessions=[])
            return
        sessions = [
            {"pid": pid, "state": state, "waiting_for": event, "query": query, "blocked_by": others, "ended": ended}
            for pid, state, event, query, others, ended in self._query(_END, (self._application,))
        ]
        say(kind, sessions=sessions)

    def stay(self, after: Callable[[], dict[str, Any]]) -> None:
        """Until it is told to end."""
        for line in sys.stdin:
            word = line.strip()
            if word == "stop":
                self.end_others("ended")
            elif word == "end":
                say("after", **after())
                return
