# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one of Alembic's revisions does, by its text. It runs in the application's container.

A revision is Python code; it is read, not run. Operations are known by whatever name the file calls them, and SQL is
read where it is written in the file. What cannot be read counts as destroying, and says so. Private to this collection.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from ansible_collections.railiance.stack.plugins.module_utils._pod_migrations import (
    FRESH,
    destroys,
    harmless,
    note,
    unread,
)

Note = dict[str, Any]
_Name = TypeVar("_Name")
_Value = TypeVar("_Value")
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
    {
        "create_unique_constraint",
        "create_check_constraint",
        "create_foreign_key",
        "create_primary_key",
        "create_exclude_constraint",
    }
)
#: What changes nothing by itself.
_NOTHING = frozenset({"f", "inline_literal", "get_bind", "get_context", "batch_alter_table"})
#: Every other operation that ``from alembic.op import *`` may bring.
_OPERATIONS = frozenset(
    {*_TAKING, *_GIVING, *_HARMLESS, *_CHECKED, *_NOTHING, "alter_column", "execute", "bulk_insert"}
)

#: Methods of a connection or a session that run SQL and that lead to another one, attributes that do, and methods that
#: change nothing.
_RUNNING = frozenset({"execute", "exec_driver_sql", "scalar", "scalars"})
_STILL = frozenset({"begin", "begin_nested", "connect", "connection", "execution_options", "get_bind"})
_PARTS = frozenset({"bind", "connection", "engine", "impl"})
_IDLE = frozenset({"autocommit_block", "close", "commit", "expire_all", "flush", "rollback"})
#: What may be handed a connection: it looks, or it adds.
_ADDING = frozenset({"Session", "create", "create_all", "inspect", "reflect", "sessionmaker"})

#: SQLAlchemy's statements as the words they become, and the methods that leave them what they are.
_VERBS = {
    "insert": "insert",
    "update": "update",
    "select": "select",
    "delete": "delete from",
    "CreateSchema": "create schema",
    "CreateSequence": "create sequence",
    "DropSchema": "drop schema",
    "DropSequence": "drop sequence",
}
_SHAPING = frozenset(
    {"bindparams", "columns", "execution_options", "from_select", "items", "on_conflict_do_nothing"}
    | {"on_conflict_do_update", "order_by", "returning", "select_from", "values", "where"}
)
#: Calls whose result is the text they are given.
_TEXTUAL = frozenset({"DDL", "cleandoc", "dedent", "format", "join", "lstrip", "rstrip", "strip", "text"})
#: Modules whose functions reach no database by themselves.
_KNOWN_MODULES = frozenset({"alembic", "geoalchemy2", "pgvector", "sqlalchemy", "sqlalchemy_utils", "sqlmodel"})


@dataclass(frozen=True)
class Call:
    """One call that matters.

    :param name: of the operation; ``python`` for code that is not in the file, ``drop`` for what drops itself.
    :param table: of the batch that it is part of.
    """

    name: str
    node: ast.Call
    scope: Scope
    table: str = ""


