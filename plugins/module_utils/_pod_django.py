# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The look at Django's migrations: what is pending, what each operation does, and whether there is a way back.

It runs in the application's container, through ``manage.py shell``, with any Django since 3.2. Operations are known by
the names of their classes, so that those of ``django.contrib.postgres`` count as what they are without importing it.
Private to this collection.
"""

from __future__ import annotations

import dis
import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._pod_migrations import (
    EMPTY,
    FRESH,
    Session,
    bare,
    destroys,
    harmless,
    note,
    planned,
    say,
    unread,
    verdict,
)

Note = dict[str, Any]
_GROWING = ("smallint", "integer", "bigint")
#: What is said when the way back is a function or a text that does nothing.
_IDLE_BACK = "its way back does nothing: what it did to rows and tables stays"
#: Instructions of a function that does no more than return a constant.
_RETURNING = frozenset({"RESUME", "NOP", "LOAD_CONST", "LOAD_SMALL_INT", "RETURN_CONST", "RETURN_VALUE"})
#: Operations that take nothing away, whichever direction they go.
_HARMLESS = frozenset(
    {
        "AddIndex",
        "RemoveIndex",
        "RenameIndex",
        "AlterIndexTogether",
        "AlterModelOptions",
        "AlterModelManagers",
        "AlterModelTableComment",
        "AlterConstraint",
        "ValidateConstraint",
        "CreateCollation",
        "RemoveCollation",
    }
)
#: The others, and the method that judges each.
_KNOWN = {
    "CreateModel": "_create_model",
    "DeleteModel": "_delete_model",
    "RenameModel": "_rename_model",
    "AlterModelTable": "_alter_model_table",
    "AlterOrderWithRespectTo": "_alter_order_with_respect_to",
    "AddField": "_add_field",
    "RemoveField": "_remove_field",
    "RenameField": "_rename_field",
    "AlterField": "_alter_field",
    "AddConstraint": "_add_constraint",
    "RemoveConstraint": "_remove_constraint",
    "AlterUniqueTogether": "_alter_unique_together",
    "RunPython": "_run_python",
    "RunSQL": "_run_sql",
    "CreateExtension": "_create_extension",
}


# -- one operation ---------------------------------------------------------------------------------------------
class Judge:
    """Says what an operation does to the rows that are there.

    :param backwards: whether it is taken back.
    :param fresh: models whose tables the same run creates; those that this one creates are added.
    """

    def __init__(self, connection: Any, app: str, backwards: bool, fresh: set[tuple[str, str]]) -> None:
        self._connection = connection
        self._app = app
        self._backwards = backwards
        self._fresh = fresh

    def operation(self, operation: Any, state: Any) -> list[Note]:
        """:param state: before the operation, in the direction in which it was written."""
        found = self._judge(operation, state)
        if self._backwards:
            return found
        names = {getattr(operation, key, "") for key in ("model_name", "name", "old_name")} - {""}
        if type(operation).__name__ == "CreateModel":
            self._fresh.add((self._app, operation.name.lower()))
        elif any((self._app, str(name).lower()) in self._fresh for name in names):
            return harmless(found, FRESH)
        return found

    def _judge(self, operation: Any, state: Any) -> list[Note]:
        names = [cls.__name__ for cls in type(operation).__mro__]
        if "SeparateDatabaseAndState" in names:
            return self._separate(operation, state)
        description = ("Undo: " if self._backwards else "") + str(operation.describe())
        for name in names:
            if name in _HARMLESS:
                return [note(description)]
            if name in _KNOWN:
                effect = getattr(self, _KNOWN[name])(operation, state) or {}
                return [note(description, **{"reversible": bool(operation.reversible), **effect})]
        return [note(description, **unread(f"What {names[0]} does is not known here", bool(operation.reversible)))]

    def _separate(self, operation: Any, state: Any) -> list[Note]:
        state = state.clone()
        notes = []
        for one in operation.database_operations:
            notes.append(self._judge(one, state))
            one.state_forwards(self._app, state)
        ordered = reversed(notes) if self._backwards else notes
        return [one for group in ordered for one in group]

    # tables
    def _create_model(self, operation: Any, state: Any) -> Note | None:
        options = operation.options
        if not self._backwards or options.get("proxy") or not options.get("managed", True):
            return None
        return _gone(f"drops table {self._table(operation.name, options)} with every row written since")

    def _delete_model(self, operation: Any, state: Any) -> Note | None:
        model = _model(state, self._app, operation.name)
        if not _owns_table(model):
            return None
        table = self._table(operation.name, model.options)
        if self._backwards:
            return {"reason": f"creates table {table} again, without its rows"}
        return _gone(f"drops table {table}; its rows do not come back")

    def _rename_model(self, operation: Any, state: Any) -> Note | None:
        model = _model(state, self._app, operation.old_name)
        if not _owns_table(model) or model.options.get("db_table"):
            return None
        return _renamed("table")

    def _alter_model_table(self, operation: Any, state: Any) -> Note | None:
        return _renamed("table") if _owns_table(_model(state, self._app, operation.name)) else None

    def _alter_order_with_respect_to(self, operation: Any, state: Any) -> Note | None:
        model = _model(state, self._app, operation.name)
        had = bool(model is not None and model.options.get("order_with_respect_to"))
        has = bool(operation.order_with_respect_to)
        before, after = (has, had) if self._backwards else (had, has)
        return _gone("drops column _order") if before and not after else None

    # columns
    def _add_field(self, operation: Any, state: Any) -> Note | None:
        if not _owns_table(_model(state, self._app, operation.model_name)):
            return None
        if self._backwards:
            return self._loses(operation.name, operation.field, " with what was written since")
        return self._gains(operation.name, operation.field)

    def _remove_field(self, operation: Any, state: Any) -> Note | None:
        model = _model(state, self._app, operation.model_name)
        if not _owns_table(model):
            return None
        field = model.fields[operation.name]
        if not self._backwards:
            return self._loses(operation.name, field, "; its values do not come back")
        gain = self._gains(operation.name, field) or {"reason": ""}
        reason = f"adds {self._holder(operation.name, field)} again, without its values"
        return {**gain, "reason": "; ".join(filter(None, [reason, gain["reason"]]))}

    def _gains(self, name: str, field: Any) -> Note | None:
        if field.many_to_many or field.null or _computed(field) or _has_database_default(field):
            return None
        return {
            "compatible": False,
            "reason": f"column {self._column(name, field)} must be filled and the database has no default for it: "
            "a version that does not know it cannot insert rows",
        }

    def _loses(self, name: str, field: Any, what: str) -> Note | None:
        if _computed(field):
            return {"compatible": False, "reason": "drops a column that the database computes"}
        if field.many_to_many and _through(field):
            return None
        return _gone(f"drops {self._holder(name, field)}{what}")

    def _rename_field(self, operation: Any, state: Any) -> Note | None:
        model = _model(state, self._app, operation.model_name)
        if not _owns_table(model):
            return None
        field = model.fields.get(operation.old_name)
        return None if field is not None and field.db_column else _renamed("column")

    def _alter_field(self, operation: Any, state: Any) -> Note | None:
        model = _model(state, self._app, operation.model_name)
        if not _owns_table(model) or operation.name not in model.fields:
            return None
        old, new = model.fields[operation.name], operation.field
        if self._backwards:
            old, new = new, old
        return self._altered(old, new)

    def _altered(self, old: Any, new: Any) -> Note | None:
        parts: list[Note] = []
        if old.many_to_many or new.many_to_many:
            return None
        if old.is_relation != new.is_relation or (old.is_relation and _target(old) != _target(new)):
            if old.is_relation:
                parts.append(_gone("drops the foreign key"))
            else:
                parts.append({"reason": "fails when a value has no counterpart in the other table"})
        elif not old.is_relation:
            changed = narrowing(self._type(old), self._type(new))
            parts += [changed] if changed else []
        if old.unique and not new.unique:
            parts.append(_gone("drops a unique constraint: rows written since may stand in the way back"))
        elif new.unique and not old.unique:
            parts.append({"reason": "fails when values repeat"})
        if old.null and not new.null:
            parts.append(
                {
                    "compatible": False,
                    "reason": "empty values get the default; it fails when there is none",
                }
            )
        if (old.db_column or None) != (new.db_column or None):
            parts.append(_renamed("column"))
        if not parts:
            return None
        return {
            "destructive": any(part.get("destructive") for part in parts),
            "compatible": all(part.get("compatible", True) for part in parts),
            "reason": "; ".join(part["reason"] for part in parts),
        }

    # constraints
    def _add_constraint(self, operation: Any, state: Any) -> Note | None:
        if self._backwards:
            return _gone(f"drops constraint {operation.constraint.name}", compatible=True)
        return {"reason": f"fails when rows violate {operation.constraint.name}"}

    def _remove_constraint(self, operation: Any, state: Any) -> Note | None:
        if self._backwards:
            return {"reason": f"fails when rows written since violate {operation.name}"}
        return _gone(
            f"drops constraint {operation.name}: rows written since may stand in the way back", compatible=True
        )

    def _alter_unique_together(self, operation: Any, state: Any) -> Note | None:
        model = _model(state, self._app, operation.name)
        before = _sets(model.options.get("unique_together") if model is not None else None)
        after = _sets(operation.unique_together)
        if self._backwards:
            before, after = after, before
        if before - after:
            return _gone("drops a unique constraint: rows written since may stand in the way back", compatible=True)
        return {"reason": "fails when values repeat"} if after - before else None

    # what is not described
    def _run_python(self, operation: Any, state: Any) -> Note:
        code, other = operation.code, operation.reverse_code
        if self._backwards:
            code, other = other, code
        if _returns_only(code):
            return self._nothing()
        name = getattr(code, "__name__", "")
        said = f" ({name})" if name else ""
        what = f"What Python code{said} does to rows cannot be read from it"
        return self._unknown(operation, what, _returns_only(other))

    def _run_sql(self, operation: Any, state: Any) -> Note:
        text, other = bare(_sql_text(operation.sql)), bare(_sql_text(operation.reverse_sql))
        if self._backwards:
            text, other = other, text
        if destroys(text):
            idle = "" if other or not operation.reversible or self._backwards else f"; {_IDLE_BACK}"
            reason = f"the SQL drops, truncates or deletes{idle}"
            return {"destructive": True, "compatible": False, "reason": reason}
        if text or not operation.reversible:
            return self._unknown(operation, "What raw SQL does to rows is not described", not other)
        return self._nothing()

    def _nothing(self) -> Note:
        return {"reason": "does nothing in this direction" + ("; what was written stays" if self._backwards else "")}

    def _create_extension(self, operation: Any, state: Any) -> Note | None:
        return _gone("drops the extension") if self._backwards else None

    def _unknown(self, operation: Any, what: str, idle: bool) -> Note:
        """Without a way back it counts as destroying; with one, its author knew what it does.

        :param idle: whether the other direction does nothing.
        """
        if not operation.reversible:
            return unread(what, False)
        back = _IDLE_BACK if idle and not self._backwards else "it declares a way back"
        return {"reversible": True, "reason": f"{what}; {back}"}

    # names
    def _table(self, name: str, options: dict[str, Any]) -> str:
        return str(options.get("db_table") or f"{self._app}_{name.lower()}").strip('"')

    def _holder(self, name: str, field: Any) -> str:
        return f"the links of {name}" if field.many_to_many else f"column {self._column(name, field)}"

    @staticmethod
    def _column(name: str, field: Any) -> str:
        return str(field.db_column or (f"{name}_id" if field.is_relation else name))

    def _type(self, field: Any) -> str:
        try:
            return str(field.db_type(self._connection) or "")
        except Exception:
            return type(field).__name__  # a field that only a whole model can tell about


def _returns_only(code: Any) -> bool:
    """Whether a function does nothing, as ``RunPython.noop`` and others of its kind."""
    try:
        return all(one.opname in _RETURNING for one in dis.get_instructions(code))
    except TypeError:  # nothing that was written as a function
        return False


def _gone(reason: str, compatible: bool = False) -> Note:
    return {"destructive": True, "compatible": compatible, "reason": reason}


def _renamed(what: str) -> Note:
    return {"compatible": False, "reason": f"renames a {what}: a version that knows only the other name fails"}


def narrowing(old: str, new: str) -> Note | None:
    """What a change of a column's type does to the values; ``None`` when all of them fit.

    PostgreSQL refuses what is too long or too large, cuts text that is converted, and rounds numbers.
    """
    if old == new:
        return None
    (old_base, old_sizes), (new_base, new_sizes) = _parsed(old), _parsed(new)
    if new_base == "text" or (old_base == "date" and new_base.startswith("timestamp")):
        return None
    if old_base == new_base == "varchar":
        if not new_sizes or (old_sizes and new_sizes[0] >= old_sizes[0]):
            return None
        return {"compatible": False, "reason": f"fails when a value is longer than {new_sizes[0]}"}
    if old_base in _GROWING and new_base in (*_GROWING, "numeric"):
        if new_base == "numeric" or _GROWING.index(new_base) >= _GROWING.index(old_base):
            return None
        return {"compatible": False, "reason": f"fails when a value does not fit {new_base}"}
    if old_base == new_base == "numeric" and len(old_sizes) == len(new_sizes) == 2:
        if new_sizes[1] < old_sizes[1]:
            return _gone(f"rounds to {new_sizes[1]} decimal places", compatible=True)
        if new_sizes[0] - new_sizes[1] >= old_sizes[0] - old_sizes[1]:
            return None
        return {"compatible": False, "reason": f"fails when a value does not fit {new}"}
    if (old_base, new_base) == ("real", "double precision"):
        return None
    return _gone(f"converts {old} to {new}: what does not fit is lost")


def _parsed(kind: str) -> tuple[str, list[int]]:
    match = re.match(r"([a-z ]+?)\s*(?:\(([\d, ]+)\))?(?:\s+generated .*)?$", kind.lower().strip())
    if not match:
        return kind, []
    base = {"serial": "integer", "bigserial": "bigint", "smallserial": "smallint"}.get(match[1], match[1])
    return base, [int(size) for size in (match[2] or "").split(",") if size.strip()]


def _model(state: Any, app: str, name: str) -> Any:
    return state.models.get((app, name.lower()))


def _owns_table(model: Any) -> bool:
    return model is not None and not model.options.get("proxy") and bool(model.options.get("managed", True))


def _computed(field: Any) -> bool:
    return bool(getattr(field, "generated", False))


def _has_database_default(field: Any) -> bool:
    has = getattr(field, "has_db_default", None)  # since Django 5.0
    return bool(field.primary_key or (has() if callable(has) else False))


def _through(field: Any) -> bool:
    """Whether the links are a model of their own, which is created and deleted by itself."""
    through = getattr(field.remote_field, "through", None)
    auto = getattr(getattr(through, "_meta", None), "auto_created", False)
    return through is not None and not auto


def _target(field: Any) -> str:
    model = field.remote_field.model
    return str(getattr(getattr(model, "_meta", None), "label_lower", model)).lower()


def _sets(value: Any) -> set[tuple[str, ...]]:
    return {tuple(one) for one in value or ()}


def _sql_text(sql: Any) -> str:
    if isinstance(sql, str):
        return sql
    statements: Iterable[Any] = sql or ()
    return ";\n".join(str(one[0] if isinstance(one, (list, tuple)) else one) for one in statements)


def public_settings() -> dict[str, Any]:
    """What decides how Django answers the world; a setting that does not exist is empty."""
    from django.conf import settings

    names = ("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "SECURE_PROXY_SSL_HEADER")
    lists = {name: [str(one) for one in getattr(settings, name, None) or ()] for name in names}
    return {"module": str(getattr(settings, "SETTINGS_MODULE", "")), "DEBUG": bool(settings.DEBUG), **lists}


# -- the whole plan --------------------------------------------------------------------------------------------
class Look:
    """:param request: ``{database, targets: [{app, migration}], apps, application, stay}``."""

    def __init__(self, request: dict[str, Any]) -> None:
        from django.db import connections

        self._request = request
        self._connection = connections[request["database"] or "default"]
        self._session = Session(
            self._query if self._connection.vendor == "postgresql" else None, request["application"]
        )

    def run(self) -> None:
        self._session.read_only()
        if self._request["stay"]:
            self._session.lock()
        word = self._before()
        if self._request["stay"] and word in ("forward", "backward"):
            self._session.stay(self._recorded)

    def _query(self, sql: str, params: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    def _before(self) -> str:
        from django.db.migrations.executor import MigrationExecutor
        from django.utils import translation

        with translation.override(None):
            executor = MigrationExecutor(self._connection)
            self._loader = loader = executor.loader
            loader.check_consistent_history(self._connection)
            conflicts = loader.detect_conflicts()
            if conflicts:
                said = "; ".join(f"{', '.join(names)} in {app}" for app, names in sorted(conflicts.items()))
                raise SystemExit(f"Migrations branch: {said}. Join them with: manage.py makemigrations --merge")
            pending = self._planned(loader, executor.migration_plan(self._targets(loader)))
        word = verdict(pending)
        found = {"pending": pending, "settings": public_settings(), **self._recorded()}
        say("before", verdict=word, go=word in ("forward", "backward"), **found)
        return word

    def _targets(self, loader: Any) -> list[Any]:
        """As ``migrate`` reads its arguments."""
        leaves = sorted(loader.graph.leaf_nodes())
        wanted = self._request["targets"]
        if not wanted:
            return leaves
        targets = []
        for one in wanted:
            app, name = one["app"], one["migration"]
            if app not in loader.migrated_apps:
                raise SystemExit(f"App '{app}' has no migrations in this image.")
            if not name:
                targets += [leaf for leaf in leaves if leaf[0] == app]
            elif name == "zero":
                targets.append((app, None))
            else:
                targets.append(_target_of(loader, app, name))
        return targets

    def _planned(self, loader: Any, plan: list[Any]) -> list[dict[str, Any]]:
        """A state is built once for a row of migrations that go forward: there may be hundreds."""
        present = {key for key in loader.applied_migrations if key in loader.graph.nodes}
        forward = None
        fresh: set[tuple[str, str]] = set()
        empty = not self._connection.introspection.table_names()
        found = []
        for migration, backwards in plan:
            key = (migration.app_label, migration.name)
            if backwards:
                state, forward = loader.project_state(key, at_end=False), None
                present.discard(key)
            else:
                state = forward = forward or loader.project_state(sorted(present))
                present.add(key)
            judge = Judge(self._connection, migration.app_label, backwards, fresh)
            notes = []
            for operation in migration.operations:
                notes.append(judge.operation(operation, state))
                operation.state_forwards(migration.app_label, state)
            if backwards:
                notes.reverse()
            operations = [one for group in notes for one in group]
            if empty:
                operations = harmless(operations, EMPTY)
            found.append(planned(".".join(key), backwards, operations, bool(migration.atomic)))
        return found

    def _recorded(self) -> dict[str, Any]:
        """What the database says it has, what this image does not know of it, and how that would go away."""
        from django.db.migrations.recorder import MigrationRecorder

        recorder = MigrationRecorder(self._connection)
        rows = list(recorder.migration_qs.order_by("id")) if recorder.has_table() else []
        loader = self._loader
        known = set(loader.disk_migrations)
        for migration in loader.disk_migrations.values():
            known |= set(migration.replaces)
        unknown = [(row.app, row.name) for row in rows if (row.app, row.name) not in known]
        return {
            "applied": [f"{row.app}.{row.name}" for row in rows],
            "unknown": [f"{app}.{name}" for app, name in unknown],
            "way_back": [
                {"app": app, "migration": self._last_known(app, {(row.app, row.name) for row in rows})}
                for app in sorted({app for app, name in unknown})
            ],
        }

    def _last_known(self, app: str, applied: set[tuple[str, str]]) -> str:
        graph = self._loader.graph
        path = [key for leaf in graph.leaf_nodes(app) for key in graph.forwards_plan(leaf)]
        known = [name for label, name in path if label == app and (label, name) in applied]
        return known[-1] if known else "zero"


def _target_of(loader: Any, app: str, name: str) -> Any:
    try:
        found = loader.get_migration_by_prefix(app, name)
    except KeyError:
        raise SystemExit(f"This image knows no migration '{name}' of app '{app}'.") from None
    except Exception:  # django's AmbiguityError
        raise SystemExit(f"More than one migration of app '{app}' begins with '{name}'.") from None
    target = (app, found.name)
    if target not in loader.graph.nodes and target in loader.replacements:  # partly applied: the last one it replaces
        target = loader.replacements[target].replaces[-1]
    return target


def main(request: dict[str, Any]) -> None:
    Look(request).run()
