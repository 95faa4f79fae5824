# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a release may touch the schema, and which way. Private to this collection.

Pure functions over what the management command found in the image and in the database. They either answer with the way
to go or stop, before anything has started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator

#: As django_manage describes it: migration, operations, reversible, destructive, compatible.
Migration = Mapping[str, Any]


@dataclass(frozen=True)
class Approval:
    """What a person has allowed.

    :param migrations: names, ``shop.0007_drop_price``.
    :param window: when users have been told that the application may fail, in words.
    """

    migrations: tuple[str, ...] = ()
    window: str = ""


@dataclass(frozen=True)
class Way:
    """Where the schema goes.

    :param kind: ``none``, ``forward``, ``back``.
    :param migrations: what is applied or reversed, in order.
    :param breaking: those of them after which the version that serves cannot go on.
    :param notes: what a reader must know before it starts.
    """

    kind: str
    migrations: tuple[str, ...] = ()
    breaking: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def not_known(app: str, why: str) -> Way:
    """The way of a release that is only foretold, to an image that cannot be looked into yet."""
    return Way("forward", notes=(f"what it does to the schema of {app} is not known yet: {why}",))


def forward(app: str, pending: Sequence[Migration], approval: Approval, notes: Sequence[str] = ()) -> Way:
    """The way to a version that knows everything that is applied.

    :raises NeedsOperator: for a migration that destroys or breaks something and that nobody has approved.
    """
    if not pending:
        return Way("none", notes=tuple(notes))
    grave = [one for one in pending if one.get("destructive") or not one.get("compatible", True)]
    breaking = _breaking(pending)
    missing = [one for one in grave if one["migration"] not in approval.migrations]
    if missing or (breaking and not approval.window.strip()):
        raise NeedsOperator(
            f"Application '{app}': {_told(missing or grave)} {_cost(breaking)}", _approve(grave, breaking)
        )
    said = [f"approved: {_told(grave)}" + (f" Announced: {approval.window}." if breaking else "")] if grave else []
    return Way("forward", tuple(_names(pending)), breaking, (*notes, *said))


def targets(
    unknown: Iterable[str],
    applied: Iterable[str],
    then: Mapping[str, str] | None,
    way_back: Sequence[Mapping[str, str]],
) -> list[dict[str, str]]:
    """Where each Django application must go back to, for an image that does not know all that is applied.

    Alembic's revisions belong to no application: where they end only the image knows.

    :param then: the schema when this image was released; ``None`` when it never was.
    :param way_back: what the image itself can tell: an application it does not have at all may as well have been
        removed on purpose, so its tables are left alone.
    """
    unknown = list(unknown)
    if then is None or not any("." in name for name in unknown):
        return [dict(target) for target in way_back if target["migration"] != "zero"]
    now = schema(applied)
    apps = sorted({_parts(name)[0] for name in unknown})
    return [{"app": app, "migration": then.get(app, "zero")} for app in apps if then.get(app) != now.get(app)]


def back(
    app: str, image: str, plan: Sequence[Migration], released: bool, restore_points: Sequence[Mapping[str, Any]]
) -> Way:
    """The way back to ``image``, which does not know the last migrations.

    :param plan: what is to be reversed, in that order, as the newer image sees it.
    :param released: whether the image was released before: going back to it is no accident.
    :param restore_points: dumps taken since ``image`` was released, oldest first.
    :raises NeedsOperator: when one of them has no way back, or nobody asked for it.
    """
    names = tuple(_names(plan))
    if not released:
        raise NeedsOperator(
            f"Application '{app}': {image} was never released here and does not know {', '.join(names)}, which the "
            "database has.",
            "It is older than what serves, or these migrations were renamed. Release a version that knows them.",
        )
    stuck = [one for one in plan if not one.get("reversible", True)]
    if not stuck:
        lossy = [one for one in plan if one.get("destructive")]
        notes = (f"loses what was written since in what they added: {', '.join(_names(lossy))}",) if lossy else ()
        return Way("back", names, _breaking(plan), notes)
    point = restore_points[0] if restore_points else None
    hint = (
        f"Restore the dump taken before them at {point['created']}, which loses everything written since, and go back "
        f"then: ansible-playbook playbooks/restore.yml -e app={app} -e restore_point={point['name']} "
        "-e restore_writers=stop. Or release a version that goes forward."
        if point
        else "No dump taken before them is recorded. Release a version that goes forward."
    )
    raise NeedsOperator(f"Application '{app}' cannot go back to {image}: {_told(stuck, 'reversible', False)}", hint)