class Revision:
    """What the two functions of a revision's file do, by their text.

    :ivar reversible: whether ``downgrade`` does something, when ``upgrade`` does.
    """

    def __init__(self, text: str) -> None:
        tree = ast.parse(text)
        self._functions = {one.name: one for one in tree.body if isinstance(one, ast.FunctionDef)}
        self._module = Scope()
        self._module.learn_imports(tree)
        for statement in tree.body:
            if not isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                self._module.learn(statement)
        self._classes = {one.name for one in tree.body if isinstance(one, ast.ClassDef) and self._works(one)}
        self.reversible = self._does("downgrade") or not self._does("upgrade")

    def _works(self, tree: ast.AST) -> bool:
        return any(isinstance(one, ast.expr) and self._module.table_of(one) is not None for one in ast.walk(tree))

    def _does(self, name: str) -> bool:
        function = self._functions.get(name)
        if function is None or any(isinstance(one, ast.Raise) for one in function.body):
            return False
        return bool(self._calls(function, self._module.inner(function), (name,)))

    def operations(self, backward: bool, fresh: set[str]) -> list[Note]:
        """:param fresh: tables that the same run creates; those that this revision creates are added."""
        name = "downgrade" if backward else "upgrade"
        function = self._functions.get(name)
        if function is None:
            return [self._unread(name, f"{name} is not written in the revision")]
        found: list[Note] = []
        for call in self._calls(function, self._module.inner(function), (name,)):
            said = [self._note(call, backward)]
            table = call.table or call.scope.name(_table(call))
            if call.name == "create_table":
                fresh |= {table} - {""}
            elif table in fresh and call.name in _OPERATIONS - {"execute"}:
                said = harmless(said, FRESH)
            found += said
        return found

    def _calls(self, function: ast.FunctionDef, scope: Scope, path: tuple[str, ...]) -> list[Call]:
        """Operations, what works with the connection, and what is handed one of them; in the order of the text.

        :param path: the functions on the way here; one that calls itself is followed once.
        """
        found: list[Call] = []
        arguments: set[ast.AST] = set()
        calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
        for node in sorted(calls, key=lambda one: (one.lineno, one.col_offset, -(one.end_col_offset or 0))):
            name, target = scope.operation(node), node.func
            if name:
                arguments |= {inner for one in [*node.args, *node.keywords] for inner in ast.walk(one)}
                if name not in _NOTHING:
                    table = scope.table_of(target.value) if isinstance(target, ast.Attribute) else ""
                    found.append(Call(name, node, scope, table or ""))
            elif isinstance(target, ast.Attribute) and scope.is_connection(target.value):
                kind = _kind(target)
                found += [Call(kind, node, scope)] if kind else []
            elif isinstance(target, ast.Name) and target.id in self._functions:
                inner = self._functions[target.id]
                if target.id not in path:
                    found += self._calls(inner, self._module.inner(inner, node, scope), (*path, target.id))
                if (inner.args.vararg or inner.args.kwarg) and any(scope.is_handle(one) for one in _given(node)):
                    found.append(Call("python", node, scope))
            elif any(scope.is_handle(one) for one in _given(node)):
                if _last(target) not in _ADDING:
                    found.append(Call("drop" if _last(target) in ("drop", "drop_all") else "python", node, scope))
            elif node not in arguments and (scope.is_foreign(target) or _first(target) in self._classes):
                found.append(Call("python", node, scope))
        return found

    def _note(self, call: Call, backward: bool) -> Note:
        name, node = call.name, call.node
        what = [call.scope.shown(one) for one in _subjects(call)]
        description = f"{name} {', '.join(what)}".strip()
        if name in _TAKING:
            reason, compatible = _TAKING[name]
            taking = name.startswith("drop_")
            subject = ".".join(what[:2]) if name == "drop_column" else (what[0] if what else "")
            if backward and name in ("drop_table", "drop_column"):
                reason = _GIVING["create_table" if name == "drop_table" else "add_column"]
            return self._said(description, destructive=taking, compatible=compatible, reason=reason.format(subject))
        if name == "add_column":
            return self._said(description, **_added(call))
        if name == "alter_column":
            return self._said(description, **_altered(node))
        if name in _CHECKED:
            return self._said(description, reason="fails when rows violate it")
        if name in _HARMLESS:
            return self._said(description)
        if name == "bulk_insert":
            return self._unknown(description)
        if name == "execute":
            text, whole = call.scope.read(_given(node)[0]) if _given(node) else ("", False)
            if destroys(text):
                return self._said(
                    description, destructive=True, compatible=False, reason="the SQL drops, truncates or deletes"
                )
            return (
                self._unknown(description)
                if whole
                else self._unread(description, "What the SQL is cannot be read from the revision")
            )
        if name in ("python", "drop"):
            description = f"python {_source(node)}"
            if name == "drop":
                return self._said(description, destructive=True, compatible=False, reason="drops what it stands for")
            return self._unread(description, "What this code does cannot be read from the revision")
        return self._unread(description, f"What {name} does is not known here")

    def _said(self, description: str, **said: Any) -> Note:
        return note(description, **{"reversible": self.reversible, **said})

    def _unknown(self, description: str) -> Note:
        """Its words are known, and take nothing away; with a way back its author knew what it does to rows."""
        what = "What it does to rows is not described"
        if self.reversible:
            return note(description, reason=f"{what}; the revision declares a way back")
        return self._unread(description, what)

    def _unread(self, description: str, what: str) -> Note:
        return note(description, **unread(what, self.reversible))


