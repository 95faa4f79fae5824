"""What goes wrong with migrations: no way back, failing half-way, hanging, two at once, killed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from series import APP, applied, set_up, tear_down, told
from server import INVENTORY, ROOT, play, until

ROWS = """
insert into shop_customer (name, email) select 'n' || i, 'e' || i || '@x' from generate_series(1, 20) i;
insert into shop_item (name, price, customer_id) select 'i' || i, i, 1 + i % 20 from generate_series(1, 500) i;
insert into shop_draft (text) select 't' || i from generate_series(1, 7) i
"""
THREE = ["shop.0001_initial", "shop.0002_additive", "shop.0003_data"]


@pytest.fixture(scope="module")
def prepared(task, node, kubectl):
    series = set_up(task, node, kubectl, "initial", "data", "irreversible", "destructive", "half", "hanging")
    yield series
    tear_down(series)


@pytest.fixture
def series(prepared):
    """The database after 0003, with rows."""
    prepared.empty()
    assert prepared.manage("data")["changed"]
    prepared.sql(ROWS)
    return prepared


def test_what_has_no_way_back_is_foretold_done_and_not_begun_backwards(series):
    before = series.checksums()
    done = series.manage("irreversible")
    assert told(done) == [("shop.0004_irreversible", "forward", False, True, True)]
    after = series.checksums()
    assert {table for table in after if after[table] != before[table]} == {"shop_customer"}
    back = series.manage("irreversible", targets=[{"app": "shop", "migration": "0003"}])
    assert "There is no way back: shop.0004_irreversible (Undo: Raw Python operation) cannot be reversed" in back["msg"]
    assert (series.checksums(), applied(back)) == (after, [*THREE, "shop.0004_irreversible"])
    print("irreversible:", json.dumps({"before": before, "after": after}))


def test_what_destroys_comes_back_without_its_rows(series):
    before = series.checksums()
    done = series.manage("destructive")
    assert told(done) == [("shop.0005_destructive", "forward", True, True, False)]
    after = series.checksums()
    assert "shop_draft" not in after
    assert after["shop_customer"] == before["shop_customer"]
    back = series.manage("destructive", targets=[{"app": "shop", "migration": "0003"}])
    assert told(back) == [("shop.0005_destructive", "backward", True, False, True)]
    restored = series.checksums()
    assert restored["shop_draft"] == "0 0"
    assert restored["shop_item"].split()[0] == "500"
    print("destructive:", json.dumps({"before": before, "after": after, "taken back": restored}))


def test_a_failure_half_way_leaves_nothing_of_its_migration(series):
    before = series.checksums()
    failed = series.manage("half")
    assert "cannot be counted" in failed["msg"]
    assert told(failed) == [("shop.0006_half", "forward", True, False, True)]
    assert (applied(failed), series.checksums(), series.jobs()) == (THREE, before, [])
    print("half:", json.dumps({"before": before, "after": series.checksums()}))


def test_one_that_hangs_is_ended_in_postgresql_as_well(series):
    before = series.checksums()
    began = time.monotonic()
    hung = series.manage("hanging", timeout=15)
    took = time.monotonic() - began
    assert "did not end within 15 s" in hung["msg"]
    assert "Its session in PostgreSQL was ended: select pg_sleep(3600)" in hung["msg"]
    assert (series.sessions(), applied(hung), series.jobs()) == ([], THREE, [])
    assert series.checksums() == before
    print(f"hanging: 15 s allowed, {took:.1f} s in all")


def test_two_releases_at_once_follow_one_another(series):
    series.empty()
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda image: series.manage(image, timeout=120), ("initial", "data")))
    assert not any(one.get("failed") for one in results), results
    assert series.manage("data", plan=True)["pending"] == []
    assert series.jobs() == []


class Owner:
    """A run of the module that can be killed: the controller by its process group, the module by a mark."""

    def __init__(self, series, folder, image, **options):
        self._node = series.node
        self._mark = f"RUN_MARK={uuid.uuid4().hex}"
        arguments = {"command": "migrate", "app": APP, "pod_template": series.template(), **options}
        arguments["image"] = series.references[image]
        migrate = {"name": "migrate", "railiance.stack.django_manage": arguments}
        file = folder / "play.yml"
        file.write_text(json.dumps([play(migrate, environment=dict([self._mark.split("=")]))]))
        self._process = subprocess.Popen(
            ["ansible-playbook", str(file), "-i", str(INVENTORY)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        kill(self._node, f"grep -qs {self._mark} $one/environ")


def kill(node, condition):
    """SIGKILL for the processes on the node for which a condition on ``$one``, their folder in /proc, holds."""
    find = f'for one in /proc/[0-9]*; do if {condition}; then echo "${{one#/proc/}}"; fi; done'
    found = node(f"sudo sh -c {shlex.quote(find)}").split()
    assert found, "there is nothing to kill"
    node(f"sudo kill -9 {' '.join(found)} 2>/dev/null || true")


def pod(series):
    [found] = series.kubectl(f"get pods -n {APP} -o json")["items"]
    return found["metadata"]["uid"]


def hanging(series):
    return any("pg_sleep" in one for one in series.sessions())


def test_one_killed_with_its_pod_leaves_no_session_and_no_lock(series, tmp_path):
    """SIGKILL of controller, module and everything in the container, while a migration holds its locks."""
    owner = Owner(series, tmp_path, "hanging", timeout=300)
    until(lambda: hanging(series), "the migration never hung")
    owner.kill()
    kill(series.node, f"grep -qs pod{pod(series)} $one/cgroup")
    began = time.monotonic()
    until(lambda: series.sessions() == [], "a session is left")
    ended = time.monotonic() - began
    again = series.manage("data", timeout=120)
    assert not again.get("failed"), again["msg"]
    assert (again["changed"], series.jobs(), series.sessions()) == (False, [], [])
    took = time.monotonic() - began
    print(f"killed with its pod: no session after {ended:.1f} s, the next run through after {took:.1f} s")


def test_one_whose_owner_was_killed_ends_by_itself_and_the_next_takes_over(series, tmp_path):
    """SIGKILL of the controller and of the module: the Job goes on until its own time is over."""
    owner = Owner(series, tmp_path, "hanging", timeout=20)
    until(lambda: hanging(series), "the migration never hung")
    owner.kill()
    began = time.monotonic()
    again = series.manage("data", timeout=120)
    took = time.monotonic() - began
    assert not again.get("failed"), again["msg"]
    assert (again["changed"], series.jobs(), series.sessions()) == (False, [], [])
    print(f"owner killed, 20 s allowed: the next run waited and was through after {took:.1f} s")
