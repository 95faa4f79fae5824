"""django_manage against a real database, with images that differ in their migrations."""

from __future__ import annotations

import secrets

import pytest
from series import APP, applied, set_up, tear_down, told

ROWS = """
insert into shop_customer (name, email) select 'n' || i, 'e' || i || '@x' from generate_series(1, 20) i;
insert into shop_item (name, price, customer_id) select 'i' || i, i, 1 + i % 20 from generate_series(1, 500) i;
insert into shop_draft (text) select 't' || i from generate_series(1, 7) i
"""


@pytest.fixture(scope="module")
def series(task, node, kubectl):
    prepared = set_up(task, node, kubectl, "initial", "data")
    yield prepared
    tear_down(prepared)


def test_migrations_are_foretold_done_and_repeated(series):
    foretold = series.manage("initial", check=True)
    planned = series.manage("initial", plan=True)
    done = series.manage("initial")
    again = series.manage("initial")
    assert [one["changed"] for one in (foretold, planned, done, again)] == [True, False, True, False]
    assert foretold["pending"] == planned["pending"] == done["pending"], (foretold["plan"], planned["plan"])
    assert (done["destructive"], foretold["applied"]) == (False, [])  # an empty database has nothing to lose
    assert applied(done) == applied(again) == ["shop.0001_initial"]
    assert series.jobs() == []


def test_an_addition_and_its_data_are_taken_back_to_the_same_rows(series):
    series.sql(ROWS)
    before = series.checksums()
    done = series.manage("data")
    assert told(done) == [
        ("shop.0002_additive", "forward", True, False, True),
        ("shop.0003_data", "forward", True, False, True),
    ]
    assert series.checksums() != before
    old = series.manage("initial", plan=True)
    assert old["unknown"] == ["shop.0002_additive", "shop.0003_data"]
    back = series.manage("data", targets=old["way_back"])
    assert told(back) == [
        ("shop.0003_data", "backward", True, False, True),
        ("shop.0002_additive", "backward", True, True, False),
    ]
    assert (applied(back), series.checksums()) == (["shop.0001_initial"], before)


def test_a_superuser_is_made_once_and_the_password_is_seen_nowhere(series, kubectl):
    password = secrets.token_urlsafe(16)
    made = series.task("kube_secret", name="admin", namespace=APP, secret_data={"password": password})
    assert not made.get("failed")
    arguments = {"username": "root", "email": "root@example.org", "password_secret": {"name": "admin"}}
    to_come, first, there, again = (
        series.manage("initial", "createsuperuser", check=check, **arguments) for check in (True, False, True, False)
    )
    assert [one["changed"] for one in (to_come, first, there, again)] == [True, True, False, False]
    assert series.sql("select username, is_superuser from auth_user") == "root|t"
    events = kubectl(f"get events -n {APP} -o yaml")
    assert password not in repr([to_come, first, there, again]) + events
    without = series.manage("initial", "createsuperuser", username="x", password_secret={"name": "admin", "key": "no"})
    assert "a user without a password cannot log in" in without["msg"]


def test_commands_say_whether_they_changed_something(series):
    load = {"fixtures": ["customers"]}
    assert [series.manage("initial", "loaddata", **load)["changed"] for turn in range(2)] == [True, False]
    assert [series.manage("initial", "createcachetable")["changed"] for turn in range(2)] == [True, False]
    series.sql("insert into django_session values ('a', 'b', now() - interval '1 day')")
    stored = {"environment": {"SESSION_ENGINE": "django.contrib.sessions.backends.db"}}
    assert [series.manage("initial", "clearsessions", **stored)["changed"] for turn in range(2)] == [True, False]
    assert series.sql("select count(*) from django_session") == "0"
    assert series.manage("initial", "check")["changed"] is False
    warned = series.manage("initial", "check", deploy=True, fail_level="WARNING")
    assert "security.W" in warned["msg"] + warned["stderr"]


def test_seeds_are_proven_before_they_are_kept(series):
    declared = {"idempotent": True, "production_safe": True}
    assert [series.manage("initial", "seed_customers", seed=declared)["changed"] for turn in range(2)] == [True, False]
    before = series.checksums()
    again = series.manage("initial", "seed_again", seed=declared)
    assert "seed_again is not idempotent: run again, it changes public.shop_customer." in again["msg"]
    login = series.manage("initial", "seed_login", seed=declared)
    assert "seed_login makes the login 'demo' with a password that stands in its source." in login["msg"]
    assert "is not declared" in series.manage("initial", "seed_login", seed={"idempotent": True})["msg"]
    assert series.checksums() == before
    assert series.sql("select count(*) from auth_user where username = 'demo'") == "0"


def test_alembic_says_and_does_the_same(series):
    arguments = {"driver": "alembic", "project_path": "/app/ledger"}
    foretold = series.manage("data", check=True, **arguments)
    done = series.manage("data", **arguments)
    again = series.manage("data", **arguments)
    assert [one["changed"] for one in (foretold, done, again)] == [True, True, False], (foretold, done, again)
    assert [one["migration"] for one in foretold["pending"]] == ["a1", "a2"]
    old = series.manage("initial", plan=True, **arguments)
    assert (old["unknown"], old["way_back"]) == (["a2"], [{"app": "", "migration": "a1"}])
    back = series.manage("data", targets=old["way_back"], **arguments)
    assert (back["destructive"], back["applied"]) == (True, ["a1"])