class Scope:
    """What the names in a function stand for.

    One that is bound more than once stands for all that it is bound to.
    """

    def __init__(self) -> None:
        self._handles: dict[str, str] = {"op": ""}  # ``op`` and its batches, with the table of a batch
        self._operations: dict[str, str] = {}  # single operations by their names here
        self._connections: set[str] = set()
        self._modules: set[str] = set()
        self._foreign: set[str] = set()
        self._values: dict[str, list[ast.expr]] = {}

    def learn_imports(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for one in node.names:
                    name = one.asname or one.name.partition(".")[0]
                    if one.name == "alembic.op" and one.asname:
                        self._handles[name] = ""
                    self._imported(name, one.name)
            elif isinstance(node, ast.ImportFrom):
                source = "." * node.level + (node.module or "")
                for one in node.names:
                    name = one.asname or one.name
                    if (source, one.name) == ("alembic", "op"):
                        self._handles[name] = ""
                    elif source == "alembic.op":
                        names = _OPERATIONS if one.name == "*" else {one.name}
                        self._operations.update({one.asname or known: known for known in names})
                    self._imported(name, source)

    def _imported(self, name: str, source: str) -> None:
        top = source.partition(".")[0]
        known = top in _KNOWN_MODULES or top in getattr(sys, "stdlib_module_names", ())  # since Python 3.10
        (self._modules if known else self._foreign).add(name)

    def inner(self, function: ast.FunctionDef, call: ast.Call | None = None, outer: Scope | None = None) -> Scope:
        """The scope of a function of the file.

        :param call: which call of it, and in which scope that stands: its arguments are known as what they are there.
        """
        scope = Scope()
        scope._handles, scope._operations = dict(self._handles), dict(self._operations)
        scope._connections, scope._modules, scope._foreign = set(self._connections), self._modules, self._foreign
        scope._values = {name: list(values) for name, values in self._values.items()}
        if call is not None and outer is not None:
            names = [one.arg for one in [*function.args.posonlyargs, *function.args.args]]
            given = [*_pairs(names, call.args), *((one.arg, one.value) for one in call.keywords if one.arg)]
            for name, value in given:
                text, whole = outer.read(value)
                if outer.table_of(value) is not None:
                    scope._handles[name] = outer.table_of(value) or ""
                elif outer.is_connection(value):
                    scope._connections.add(name)
                elif whole:
                    scope._values[name] = [ast.Constant(text)]
        scope.learn(function)
        return scope

    def learn(self, tree: ast.AST) -> None:
        bound = sorted(_bound(tree), key=lambda one: (one[1].lineno, one[1].col_offset))
        for name, value in bound:
            if self.table_of(value) is not None:
                self._handles[name] = self.table_of(value) or ""
            elif isinstance(value, ast.Call) and self.operation(value) == "batch_alter_table":
                self._handles[name] = self.name(next(iter(_given(value)), None)) or "?"
            elif isinstance(value, ast.Attribute) and self.table_of(value.value) is not None:
                self._operations[name] = value.attr
            elif self.is_connection(value) or (
                isinstance(value, ast.Call) and any(self.is_connection(one) for one in _given(value))
            ):
                self._connections.add(name)
            else:
                self._values.setdefault(name, []).append(value)

    # what an expression stands for
    def table_of(self, node: ast.expr) -> str | None:
        """The table of a batch, an empty text for ``op`` itself, nothing for anything else."""
        if isinstance(node, ast.Name):
            return self._handles.get(node.id)
        return "" if ast.dump(node) == _ALEMBIC_OP and "alembic" in self._modules else None

    def operation(self, node: ast.Call) -> str:
        """The name of the operation that is called, if it is one."""
        target = node.func
        if isinstance(target, ast.Attribute) and self.table_of(target.value) is not None:
            return target.attr
        return self._operations.get(target.id, "") if isinstance(target, ast.Name) else ""

    def is_connection(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self._connections
        if isinstance(node, ast.Attribute):
            return node.attr in _PARTS and self.is_connection(node.value)
        if not isinstance(node, ast.Call):
            return False
        if self.operation(node) in ("get_bind", "get_context"):
            return True
        target = node.func
        if isinstance(target, ast.Attribute):
            return target.attr in _STILL and self.is_connection(target.value)
        return self.is_connection(target)  # of a factory that was given one

    def is_handle(self, node: ast.expr) -> bool:
        return self.table_of(node) is not None or self.is_connection(node)

    def is_foreign(self, target: ast.expr) -> bool:
        """Whether what is called lies in a module that is not read, or is only known when it runs."""
        return _first(target) in self._foreign or (isinstance(target, ast.Name) and target.id in self._values)

    # texts
    def read(self, node: ast.expr, seen: frozenset[str] = frozenset()) -> tuple[str, bool]:
        """The text that an expression stands for, and whether that is all of it."""
        if isinstance(node, ast.Constant):
            return (node.value if isinstance(node.value, str) else ""), True
        parts, whole = self._parts(node, seen)
        if isinstance(node, ast.Call) and _last(node.func) in _VERBS:
            return _VERBS[_last(node.func)], True
        if isinstance(node, ast.Name):
            seen |= {node.id}
        read = [self.read(one, seen) for one in parts]
        joint = "" if isinstance(node, (ast.JoinedStr, ast.FormattedValue, ast.BinOp)) else "\n"
        return joint.join(text for text, _all in read), whole and all(one for _text, one in read)

    def _parts(self, node: ast.expr, seen: frozenset[str]) -> tuple[list[ast.expr], bool]:
        if isinstance(node, ast.Name):
            known = node.id in self._values and node.id not in seen
            return (self._values[node.id] if known else []), known
        if isinstance(node, ast.IfExp):
            return [node.body, node.orelse], True
        if isinstance(node, ast.Dict):
            return [*filter(None, node.keys), *node.values], True
        if isinstance(node, ast.Subscript):
            return [node.value], True
        if isinstance(node, ast.Call):
            target = node.func
            owner = [target.value] if isinstance(target, ast.Attribute) and not self._is_module(target.value) else []
            if owner and _last(target) in _SHAPING:
                return owner, True
            return [*owner, *_given(node)], _last(target) in _TEXTUAL
        inner = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr)]
        composed = (ast.JoinedStr, ast.FormattedValue, ast.BinOp, ast.List, ast.Tuple, ast.Set, ast.Starred)
        return inner, isinstance(node, composed)

    def _is_module(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self._modules

    def name(self, node: ast.expr | None) -> str:
        """The plain name that an expression stands for; empty when it is not known."""
        text, whole = self.read(node) if node is not None else ("", False)
        return text if whole else ""

    def shown(self, node: ast.expr) -> str:
        inner = node.args[0] if isinstance(node, ast.Call) and node.args else None  # sa.Column("name", …), op.f("name")
        return " ".join((self.name(node) or self.name(inner)).split())[:60] or _source(node)


_ALEMBIC_OP = ast.dump(ast.parse("alembic.op", mode="eval").body)


def _kind(target: ast.Attribute) -> str:
    """What a method of a connection does: it runs SQL, nothing, or it is not known."""
    name = target.attr
    if name in _RUNNING:
        return "execute"
    return "" if name in _IDLE | _STILL or name.startswith(("get_", "has_")) else "python"


def _table(call: Call) -> ast.expr | None:
    """The argument that names the table."""
    named = _options(call.node).get("table_name")
    place = 1 if call.name == "drop_constraint" else 0
    return named or (call.node.args[place] if len(call.node.args) > place else None)


def _added(call: Call) -> Note:
    given = _options(call.node).get("column") or next(reversed(call.node.args), None)
    if not isinstance(given, ast.Call) or _last(given.func) != "Column":
        return {"compatible": False, "reason": "what the column demands cannot be read from the revision"}
    options = _options(given)
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


def _given(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(one.value for one in node.keywords)]


def _subjects(call: Call) -> list[ast.expr]:
    """What a call is about: a table, a column, a statement without its values."""
    if call.name in ("execute", "bulk_insert"):
        return _given(call.node)[:1]
    options = _options(call.node)
    named = [options[key] for key in ("constraint_name", "table_name", "column_name") if key in options]
    return [*call.node.args, *named][:2] or _given(call.node)[:1]


def _source(node: ast.expr) -> str:
    return " ".join(ast.unparse(node).split())[:60]


def _last(target: ast.expr) -> str:
    """The last name of what is called: ``text`` of ``sa.text``."""
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) else ""


