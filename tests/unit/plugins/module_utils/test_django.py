from __future__ import annotations

import json

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._django import (
    Request,
    Target,
    check_request,
    commands,
    judge,
    reading,
)
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._runner import Ran

BEFORE = {
    "kind": "before",
    "verdict": "forward",
    "go": True,
    "pending": [
        {
            "migration": "shop.0002_data",
            "direction": "forward",
            "reversible": True,
            "destructive": False,
            "compatible": True,
        }
    ],
    "applied": ["shop.0001_initial"],
    "unknown": [],
    "way_back": [],
}
NOTHING = {**BEFORE, "verdict": "nothing", "go": False, "pending": []}
AFTER = {"kind": "after", "applied": ["shop.0001_initial", "shop.0002_data"], "unknown": [], "way_back": []}


def look(*answers, rc=0):
    return Ran(rc, "\n".join(["hello", *(f"railiance {json.dumps(one)}" for one in answers)]), "")


def test_migrate_looks_read_only_and_changes_only_what_is_pending():
    looking, apply = commands(Request("migrate", settings="config.production", database="default"), "shop-manage")
    assert looking.argv[:5] == ("python", "manage.py", "shell", "--no-color", "--verbosity")
    assert looking.line == ["python", "manage.py", "migrate", "--plan"]
    assert looking.env == {"PGAPPNAME": "shop-manage-look", "PGOPTIONS": "-c default_transaction_read_only=on"}
    options = ("--noinput", "--settings", "config.production", "--database", "default")
    assert apply.argv == ("python", "manage.py", "migrate", "--no-color", *options)
    assert apply.env == {"PGAPPNAME": "shop-manage", "PGOPTIONS": "-c client_connection_check_interval=2000"}
    assert (apply.when.step, apply.when.rc, apply.when.said) == ("look", (0,), '"go": true')
    assert looking.companion
    [foretold] = reading(Request("migrate", settings="config.production", database="default"), "shop-manage")
    assert foretold.companion == ""


def test_every_target_is_a_call_of_its_own():
    request = Request("migrate", targets=(Target("shop", "0001"), Target("blog", "zero"), Target("auth")))
    changes = commands(request)[1:]
    assert [one.name for one in changes] == ["apply", "apply1", "apply2"]
    assert [one.argv[5:] for one in changes] == [("shop", "0001"), ("blog", "zero"), ("auth",)]
    assert [one.argv[5:] for one in commands(Request("migrate", apps=("shop", "auth")))[1:]] == [("shop",), ("auth",)]


def test_only_migrations_are_read_in_check_mode():
    assert reading(Request("collectstatic")) == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (
            Request("check", deploy=True, fail_level="WARNING", tags=("security",)),
            ["check", "--no-color", "--fail-level", "WARNING", "--deploy", "--tag", "security"],
        ),
        (
            Request("collectstatic", clear=True, verbosity=0),
            ["collectstatic", "--no-color", "--noinput", "--verbosity", "1", "--clear"],
        ),
        (Request("loaddata", fixtures=("a.json", "b")), ["loaddata", "--no-color", "a.json", "b"]),
        (Request("createcachetable"), ["createcachetable", "--no-color", "--verbosity", "2"]),
        (
            Request("createcachetable", cache_table="pages"),
            ["createcachetable", "--no-color", "--verbosity", "2", "pages"],
        ),
        (
            Request("seed", extra_args=("--all",), pythonpath="/src"),
            ["seed", "--no-color", "--pythonpath", "/src", "--all"],
        ),
        (Request("migrate_data", fail_level="ERROR"), ["migrate_data", "--no-color"]),
    ],
)
def test_how_commands_are_called(request_, words):
    assert commands(request_)[0].line == ["python", "manage.py", *words]


def test_nothing_pending_is_no_change():
    verdict = judge(Request("migrate"), {"look": look(NOTHING)})
    assert (verdict.changed, verdict.migrations.pending, verdict.stdout) == (False, [], "hello")
    assert verdict.migrations.applied == ["shop.0001_initial"]


def test_pending_and_applied():
    ran = {"look": look(BEFORE, AFTER), "apply": Ran(0, "  Applying shop.0002_data... OK", "")}
    verdict = judge(Request("migrate"), ran)
    assert verdict.changed
    assert [one["migration"] for one in verdict.migrations.pending] == ["shop.0002_data"]
    assert verdict.migrations.applied == ["shop.0001_initial", "shop.0002_data"]
    assert verdict.stdout == "  Applying shop.0002_data... OK"


