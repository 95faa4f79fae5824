# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The look at Alembic's revisions, in the same words as Django's migrations. It runs in the application's container.

A revision is Python code; it is read, not run. What it calls on ``op`` is known; whatever else it does counts like
Django's RunPython. Private to this collection.
"""

from __future__ import annotations

import ast
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._pod_migrations import (
    EMPTY,
    FRESH,
    Session,
    destroys,
    harmless,
    note,
    planned,
    say,
    verdict,
)

Note = dict[str, Any]
_BACK_CONSTRAINT = "rows written since may stand in the way back"
#: What calls on ``op`` take away, and whether the other version of the application can live with it.
_TAKING = {
    "drop_table": ("drops table {}; its rows do not come back", False),
    "drop_column": ("drops column {}; its values do not come back", False),
    "drop_constraint": (f"drops constraint {{}}: {_BACK_CONSTRAINT}", True),
    "rename_table": ("renames table {}: a version that knows only the other name fails", False),
}
_GIVING = {
    "create_table": "drops table {} with every row written since",
    "add_column": "drops column {} with what was written since",
}
_HARMLESS = frozenset({"create_table", "create_index", "drop_index", "create_table_comment", "drop_table_comment"})
_CHECKED = frozenset(
    {"create_unique_constraint", "create_check_constraint", "create_foreign_key", "create_primary_key"}
)
#: What changes nothing by itself.
_NOTHING = frozenset({"f", "get_bind", "get_context", "batch_alter_table"})


class Revision:
    """What the two functions of a revision's file do, by their text."""

    def __init__(self, text: str) -> None:
        self._functions = {one.name: one for one in ast.parse(text).body if isinstance(one, ast.FunctionDef)}

    @property
    def reversible(self) -> bool:
        """Whether ``downgrade`` does something, when ``upgrade`` does."""
        return self._does("downgrade") or not self._does("upgrade")

    def _does(self, name: str) -> bool:
        function = self._functions.get(name)
        if function is None:
            return False
        body = [one for one in function.body if not isinstance(one, ast.Pass) and not _is_text(one)]
        return bool(body) and not isinstance(body[0], ast.Raise)

    def operations(self, backward: bool, fresh: set[str]) -> list[Note]:
        """:param fresh: tables that the same run creates; those that this revision creates are added."""
        found: list[Note] = []
        for name, node in self._calls("downgrade" if backward else "upgrade", set()):
            if name in _NOTHING:
                continue
            said = [self._note((name, node), backward)]
            table = (_words(node) or [""])[0]
            if name == "create_table":
                fresh.add(table)
            elif table in fresh:
                said = harmless(said, FRESH)
            found += said
        return found

    def _calls(self, name: str, seen: set[str]) -> list[tuple[str, ast.Call]]:
        """Calls on ``op`` and on the names that stand for it, and of anything that is handed its connection."""
        function = self._functions.get(name)
        if function is None or name in seen:
            return []
        seen.add(name)
        standing = {"op"} | _batches(function)
        connections = _connections(function)
        found: list[tuple[str, ast.Call]] = []
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            target = node.func
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                if target.value.id in standing:
                    found.append((target.attr, node))
                elif target.value.id in connections:
                    found.append(("python", node))
            elif isinstance(target, ast.Attribute) and _is_get_bind(target.value):
                found.append(("python", node))
            elif isinstance(target, ast.Name):
                if target.id in self._functions:
                    found += self._calls(target.id, seen)
                elif any(isinstance(one, ast.Name) and one.id in connections for one in node.args):
                    found.append(("python", node))
        return sorted(found, key=lambda one: (one[1].lineno, one[1].col_offset))

    def _note(self, call: tuple[str, ast.Call], backward: bool) -> Note:
        name, node = call
        what = _words(node)
        description = f"{name} {', '.join(what)}".strip()
        if name in _TAKING:
            reason, compatible = _TAKING[name]
            taking = name.startswith("drop_")
            subject = ".".join(what[:2]) if name == "drop_column" else (what[0] if what else "")
            if backward and name in ("drop_table", "drop_column"):
                reason = _GIVING["create_table" if name == "drop_table" else "add_column"]
            return self._said(description, destructive=taking, compatible=compatible, reason=reason.format(subject))
        if name == "add_column":
            return self._said(description, **_added(node))
        if name == "alter_column":
            return self._said(description, **_altered(node))
        if name in _CHECKED:
            return self._said(description, reason="fails when rows violate it")
        if name in _HARMLESS:
            return self._said(description)
        if name in ("execute", "bulk_insert", "python"):
            text = _text(node.args[0]) if node.args else ""
            if destroys(text):
                return self._said(
                    description, destructive=True, compatible=False, reason="the SQL drops, truncates or deletes"
                )
            return self._unknown(description, "What it does to rows is not described")
        return self._unknown(description, f"What {name} does is not known here")

    def _said(self, description: str, **said: Any) -> Note:
        return note(description, **{"reversible": self.reversible, **said})

    def _unknown(self, description: str, what: str) -> Note:
        if self.reversible:
            return note(description, reason=f"{what}; it declares a way back")
        return note(description, reversible=False, destructive=True, reason=f"{what}, and it declares no way back")