def broken(way: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> list[str]:
    """What of a way has happened to the schema that the version before cannot work with, after a release that failed.

    :param way: a ``Way`` as a mapping.
    :param results: of the tasks that may have moved the schema, and of the one that failed, in their order. One that
        moved it says what is ``applied`` since, or ``None`` when nobody could be asked.
    :returns: names of migrations; all that break something when it is not known which of them happened.
    """
    breaking = list(way["breaking"])
    told = [result for result in results if "applied" in result]
    if not told or not breaking:
        return []
    applied = told[-1]["applied"]
    if applied is None:
        return breaking
    return [name for name in breaking if (name in applied) == (way["kind"] == "forward")]


def schema_of(history: Sequence[Mapping[str, Any]], image: str) -> Mapping[str, str] | None:
    """The schema when the image was last released completely; ``None`` when it never was."""
    return next((one["schema"] for one in history if one["image"] == image and one["complete"] and one["schema"]), None)


def restore_points(history: Sequence[Mapping[str, Any]], image: str) -> list[Mapping[str, Any]]:
    """The dumps taken since the image was last released, oldest first."""
    since = takewhile(lambda revision: revision["image"] != image, history)
    return [revision["restore_point"] for revision in since if revision["restore_point"]][::-1]


def taken_before(kept: Sequence[Mapping[str, Any]], plan: Sequence[Migration]) -> list[Mapping[str, Any]]:
    """Dumps that say they were taken before a migration of the plan: of a release that was cut off no revision tells.

    :param kept: all that there are of the application, newest first.
    """
    stuck = {str(one["migration"]) for one in plan if not one.get("reversible", True)}
    return [point for point in kept if stuck & set(str(point.get("reason") or "").split())]


def schema(applied: Iterable[str]) -> dict[str, str]:
    """The last migration of each Django application."""
    last: dict[str, str] = {}
    for app, name in sorted(map(_parts, applied)):
        last[app] = name
    return last


def _breaking(migrations: Iterable[Migration]) -> tuple[str, ...]:
    return tuple(_names(one for one in migrations if not one.get("compatible", True)))


# -- words -----------------------------------------------------------------------------------------------------
def _names(migrations: Iterable[Migration]) -> list[str]:
    return [str(one["migration"]) for one in migrations]


def _told(migrations: Sequence[Migration], kind: str = "destructive", value: bool = True) -> str:
    """``shop.0007_drop: Remove field price (the column goes) destroys data.``"""
    told = []
    for one in migrations:
        operations = one.get("operations") or []
        concerned = [op for op in operations if bool(op.get(kind)) == value or not op.get("compatible", True)]
        reasons = [op["description"] + (f" ({op['reason']})" if op.get("reason") else "") for op in concerned]
        told.append(f"{one['migration']}: {'; '.join(reasons)}" if reasons else str(one["migration"]))
    if kind == "reversible":
        word = "cannot be reversed"
    elif all(one.get("destructive") for one in migrations):
        word = "destroys data"
    else:
        word = "destroys data or breaks the version that serves"
    return f"{' | '.join(told)} {word}."


def _cost(breaking: Sequence[str]) -> str:
    lost = "A restore of the dump taken before it loses everything written since."
    return f"Once it is committed the version that serves now cannot go on. {lost}" if breaking else lost


def _approve(grave: Sequence[Migration], breaking: Sequence[str]) -> str:
    listed = ", ".join(f'"{name}"' for name in _names(grave))
    window = ', "app_release_window": "when users were told"' if breaking else ""
    announce = "announce a window" if breaking else "approve it"
    return (
        f"Split it into two releases (first stop using what goes, then drop it), or {announce} and run with: "
        f"-e '{{\"app_release_approved\": [{listed}]{window}}}'"
    )


def _parts(migration: str) -> tuple[str, str]:
    app, _dot, name = migration.partition(".")
    return app, name
