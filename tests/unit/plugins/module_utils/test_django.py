from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._django import (
    Request,
    check_request,
    commands,
    judge,
    parse_history,
    parse_plan,
    reading,
)
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._runner import Ran

PLAN = """Planned operations:
contenttypes.0001_initial
    Create model ContentType
    Alter unique_together for contenttype (1 constraint(s))
shop.0002_data
    Raw Python operation
    Raw SQL operation -> select 1"""
NOTHING = "Planned operations:\n  No planned migration operations."


def test_migrate_looks_read_only_and_changes_only_what_is_pending():
    look, apply = commands(Request("migrate", settings="config.production", database="default"))
    common = ("python", "manage.py", "migrate", "--no-color")
    options = ("--noinput", "--settings", "config.production", "--database", "default")
    assert look.argv == (*common, "--plan", "--check", *options)
    assert apply.argv == (*common, *options)
    assert look.env == {"PGOPTIONS": "-c default_transaction_read_only=on"}
    assert apply.env == {}
    assert (apply.when.step, apply.when.rc, apply.when.said) == ("plan", (1,), "Planned operations:")
    assert reading(Request("migrate", settings="config.production", database="default")) == [look]


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
            ["collectstatic", "--no-color", "--noinput", "--verbosity", "0", "--clear"],
        ),
        (Request("loaddata", fixtures=("a.json", "b")), ["loaddata", "--no-color", "a.json", "b"]),
        (
            Request("seed", extra_args=("--all",), pythonpath="/src"),
            ["seed", "--no-color", "--pythonpath", "/src", "--all"],
        ),
        (Request("migrate_data", fail_level="ERROR"), ["migrate_data", "--no-color"]),
    ],
)
def test_how_commands_are_called(request_, words):
    assert list(commands(request_)[0].argv) == ["python", "manage.py", *words]


def test_a_plan_is_read():
    assert parse_plan(PLAN) == [
        {
            "migration": "contenttypes.0001_initial",
            "operations": ["Create model ContentType", "Alter unique_together for contenttype (1 constraint(s))"],
        },
        {"migration": "shop.0002_data", "operations": ["Raw Python operation", "Raw SQL operation -> select 1"]},
    ]
    assert parse_plan(NOTHING) == []


def test_nothing_pending_is_no_change():
    verdict = judge(Request("migrate"), {"plan": Ran(0, NOTHING, "")})
    assert (verdict.changed, verdict.pending) == (False, [])


def test_pending_and_applied():
    ran = {"plan": Ran(1, PLAN, ""), "apply": Ran(0, "  Applying shop.0002_data... OK", "")}
    verdict = judge(Request("migrate"), ran)
    assert verdict.changed
    assert [one["migration"] for one in verdict.pending] == ["contenttypes.0001_initial", "shop.0002_data"]
    assert verdict.stdout == "  Applying shop.0002_data... OK"


@pytest.mark.parametrize(
    "ran",
    [
        {},
        {"plan": Ran(1, "", "django.db.utils.OperationalError: connection refused")},  # not pending: broken
        {"plan": Ran(-1, PLAN, "")},
        {"plan": Ran(1, PLAN, ""), "apply": Ran(1, "", "IntegrityError")},
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


HISTORY = """0a74db78eb79 -> 347626bb1301 (head), three
6c6188f61934 -> 0a74db78eb79 (current), two
<base> -> 6c6188f61934, one, with a comma"""


def test_alembic_gives_the_same_shape():
    ran = {
        "look": Ran(255, "", "FAILED: Database is not on all head revisions"),
        "current": Ran(0, "0a74db78eb79", ""),
        "history": Ran(0, HISTORY.rpartition("\n")[0], ""),
        "apply": Ran(0, "", "INFO Running upgrade"),
    }
    request = Request("migrate", driver="alembic")
    verdict = judge(request, ran)
    assert verdict.changed
    assert verdict.pending == [{"migration": "347626bb1301", "operations": ["three"]}]
    assert [command.argv[2:] for command in commands(request)] == [
        ("alembic", "current", "--check-heads"),
        ("alembic", "current"),
        ("alembic", "history", "-r", "current:heads"),
        ("alembic", "upgrade", "heads"),
    ]
    assert judge(request, {"look": Ran(0, "0a74db78eb79 (head)", "")}).changed is False
    assert judge(request, {"look": Ran(255, "", "FAILED: connection refused")}) is None


def test_a_history_is_oldest_first():
    assert [one["migration"] for one in parse_history(HISTORY, set())] == [
        "6c6188f61934",
        "0a74db78eb79",
        "347626bb1301",
    ]
    assert parse_history(HISTORY, set())[0]["operations"] == ["one, with a comma"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("seed --all"), "command 'seed --all' is not the name of a management command."),
        (Request("loaddata"), "loaddata has nothing to load."),
        (Request("check", driver="alembic"), "Alembic knows no command 'check'."),
        (Request("seed", changed_pattern="("), "changed_pattern is no regular expression: missing )"),
    ],
)
def test_requests_without_a_meaning(request_, message):
    with pytest.raises(StackError) as caught:
        check_request(request_)
    assert caught.value.message.startswith(message)