def _first(target: ast.expr) -> str:
    """The first one: ``sa`` of ``sa.text``."""
    while not isinstance(target, ast.Name):
        if isinstance(target, ast.Attribute):
            target = target.value
        elif isinstance(target, ast.Call):
            target = target.func
        else:
            return ""
    return target.id


def _pairs(names: list[_Name], values: list[_Value]) -> Iterator[tuple[_Name, _Value]]:
    return zip(names, values)  # noqa: B905 - an application's Python may be older than the option


def _bound(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names, and what they are bound to."""
    for node in ast.walk(tree):
        pairs: list[tuple[ast.expr | None, ast.expr | None]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
            pairs = [(node.target, node.value)]
        elif isinstance(node, (ast.For, ast.comprehension)):
            pairs = [(node.target, node.iter)]
        elif isinstance(node, ast.FunctionDef):
            parameters = [*node.args.posonlyargs, *node.args.args][-len(node.args.defaults) or None :]
            defaults = [*_pairs(parameters, node.args.defaults), *_pairs(node.args.kwonlyargs, node.args.kw_defaults)]
            yield from ((one.arg, value) for one, value in defaults if value is not None)
        elif isinstance(node, ast.withitem):
            pairs = [(node.optional_vars, node.context_expr)]
        for target, value in pairs:
            if target is not None and value is not None:
                yield from ((one.id, value) for one in ast.walk(target) if isinstance(one, ast.Name))
