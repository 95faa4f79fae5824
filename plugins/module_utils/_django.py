# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Management commands of Django and migrations of Alembic: how they are called and what their words mean.

Pure functions. What looks at migrations runs in the application's container: ``_pod_django``, ``_pod_alembic``.
Private to this collection.
"""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils import (
    _pod_alembic,
    _pod_django,
    _pod_migrations,
    _pod_revision,
    _pod_rows,
    _pod_user,
)
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._pod_migrations import MARK
from ansible_collections.railiance.stack.plugins.module_utils._runner import Command, Ran, When

#: Read-only for PostgreSQL from the first moment on: libpq takes it from the environment. The look makes sure of it.
_READ_ONLY = "-c default_transaction_read_only=on"
#: A statement ends when its client is gone, killed with its pod for example. PostgreSQL itself would not notice.
_NO_ORPHANS = "-c client_connection_check_interval=2000"

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
    "loaddata": r"^Installed (\d+) object",  # where the rows cannot be counted
    "createcachetable": r"^Cache table '.*' created\.$",
    "createsuperuser": r"^Superuser created successfully\.$",
}
#: Commands that say nothing of what they changed, or too much: their rows are counted.
_COUNTED = frozenset({"loaddata", "clearsessions"})
_USER_EXISTS = re.compile(r"Error: That .+ is already taken\.")


@dataclass(frozen=True)
class Target:
    """A migration to go to: ``zero`` is before the first, nothing the newest. Alembic knows no applications."""

    app: str = ""
    migration: str = ""


@dataclass(frozen=True)
class Seed:
    """What the people who wrote a seed declare of it."""

    idempotent: bool = False
    production_safe: bool = False


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
    cache_table: str = ""
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
    targets: tuple[Target, ...] = ()
    plan: bool = False
    seed: Seed | None = None


@dataclass(frozen=True)
class Migrations:
    """What the look told.

    :param verdict: what may follow: ``nothing``, ``forward``, ``backward``, ``impossible``.
    :param pending: what was pending before, in the order in which it runs.
    :param applied: what the database records, at the end; ``None`` when the end was not seen.
    :param unknown: what it records and this image does not know.
    :param way_back: targets for an image that does know them, to come to what this one knows.
    :param settings: what decides how Django answers the world; ``None`` with Alembic.
    """

    verdict: str
    pending: list[dict[str, Any]]
    applied: list[str] | None
    unknown: list[str] | None
    way_back: list[dict[str, str]] | None
    settings: dict[str, Any] | None = None

    def result(self) -> dict[str, Any]:
        return {
            "pending": self.pending,
            "reversible": all(one["reversible"] for one in self.pending),
            "destructive": any(one["destructive"] for one in self.pending),
            "compatible": all(one["compatible"] for one in self.pending),
            "applied": self.applied,
            "unknown": self.unknown,
            "way_back": self.way_back,
        }


#: The same while nothing can be read yet.
NOT_KNOWN: dict[str, Any] = dict.fromkeys(
    ("pending", "reversible", "destructive", "compatible", "applied", "unknown", "way_back")
)


@dataclass(frozen=True)
class Verdict:
    """What a run meant.

    :param rc: exit code of the command itself.
    :param rows: by table, what was inserted, updated and deleted, where that was counted.
    :param logins: names of the logins that a seed made.
    """

    changed: bool
    migrations: Migrations | None = None
    rc: int = 0
    stdout: str = ""
    stderr: str = ""
    rows: dict[str, dict[str, int]] | None = None
    logins: list[str] | None = None


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
    if request.cache_table and request.command != "createcachetable":
        raise StackError(f"{request.command} makes no table of a cache.", "Remove cache_table.")
    if request.seed and (request.command == "migrate" or request.command in _READING):
        raise StackError(f"{request.command} is no seed.", "Remove seed.")
    if request.seed and not (request.seed.idempotent and request.seed.production_safe):
        raise NeedsOperator(
            f"{request.command} is not declared idempotent and safe in production.",
            "Declare seed: {idempotent: true, production_safe: true} when both hold; it is not run otherwise.",
        )
    if request.command != "migrate" and (request.targets or request.plan):
        raise StackError("targets and plan go with command: migrate only.", "Remove them.")
    if request.command == "migrate":
        _check_migrate(request)
    try:
        re.compile(request.changed_pattern)
    except re.error as error:
        raise StackError(f"changed_pattern is no regular expression: {error}.", "Correct it.") from error


def _check_migrate(request: Request) -> None:
    if request.targets and request.apps:
        raise StackError("apps and targets both say where migrate goes.", "Give one of them.")
    if request.driver == "alembic":
        if len(request.targets) > 1:
            raise StackError("Alembic goes to one revision at a time.", "Give one target.")
        return
    for target in request.targets:
        if not target.app:
            raise StackError("A target of Django names an app.", "Give app and migration.")
    for word in request.extra_args:
        if not word.startswith("-"):
            raise StackError(f"extra_args of migrate holds '{word}', which is no option.", "Use targets or apps.")


def changes_nothing(request: Request) -> bool:
    return request.command in _READING or request.plan


def reading(request: Request, application: str = "") -> list[Command]:
    """What may run in check mode, read-only: the look at what is pending, or at whether a user exists."""
    if request.command == "migrate":
        return [_look(request, application, stay=False)]
    # Arguments may name another user.
    if request.command == "createsuperuser" and not request.extra_args:
        script = _script({"database": request.database}, _pod_user)
        env = {**_named(application), "PGOPTIONS": _READ_ONLY}
        return [Command("run", _in_shell(request, script), env=env, shown=_manage(request))]
    return []


def commands(request: Request, application: str = "") -> list[Command]:
    """What runs: for migrations the look first, and the change only when something is pending.

    :param application: name of the sessions in PostgreSQL, by which those that hang are found.
    """
    if request.command != "migrate":
        if request.seed or request.command in _COUNTED:
            return [_counted(request, application)]
        ok = (0, 1) if request.command == "createsuperuser" else (0,)
        return [Command("run", _manage(request), ok=ok, env=_named(application))]
    return [_look(request, application, stay=True), *_changes(request, application)]


def _counted(request: Request, application: str) -> Command:
    line = _manage(request)
    script = _script(
        {
            "command": request.command,
            "arguments": list(line[3:]),
            "database": request.database,
            "seed": request.seed is not None,
        },
        _pod_rows,
    )
    return Command("run", _in_shell(request, script), env=_named(application), shown=line)


def _changes(request: Request, application: str) -> list[Command]:
    env = {**_named(application), "PGOPTIONS": _NO_ORPHANS}
    if request.driver == "alembic":
        target = request.targets[0].migration if request.targets else ""
        up, down = target or "heads", "base" if target == "zero" else target
        forward, backward = (When("look", (0,), f'"verdict": "{way}"') for way in ("forward", "backward"))
        return [
            Command("apply", _alembic(request, "upgrade", up), env=env, when=forward),
            Command("undo", _alembic(request, "downgrade", down), env=env, when=backward),
        ]
    return [
        Command(f"apply{number or ''}", _manage(request, *words), env=env, when=When("look", (0,), '"go": true'))
        for number, words in enumerate(_destinations(request))
    ]


def _destinations(request: Request) -> list[tuple[str, ...]]:
    """The arguments of ``migrate``, one call for each."""
    targets = _targets(request)
    return [tuple(filter(None, (one.app, one.migration))) for one in targets] if targets else [()]


def _targets(request: Request) -> tuple[Target, ...]:
    return request.targets or tuple(Target(app) for app in request.apps)


def _named(application: str) -> dict[str, str]:
    return {"PGAPPNAME": application} if application else {}


def _look(request: Request, application: str, stay: bool) -> Command:
    """:param stay: whether a change follows: it holds the lock then, until it is told to end."""
    asked: dict[str, Any] = {
        "targets": [{"app": one.app, "migration": one.migration} for one in _targets(request)],
        "application": application,
        "stay": stay,
    }
    env = {**_named(f"{application[:58]}-look" if application else ""), "PGOPTIONS": _READ_ONLY}
    companion = MARK + '{"kind": "before"' if stay else ""
    if request.driver == "alembic":
        script = _script({**asked, "arguments": list(request.extra_args)}, _pod_revision, _pod_alembic)
        return Command(
            "look",
            (request.python, "-c", script),
            env=env,
            companion=companion,
            shown=_alembic(request, "current", "--verbose"),
        )
    script = _script({**asked, "database": request.database}, _pod_django)
    return Command(
        "look",
        _in_shell(request, script),
        env=env,
        companion=companion,
        shown=(request.python, request.manage, "migrate", "--plan"),
    )


def _in_shell(request: Request, script: str) -> tuple[str, ...]:
    argv = [request.python, request.manage, "shell", "--no-color", "--verbosity", "0"]
    for option, value in (("--settings", request.settings), ("--pythonpath", request.pythonpath)):
        if value:
            argv += [option, value]
    return (*argv, "--command", script)


def _script(asked: dict[str, Any], *modules: Any) -> str:
    """Modules of this collection and a call of the last one, as one text: the container has no Ansible."""
    sources = {one.__name__: inspect.getsource(one) for one in (_pod_migrations, *modules)}
    return (
        "import json, sys, types\n"
        f"for name, source in json.loads({json.dumps(sources)!r}).items():\n"
        "    sys.modules[name] = types.ModuleType(name)\n"
        "    exec(compile(source, name, 'exec'), sys.modules[name].__dict__)\n"
        f"sys.modules[{modules[-1].__name__!r}].main(json.loads({json.dumps(asked)!r}))\n"
    )


def _manage(request: Request, *arguments: str) -> tuple[str, ...]:
    """``python manage.py <command> <options> <arguments>``."""
    argv = [request.python, request.manage, request.command, "--no-color"]
    if request.command in ("migrate", "collectstatic", "createsuperuser", "flush"):
        argv.append("--noinput")
    for option, value in (
        ("--settings", request.settings),
        ("--pythonpath", request.pythonpath),
        ("--database", request.database),
        ("--fail-level", request.fail_level if request.command == "check" else ""),
        ("--verbosity", _verbosity(request)),
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
    apps = () if request.command == "migrate" else request.apps
    named = (request.cache_table,) if request.cache_table else request.fixtures
    return (*argv, *arguments, *named, *apps, *request.extra_args)


def _verbosity(request: Request) -> str:
    """What decides about a change is what a command says: it must not be silent. One of them is, by default."""
    least = {"createcachetable": 2}.get(request.command, 1 if request.command in _CHANGED else 0)
    verbosity = max(least, 1 if request.verbosity is None else request.verbosity)
    return "" if verbosity == 1 and request.verbosity is None else str(verbosity)


def _alembic(request: Request, *words: str) -> tuple[str, ...]:
    return (request.python, "-m", "alembic", *request.extra_args, *words)


# -- judging ---------------------------------------------------------------------------------------------------
def judge(request: Request, ran: dict[str, Ran]) -> Verdict | None:
    """What the steps meant, or ``None`` when one of them failed or did not run at all."""
    if request.command != "migrate":
        return _judge_command(request, ran.get("run"))
    look, migrations = ran.get("look"), look_result(ran)
    if look is None or migrations is None:
        return None
    changes = [one for name, one in ran.items() if name != "look"]
    if any(one.rc != 0 for one in changes):
        return None
    if not changes:
        if look.rc != 0:
            return None
        return Verdict(bool(migrations.pending), migrations, 0, without_marks(look.stdout), look.stderr)
    stdout = "\n".join(one.stdout for one in changes if one.stdout)
    return Verdict(True, migrations, 0, stdout, "\n".join(one.stderr for one in changes if one.stderr))


def told(ran: Ran | None) -> dict[str, dict[str, Any]]:
    """What a step said to the module, the last of each kind."""
    found: dict[str, dict[str, Any]] = {}
    for line in ran.stdout.splitlines() if ran else []:
        if line.startswith(MARK):
            answer = json.loads(line.removeprefix(MARK))
            found[answer["kind"]] = answer
    return found


def look_result(ran: dict[str, Ran]) -> Migrations | None:
    """``None`` when the look did not come to a plan."""
    said = told(ran.get("look"))
    before = said.get("before")
    if before is None:
        return None
    after = said.get("after", {} if len(ran) > 1 else before)
    return Migrations(
        before["verdict"],
        before["pending"],
        after.get("applied"),
        after.get("unknown"),
        after.get("way_back"),
        before.get("settings"),
    )


def without_marks(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith(MARK))


def _judge_command(request: Request, ran: Ran | None) -> Verdict | None:
    if ran is None:
        return None
    if request.command == "createsuperuser" and ran.rc == 1 and _USER_EXISTS.search(ran.stderr):
        return Verdict(False, None, 0, ran.stdout, ran.stderr)
    if ran.rc != 0:
        return None
    said = without_marks(ran.stdout)
    if user := told(ran).get("user"):
        return Verdict(not user["exists"], None, 0, said, ran.stderr)
    rows = told(ran).get("rows", {})
    counted = None if request.changed_pattern else rows.get("changed")
    changed = _changed(request, said) if counted is None else bool(counted)
    return Verdict(changed, None, 0, said, ran.stderr, rows.get("rows"), rows.get("logins"))


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


def failed_step(commands_run: list[Command], ran: dict[str, Ran]) -> tuple[Command, Ran]:
    """The step that failed; the last one that ran when none did."""
    there = [(command, ran[command.name]) for command in commands_run if command.name in ran]
    for command, outcome in reversed(there):
        if outcome.rc not in command.ok:
            return command, outcome
    return there[-1] if there else (commands_run[0], Ran(-1, "", ""))