def test_an_end_that_was_not_seen_is_not_made_up():
    ran = {"look": look(BEFORE, rc=1), "apply": Ran(0, "", "")}
    verdict = judge(Request("migrate"), ran)
    assert (verdict.changed, verdict.migrations.applied) == (True, None)


@pytest.mark.parametrize(
    "ran",
    [
        {},
        {"look": Ran(1, "", "django.db.utils.OperationalError: connection refused")},  # not pending: broken
        {"look": look(BEFORE, rc=-1)},
        {"look": look(BEFORE, AFTER), "apply": Ran(1, "", "IntegrityError")},
    ],
)
def test_a_failure_is_not_taken_for_a_plan(ran):
    assert judge(Request("migrate"), ran) is None


@pytest.mark.parametrize(
    ("command", "stdout", "changed"),
    [
        ("collectstatic", "\n127 static files copied to '/app/static'.", True),
        ("collectstatic", "\n0 static files copied to '/app/static', 127 unmodified.", False),
        ("collectstatic", "\n1 static file symlinked to '/app/static', 0 unmodified.", True),
        ("collectstatic", "\n0 static files copied to '/app/static', 127 unmodified, 3 post-processed.", True),
        ("collectstatic", "\n0 static files copied to '/app/static', 127 unmodified, 0 post-processed.", False),
        ("loaddata", "Installed 1 object(s) from 1 fixture(s)", True),
        ("loaddata", "Installed 0 object(s) from 1 fixture(s)", False),
        ("createcachetable", "Cache table 'cache' created.", True),
        ("createcachetable", "Cache table 'cache' already exists.", False),
        ("createsuperuser", "Superuser created successfully.", True),
        ("check", "System check identified no issues (0 silenced).", False),
        ("showmigrations", "shop\n [ ] 0001_initial", False),
        ("seed", "", True),
        ("clearsessions", "", True),
    ],
)
def test_changed_is_honest(command, stdout, changed):
    assert judge(Request(command), {"run": Ran(0, stdout, "")}).changed is changed


def test_an_unknown_command_can_be_told_by_its_words():
    request = Request("seed", changed_pattern=r"^created [1-9]")
    assert judge(request, {"run": Ran(0, "hello\ncreated 3", "")}).changed is True
    assert judge(request, {"run": Ran(0, "hello\ncreated 0", "")}).changed is False


def test_a_user_who_exists_is_no_change_and_no_failure():
    request = Request("createsuperuser")
    assert commands(request)[0].ok == (0, 1)
    ran = {"run": Ran(1, "", "CommandError: Error: That username is already taken.")}
    verdict = judge(request, ran)
    assert (verdict.changed, verdict.rc) == (False, 0)
    assert judge(request, {"run": Ran(1, "", "CommandError: Enter a valid email address.")}) is None


def test_alembic_goes_the_way_that_the_look_found():
    request = Request("migrate", driver="alembic", extra_args=("-c", "db.ini"), targets=(Target("", "0a7"),))
    looking, up, down = commands(request)
    assert looking.line == ["python", "-m", "alembic", "-c", "db.ini", "current", "--verbose"]
    assert up.argv[2:] == ("alembic", "-c", "db.ini", "upgrade", "0a7")
    assert down.argv[2:] == ("alembic", "-c", "db.ini", "downgrade", "0a7")
    assert (up.when.said, down.when.said) == ('"verdict": "forward"', '"verdict": "backward"')
    assert commands(Request("migrate", driver="alembic"))[1].argv[-2:] == ("upgrade", "heads")
    zero = commands(Request("migrate", driver="alembic", targets=(Target("", "zero"),)))[2]
    assert zero.argv[-2:] == ("downgrade", "base")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("seed --all"), "command 'seed --all' is not the name of a management command."),
        (Request("loaddata"), "loaddata has nothing to load."),
        (Request("migrate", cache_table="pages"), "migrate makes no table of a cache."),
        (Request("seed", plan=True), "targets and plan go with command: migrate only."),
        (Request("migrate", apps=("a",), targets=(Target("a"),)), "apps and targets both say where migrate goes."),
        (Request("migrate", targets=(Target("", "0001"),)), "A target of Django names an app."),
        (Request("migrate", extra_args=("shop",)), "extra_args of migrate holds 'shop', which is no option."),
        (Request("migrate", driver="alembic", targets=(Target(), Target())), "Alembic goes to one revision at a time."),
        (Request("check", driver="alembic"), "Alembic knows no command 'check'."),
        (Request("seed", changed_pattern="("), "changed_pattern is no regular expression: missing )"),
    ],
)
def test_requests_without_a_meaning(request_, message):
    with pytest.raises(StackError) as caught:
        check_request(request_)
    assert caught.value.message.startswith(message)
