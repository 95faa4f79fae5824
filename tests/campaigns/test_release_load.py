# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nobody who uses the application notices a release: a page that writes, under load from before to after."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from load import judged
from server import ROOT
from shop import shop_with

RATE = 60
#: What two cores can do when each request opens a session of its own in PostgreSQL, over TLS.
RATE_WITH_A_SESSION_EACH = 30
# More than by default: the server is busy with the releases themselves, and visitors should not wait for them.
RESOURCES = {"requests": {"cpu": "250m", "memory": "192Mi"}, "limits": {"memory": "512Mi"}}
PERSISTENT = {"environment": {"PERSISTENT_CONNECTIONS": "1"}, "resources": RESOURCES}
LOG = ROOT / ".cache" / "campaigns" / "release_load.jsonl"
AROUND = 4


@pytest.fixture(scope="module")
def shop(task, node, kubectl, playbook, lab, tmp_path_factory):
    with shop_with(
        "rel-load", task, node, kubectl, playbook, lab, tmp_path_factory.mktemp("shop"), "initial", "data", "broken"
    ) as shop:
        shop.describe(**PERSISTENT)
        first = shop.promote("initial")
        assert first.rc == 0, first.messages
        shop.fill()
        yield shop


@pytest.fixture
def under_load(shop, lab, request):
    """``with under_load() as seen: …`` and what the log says of that time is in ``seen``."""

    @contextmanager
    def run(rate=RATE):
        log = LOG.with_suffix(f".{request.node.name}.jsonl")
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [
            "nice",
            "-n",
            "-10",
            sys.executable,
            ROOT / "tests" / "load.py",
            "--url",
            f"{shop.site}/write/",
            "--rate",
            str(rate),
        ]
        command += ["--address", lab["node_address"], "--ca", lab["ca_file"], "--log", log]
        counted = int(shop.sql("select count(*) from shop_customer"))
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        seen = {}
        try:
            began = answered_for(log, AROUND)
            yield seen
            answered_for(log, AROUND)
        finally:
            ended = time.time()
            process.stdin.close()
            process.wait(timeout=60)
        seen |= judged(log, began, ended)
        acknowledged = sum(json.loads(line)["status"] == 200 for line in log.read_text().splitlines())
        seen["rows lost"] = acknowledged - (int(shop.sql("select count(*) from shop_customer")) - counted)
        print(f"load, {request.node.name}: {json.dumps(seen)}")

    return run


def answered_for(log, seconds):
    """When load was seen for that long from now; returns when it began."""
    began = time.time()
    deadline = began + seconds + 30
    while True:
        lines = log.read_text().splitlines() if log.exists() else []
        if lines and json.loads(lines[-1])["at"] > began + seconds:
            return began
        assert time.time() < deadline, "no request is answered"
        time.sleep(0.5)


def nobody_noticed(seen):
    assert (seen["failed"], seen["timeouts"], seen["rows lost"]) == (0, 0, 0), seen
    assert seen["fewest in a second"] > 0, seen
    assert seen["a second"] >= 50, seen


def test_a_promotion_with_migrations(shop, under_load):
    with under_load() as seen:
        run = shop.promote("data")
    assert run.rc == 0, run.messages
    assert shop.serves() == "0001 0002 0003 a1 a2"
    nobody_noticed(seen)


def test_a_release_whose_page_is_broken(shop, under_load):
    """Its readiness probe asks another page, which works."""
    revision = shop.history()[0]["revision"]
    with under_load() as seen:
        run = shop.promote("broken")
    assert run.rc != 0
    assert "status 500, expected 200" in run.messages[0]
    # No pod of it has met a visitor.
    assert shop.history()[0]["revision"] == revision
    nobody_noticed(seen)


def test_a_restart(shop, under_load):
    with under_load() as seen:
        run = shop.play("restart")
    assert run.rc == 0, run.messages
    nobody_noticed(seen)


def test_a_rollback_over_migrations(shop, under_load):
    with under_load() as seen:
        run = shop.play("rollback")
    assert run.rc == 0, run.messages
    assert shop.serves() == "0001 a1"
    nobody_noticed(seen)


def test_a_release_whose_look_from_inside_fails(shop, under_load):
    with under_load() as seen:
        shop.describe(**PERSISTENT, smoke=[{"path": "/", "title": "Another"}])
        run = shop.promote("initial")
        shop.describe(**PERSISTENT)
    assert run.rc != 0
    assert "Another" in run.messages[0]
    nobody_noticed(seen)


def test_a_release_whose_pods_do_not_start(shop, under_load):
    with under_load() as seen:
        shop.describe(**PERSISTENT, command=["false"])
        run = shop.promote("initial", "-e", "app_release_timeout=20")
        shop.describe(**PERSISTENT)
    assert run.rc != 0
    nobody_noticed(seen)


def test_a_new_secret_key(shop, under_load):
    with under_load() as seen:
        run = shop.play("rotate", "-e", "rotate=secret_key")
    assert run.rc == 0, run.messages
    nobody_noticed(seen)


def test_the_end_of_the_old_secret_key(shop, under_load):
    early = shop.play("rotate", "-e", "rotate=old_keys")
    assert early.rc != 0
    assert "The old keys are needed until" in early.messages[0]
    with under_load() as seen:
        run = shop.play("rotate", "-e", "rotate=old_keys", "-e", "keep_days=0")
    assert run.rc == 0, run.messages
    nobody_noticed(seen)


def test_a_new_password_with_persistent_connections(shop, under_load):
    with under_load() as seen:
        run = shop.play("rotate", "-e", "rotate=database_password")
    assert run.rc == 0, run.messages
    nobody_noticed(seen)


def test_a_new_password_with_a_connection_per_request(shop, under_load):
    """The window is real: from the new password until the last old pod is gone."""
    shop.describe(**PERSISTENT | {"environment": {}})
    assert shop.promote("initial").rc == 0
    with under_load(RATE_WITH_A_SESSION_EACH) as seen:
        run = shop.play("rotate", "-e", "rotate=database_password")
    assert run.rc == 0, run.messages
    assert seen["timeouts"] == 0, seen
    assert seen["rows lost"] <= 0, seen
    assert 0 < seen["failed for s"] < 30, seen
