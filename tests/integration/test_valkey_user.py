"""A user in the real Valkey: what it may, what it may not, and that it outlives a restart."""

from __future__ import annotations

import base64

import pytest

APP = "it-valkey"
VALKEY = "-n platform exec -i valkey-0 -- valkey-cli"


@pytest.fixture(autouse=True, scope="module")
def _namespace(kubectl, task):
    kubectl(f"create namespace {APP}")
    yield
    task("valkey_user", app=APP, state="absent")
    kubectl(f"delete namespace {APP}")


@pytest.fixture(scope="module")
def as_user(kubectl, node):
    """Commands on standard input, as the user, in the database that its address names."""

    def ask(*commands):
        secret = kubectl(f"-n {APP} get secret {APP}-valkey -o json")["data"]
        password = base64.b64decode(secret["password"]).decode()
        typed = [f"AUTH {APP} {password}", "SELECT 3", *commands, "QUIT"]
        return node(f"sudo k3s kubectl {VALKEY}", stdin="\n".join([*typed, ""]).encode()).splitlines()[2:]

    return ask


def test_foretold_done_repeated(task):
    foretold = task("valkey_user", app=APP, check=True)
    done = task("valkey_user", app=APP)
    again = task("valkey_user", app=APP)
    assert [foretold["changed"], done["changed"], again["changed"]] == [True, True, False], (foretold, done, again)
    assert foretold["plan"] == done["plan"]


def test_it_may_use_its_keys_and_nothing_else(as_user):
    assert as_user(f"SET {APP}:a 1 EX 60", f"GET {APP}:a")[:2] == ["OK", "1"]
    refused = (
        "GET other:a", "SET other:a 1", "SELECT 1", "SCAN 0", "KEYS *", "FLUSHDB", "CONFIG GET *", "ACL LIST",
        "PUBLISH other:news x", "EVAL \"return redis.call('GET', 'other:a')\" 0",
    )  # fmt: skip
    # An empty line follows each refusal.
    answers = [line for line in as_user(*refused) if line]
    assert len(answers) == len(refused)
    assert [line for line in answers if not line.startswith(("NOPERM", "ERR ACL failure"))] == []


def test_it_outlives_a_restart(kubectl, as_user):
    before = kubectl("-n platform get pod valkey-0 -o json")["metadata"]["uid"]
    kubectl("-n platform delete pod valkey-0")
    kubectl("-n platform rollout status statefulset valkey --timeout=120s")
    assert kubectl("-n platform get pod valkey-0 -o json")["metadata"]["uid"] != before
    assert as_user(f"SET {APP}:b 1 EX 60")[0] == "OK"


def test_what_was_changed_by_hand_is_set_back(task, kubectl):
    admin = "REDISCLI_AUTH=$(cat /run/secrets/valkey/password) valkey-cli --no-auth-warning"
    kubectl(f"-n platform exec valkey-0 -- sh -c '{admin} ACL SETUSER {APP} ~\\*'")
    mended = task("valkey_user", app=APP)
    assert [step["target"] for step in mended["plan"]] == [f"user {APP} of Valkey platform/valkey"]
    assert task("valkey_user", app=APP)["changed"] is False


def test_its_keys_go_only_when_told_so(task, kubectl, as_user):
    as_user(*(f"SET {APP}:{number} 1" for number in range(1200)), "SELECT 0", f"SET {APP}:elsewhere 1")
    admin = "REDISCLI_AUTH=$(cat /run/secrets/valkey/password) valkey-cli --no-auth-warning"

    def count():
        found = kubectl(f"-n platform exec valkey-0 -- sh -c '{admin} -n 3 --scan --pattern {APP}:\\*'")
        return len(found.split())

    assert task("valkey_user", app=APP, state="absent")["changed"] is True
    assert count() >= 1200
    foretold = task("valkey_user", app=APP, state="absent", drop_data=True, check=True)
    done = task("valkey_user", app=APP, state="absent", drop_data=True)
    assert foretold["plan"] == done["plan"] != []
    assert count() == 0
    assert task("valkey_user", app=APP, state="absent", drop_data=True)["changed"] is False
