# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Management commands of Django and migrations of Alembic: how they are called and what their words mean.

Pure functions. Private to this collection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._runner import READ_ONLY, Command, Ran, When

PENDING = "Planned operations:"
NOTHING_PENDING = "No planned migration operations."
NOT_AT_HEAD = "not on all head revisions"

#: Commands that change nothing.
_READING = frozenset(
    {
        "check",
        "diffsettings",
        "dumpdata",
        "findstatic",
        "inspectdb",
        "showmigrations",
        "sqlflush",
        "sqlmigrate",
        "sqlsequencereset",
    }
)
#: What a command says when it changed something; the first group, where there is one, is a count.
_CHANGED = {
    "collectstatic": r"^(\d+) static files? (?:copied|symlinked)|, (\d+) post-processed",
    "loaddata": r"^Installed (\d+) object",
    "createcachetable": r"^Cache table '.*' created\.$",
    "createsuperuser": r"^Superuser created successfully\.$",
}
_USER_EXISTS = re.compile(r"Error: That .+ is already taken\.")
_REVISION = re.compile(r"^(?P<old>\S.*?) -> (?P<new>[0-9A-Za-z_]+)(?P<marks>(?: \([^)]*\))*), (?P<title>.*)$")


@dataclass(frozen=True)
class Request:
    """A management command as asked for; names as in community.general's module."""

    command: str
    driver: str = "django"
    python: str = "python"
    manage: str = "manage.py"
    settings: str = ""
    pythonpath: str = ""
    database: str = ""
    apps: tuple[str, ...] = ()
    fixtures: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    clear: bool = False
    link: bool = False
    deploy: bool = False
    fail_level: str = ""
    skip_checks: bool = False
    verbosity: int | None = None
    extra_args: tuple[str, ...] = ()
    changed_pattern: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a run meant.

    :param pending: migrations that were pending before, ``[{migration, operations}]``.
    :param rc: exit code of the command itself.
    """

    changed: bool
    pending: list[dict[str, Any]] = field(default_factory=list)
    rc: int = 0
    stdout: str = ""
    stderr: str = ""


def check_request(request: Request) -> None:
    """:raises StackError: for a combination that cannot mean anything."""
    if request.driver == "alembic" and request.command != "migrate":
        raise StackError(f"Alembic knows no command '{request.command}'.", "Use command: migrate, or driver: django.")
    if not re.fullmatch(r"[A-Za-z0-9_]+", request.command):
        raise StackError(
            f"command '{request.command}' is not the name of a management command.", "Put its arguments in extra_args."
        )
    if request.command == "loaddata" and not request.fixtures:
        raise StackError("loaddata has nothing to load.", "Give fixtures.")
    try:
        re.compile(request.changed_pattern)
    except re.error as error:
        raise StackError(f"changed_pattern is no regular expression: {error}.", "Correct it.") from error


def changes_nothing(request: Request) -> bool:
    return request.command in _READING


def reading(request: Request) -> list[Command]:
    """What may run in check mode: for migrations the look at what is pending, read-only; for others nothing."""
    if request.command != "migrate":
        return []
    return _alembic_look(request) if request.driver == "alembic" else [_plan(request)]


def commands(request: Request) -> list[Command]:
    """What runs: for migrations the look first, and the change only when something is pending."""
    if request.command != "migrate":
        ok = (0, 1) if request.command == "createsuperuser" else (0,)
        return [Command("run", _manage(request), ok=ok)]
    if request.driver == "alembic":
        upgrade = _alembic(request, "upgrade", "heads")
        return [*_alembic_look(request), Command("apply", upgrade, when=When("look", (255,), NOT_AT_HEAD))]
    return [_plan(request), Command("apply", _manage(request), when=When("plan", (1,), PENDING))]


def _plan(request: Request) -> Command:
    return Command("plan", _manage(request, "--plan", "--check"), ok=(0, 1), env=READ_ONLY)


def _manage(request: Request, *further: str) -> tuple[str, ...]:
    """``python manage.py <command> <options> <arguments>``."""
    argv = [request.python, request.manage, request.command, "--no-color", *further]
    if request.command in ("migrate", "collectstatic", "createsuperuser", "flush"):
        argv.append("--noinput")
    for option, value in (
        ("--settings", request.settings),
        ("--pythonpath", request.pythonpath),
        ("--database", request.database),
        ("--fail-level", request.fail_level if request.command == "check" else ""),
        ("--verbosity", "" if request.verbosity is None else str(request.verbosity)),
    ):
        if value:
            argv += [option, value]
    for option, wanted in (
        ("--clear", request.clear),
        ("--link", request.link),
        ("--deploy", request.deploy),
        ("--skip-checks", request.skip_checks),
    ):
        if wanted:
            argv.append(option)
    for tag in request.tags:
        argv += ["--tag", tag]
    return (*argv, *request.fixtures, *request.apps, *request.extra_args)


def _alembic(request: Request, *words: str) -> tuple[str, ...]:
    return (request.python, "-m", "alembic", *request.extra_args, *words)


def _alembic_look(request: Request) -> list[Command]:
    behind = When("look", (255,), NOT_AT_HEAD)
    return [
        Command("look", _alembic(request, "current", "--check-heads"), ok=(0, 255), env=READ_ONLY),
        Command("current", _alembic(request, "current"), env=READ_ONLY, when=behind),
        Command("history", _alembic(request, "history", "-r", "current:heads"), env=READ_ONLY, when=behind),
    ]


# -- judging ---------------------------------------------------------------------------------------------------
def judge(request: Request, ran: dict[str, Ran]) -> Verdict | None:
    """What the steps meant, or ``None`` when one of them failed or did not run at all."""
    if request.command != "migrate":
        return _judge_command(request, ran.get("run"))
    pending = _alembic_pending(ran) if request.driver == "alembic" else _django_pending(ran)
    if pending is None:
        return None
    look = ran["look" if request.driver == "alembic" else "plan"]
    applied = ran.get("apply")
    if applied is None:
        return Verdict(bool(pending), pending, 0, look.stdout, look.stderr)
    if applied.rc != 0:
        return None
    return Verdict(True, pending, 0, applied.stdout, applied.stderr)


def _judge_command(request: Request, ran: Ran | None) -> Verdict | None:
    if ran is None:
        return None
    if request.command == "createsuperuser" and ran.rc == 1 and _USER_EXISTS.search(ran.stderr):
        return Verdict(False, [], 0, ran.stdout, ran.stderr)
    if ran.rc != 0:
        return None
    return Verdict(_changed(request, ran.stdout), [], 0, ran.stdout, ran.stderr)


def _changed(request: Request, stdout: str) -> bool:
    if request.changed_pattern:
        return bool(re.search(request.changed_pattern, stdout, re.MULTILINE))
    if request.command in _READING:
        return False
    pattern = _CHANGED.get(request.command)
    if pattern is None:
        return True  # nobody knows what it did
    found = re.finditer(pattern, stdout, re.MULTILINE)
    return any(not match.groups() or any(int(count or 0) for count in match.groups()) for match in found)


def _django_pending(ran: dict[str, Ran]) -> list[dict[str, Any]] | None:
    """``None`` when the look failed: ``migrate --check`` ends with 1 also when the database cannot be reached."""
    plan = ran.get("plan")
    if plan is None or PENDING not in plan.stdout:
        return None
    if plan.rc == 0:
        return []
    return parse_plan(plan.stdout) if plan.rc == 1 else None


def parse_plan(text: str) -> list[dict[str, Any]]:
    """``migrate --plan``: a migration a line, its operations indented below it."""
    pending: list[dict[str, Any]] = []
    lines = text.partition(PENDING)[2].splitlines()
    for line in lines:
        if line.strip() in ("", NOTHING_PENDING):
            continue
        if line[0].isspace():
            if pending:
                pending[-1]["operations"].append(line.strip())
        else:
            pending.append({"migration": line.strip(), "operations": []})
    return pending


def _alembic_pending(ran: dict[str, Ran]) -> list[dict[str, Any]] | None:
    look = ran.get("look")
    if look is None:
        return None
    if look.rc == 0:
        return []
    if NOT_AT_HEAD not in look.stdout + look.stderr or "history" not in ran or ran["history"].rc != 0:
        return None
    current = {line.split()[0] for line in ran["current"].stdout.splitlines() if line.strip()}
    return parse_history(ran["history"].stdout, current)


def parse_history(text: str, current: set[str]) -> list[dict[str, Any]]:
    """``alembic history -r current:heads``, oldest first, without the revisions the database is at."""
    found = [match for line in text.splitlines() if (match := _REVISION.match(line))]
    return [
        {"migration": match["new"], "operations": [match["title"]]}
        for match in reversed(found)
        if match["new"] not in current
    ]


def failed_step(commands_run: list[Command], ran: dict[str, Ran]) -> tuple[Command, Ran]:
    """The last step that ran: the one that failed, when something did."""
    for command in reversed(commands_run):
        if command.name in ran:
            return command, ran[command.name]
    return commands_run[0], Ran(-1, "", "")