def _added(node: ast.Call) -> Note:
    column = next((one for one in node.args if isinstance(one, ast.Call)), None)
    options = _options(column) if column is not None else {}
    nullable = options.get("nullable")
    filled = "server_default" in options
    if isinstance(nullable, ast.Constant) and nullable.value is False and not filled:
        return {
            "compatible": False,
            "reason": "the column must be filled and the database has no default for it: "
            "a version that does not know it cannot insert rows",
        }
    return {}


def _altered(node: ast.Call) -> Note:
    options = _options(node)
    parts: list[str] = []
    destructive, compatible = False, True
    if "type_" in options:
        destructive, compatible = True, False
        parts.append("converts the values: what does not fit is lost")
    nullable = options.get("nullable")
    if isinstance(nullable, ast.Constant) and nullable.value is False:
        compatible = False
        parts.append("fails when a value is empty")
    if "new_column_name" in options:
        compatible = False
        parts.append("renames a column: a version that knows only the other name fails")
    return {"destructive": destructive, "compatible": compatible, "reason": "; ".join(parts)}


def _options(node: ast.Call) -> dict[str, ast.expr]:
    return {one.arg: one.value for one in node.keywords if one.arg}


def _words(node: ast.Call) -> list[str]:
    """The plain names a call is given: a table, a column."""
    found = []
    for one in node.args[:2]:
        inner = one.args[0] if isinstance(one, ast.Call) and one.args else one  # sa.Column("name", …), op.f("name")
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            found.append(" ".join(inner.value.split())[:60])
    return found


def _text(node: ast.expr) -> str:
    return " ".join(one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_get_bind(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("get_bind", "get_context")
    )


def _batches(function: ast.FunctionDef) -> set[str]:
    """``with op.batch_alter_table(…) as batch_op``."""
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.With):
            for item in node.items:
                if isinstance(item.optional_vars, ast.Name) and isinstance(item.context_expr, ast.Call):
                    target = item.context_expr.func
                    if isinstance(target, ast.Attribute) and target.attr == "batch_alter_table":
                        found.add(item.optional_vars.id)
    return found


def _connections(function: ast.FunctionDef) -> set[str]:
    """Names that were given ``op.get_bind()``, and what was made of them."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            value = node.value
            derived = isinstance(value, ast.Call) and any(
                _is_get_bind(one) or (isinstance(one, ast.Name) and one.id in found)
                for one in [*value.args, *(keyword.value for keyword in value.keywords)]
            )
            if _is_get_bind(value) or derived:
                found.add(node.targets[0].id)
    return found


# -- the whole plan --------------------------------------------------------------------------------------------
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
