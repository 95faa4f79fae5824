# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The look at Alembic's revisions, in the same words as Django's migrations. It runs in the application's container.

What a single revision does is read by ``_pod_revision``. Private to this collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._pod_migrations import (
    EMPTY,
    Session,
    harmless,
    note,
    planned,
    say,
    verdict,
)
from ansible_collections.railiance.stack.plugins.module_utils._pod_revision import Revision

Note = dict[str, Any]


class Look:
    """:param request: ``{arguments, targets: [{migration}], application, stay}``."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._request = request

    def run(self) -> None:
        from alembic.config import CommandLine

        # Alembic's own way to its configuration, and another end of it.
        command_line = CommandLine()
        command_line.run_cmd = lambda config, options: self._look(config)
        command_line.main(argv=[*self._request["arguments"], "current"])

    def _look(self, config: Any) -> None:
        from alembic.runtime.environment import EnvironmentContext
        from alembic.script import ScriptDirectory
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        self._script = ScriptDirectory.from_config(config)
        event.listen(Engine, "connect", _make_read_only)

        def inside(heads: Any, context: Any) -> list[Any]:
            self._inside(context)
            return []

        with EnvironmentContext(config, self._script, fn=inside, dont_mutate=True):
            self._script.run_env()

    def _inside(self, context: Any) -> None:
        """With the environment's engine, in a session of its own: no transaction stays open while others work."""
        from alembic.runtime.migration import MigrationContext
        from sqlalchemy import inspect, text

        context.connection.rollback()
        engine = context.connection.engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            names = ("version_table", "version_table_schema")
            self._context = MigrationContext.configure(
                connection, opts={name: context.opts[name] for name in names if context.opts.get(name)}
            )

            def query(sql: str, params: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
                named = {f"p{number}": value for number, value in enumerate(params)}
                for name in named:
                    sql = sql.replace("%s", f":{name}", 1)
                return [tuple(row) for row in connection.execute(text(sql), named)]

            postgresql = connection.dialect.name == "postgresql"
            session = Session(query if postgresql else None, self._request["application"])
            session.read_only()
            if self._request["stay"]:
                session.lock()
            self._empty = not inspect(connection).get_table_names()
            pending = self._pending()
            word = verdict(pending)
            say("before", verdict=word, go=word in ("forward", "backward"), pending=pending, **self._recorded())
            if self._request["stay"] and word in ("forward", "backward"):
                session.stay(self._recorded)

    def _pending(self) -> list[Note]:
        """From where the database is to the target, as ``upgrade`` or ``downgrade`` would go."""
        from alembic.util import CommandError

        unknown = self._unknown()
        if unknown:
            if self._request["stay"]:
                have = ", ".join(unknown)
                raise SystemExit(f"The database is at {have}, which this image does not know. Use one that does.")
            return []
        heads = self._current()
        wanted = self._request["targets"]
        target = (wanted[0]["migration"] if wanted else "") or "heads"
        if target in ("zero", "base"):
            return self._steps("base", heads, backward=True)
        try:
            ends = {revision.revision for revision in self._script.get_revisions(target)}
        except CommandError as error:
            raise SystemExit(f"This image knows no revision '{target}': {error}") from None
        ancestors = {one.revision for one in self._script.iterate_revisions(heads, "base")} if heads else set()
        if ends <= ancestors and not ends <= set(heads):
            return self._steps(target, heads, backward=True)
        behind = tuple(head for head in heads if head not in ends)
        return self._steps(target, behind or heads or "base", backward=False)

    def _steps(self, target: str, heads: Any, *, backward: bool) -> list[Note]:
        upper, lower = (heads, target) if backward else (target, heads)
        if not upper:
            return []
        found = [one for one in self._script.iterate_revisions(upper, lower) if one is not None]
        if not backward:
            found.reverse()
        steps = []
        fresh: set[str] = set()
        for one in found:
            if not backward and one.revision in heads:
                continue
            with open(one.path, encoding="utf-8") as file:
                revision = Revision(file.read())
            operations = revision.operations(backward, fresh)
            if self._empty:
                operations = harmless(operations, EMPTY)
            if not revision.reversible and not operations:
                operations = [note("nothing", reversible=False, reason="downgrade does nothing")]
            steps.append(planned(one.revision, backward, operations))
        return steps

    def _current(self) -> tuple[str, ...]:
        return tuple(self._context.get_current_heads())

    def _unknown(self) -> list[str]:
        known = {one.revision for one in self._script.walk_revisions()}
        return [one for one in self._current() if one not in known]

    def _recorded(self) -> dict[str, Any]:
        """Alembic records where the database is; what was applied is what lies before it."""
        unknown = self._unknown()
        heads = tuple(one for one in self._current() if one not in unknown)
        before = [one.revision for one in self._script.iterate_revisions(heads, "base")] if heads else []
        ends = sorted(self._script.get_heads())
        return {
            "applied": [*reversed(before), *unknown],
            "unknown": unknown,
            "way_back": [{"app": "", "migration": one} for one in ends] if unknown else [],
        }


def _make_read_only(connection: Any, record: Any) -> None:
    """For drivers that do not read PGOPTIONS."""
    if type(connection).__module__.startswith("sqlite3"):
        return
    cursor = connection.cursor()
    cursor.execute("set session characteristics as transaction read only")
    cursor.close()
    connection.commit()


def main(request: dict[str, Any]) -> None:
    Look(request).run()
