# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was released, in lines for a person. Private to this collection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def table(found: Row, app: str) -> list[str]:
    """What release_info found.

    :param found: its result.
    :param app: whose history is shown in full and whose orphans and data alone; empty for a line each of all.
    """
    if app:
        own = [one for one in found["releases"] if one["name"] == app]
        kept = [one for one in found["kept"] if one["app"] == app]
        lines = [line for one in own for line in _in_full(one)]
        return [*lines, *_revisions(found["history"]), *map(_kept, kept)]
    orphans = [f"orphan  {one['name']} in namespace {one['namespace']}: no entry names it" for one in found["orphans"]]
    return [*_columns([_short(one) for one in found["releases"]]), *orphans, *map(_kept, found["kept"])]


def _version(one: Row) -> str:
    commit, image = str(one.get("commit") or ""), str(one.get("image") or "")
    return f"commit {commit[:12]}" if commit else image.rpartition("/")[2].replace("@sha256:", "@")[:60] or "unknown"


def _moment(one: Row) -> str:
    """Helm's time to the second."""
    return re.sub(r"\.\d+", "", str(one["at"]))


def _completeness(one: Row) -> str:
    """Whether the last run got to its end; the description says what the revision is."""
    if one["status"] != "deployed":
        return f"not complete, {one['status']}: {one['description']}"
    return "complete" if one["complete"] else f"not complete: {one['description']}"


def _in_full(one: Row) -> list[str]:
    if not one["revision"]:
        return [f"serves    nothing: {one['name']} was never released"]
    return [
        f"serves    {_version(one)}",
        f"image     {one['image']}",
        f"revision  {one['revision']} since {_moment(one)}, {_completeness(one)}",
        f"deploy    {'would release it: ' + one['pending'] if one['pending'] else 'nothing to do'}",
    ]


def _short(one: Row) -> list[str]:
    if not one["revision"]:
        return ["app", one["name"], "never released", ""]
    state = _completeness(one) if one["status"] != "deployed" or not one["complete"] else f"since {_moment(one)}"
    return ["app", one["name"], _version(one), f"revision {one['revision']} {state}"]


def _revisions(history: Sequence[Row]) -> list[str]:
    """The revisions, those that one can go back to marked."""
    rows = []
    for one in history:
        back = one is not history[0] and one["complete"]
        words = "serves" if one is history[0] else "can be gone back to" if back else "not complete"
        migrations = f"migrations up to {', '.join(one['migrations'])}" if one["migrations"] else ""
        dump = f"restore point {one['restore_point']['name']}" if one["restore_point"].get("name") else ""
        rows.append([f"revision {one['revision']}", _moment(one), _version(one), words, migrations, dump])
    return _columns(rows)


def _kept(one: Row) -> str:
    return f"kept    {one['kind']} {one['namespace']}/{one['name']} of {one['app']}: {one['why']}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
