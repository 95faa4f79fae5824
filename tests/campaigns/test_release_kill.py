# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGKILL of the controller and of everything that it started on the node: in a release, a switch, an exposure."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
import uuid

import pytest
from server import INVENTORY, ROOT, read_lab, ssh
from shop import shop_with

#: Task of the release, and seconds into it.
STEPS = [
    ("Switch | Release another version when nothing else differs", 0.1),
    ("Secrets | Give the application its own role and database", 0.3),
    ("Secrets | Keep the application's secret environment", 0.1),
    ("Render | Render the release, ask the server, apply the policy", 0.4),
    ("Plan | See what the image would do to the schema", 0.5),
    ("Take the restore point", 1.5),
    ("Migrate | Bring the schema up to the new image", 1.5),
    ("Rollout | Ask a pod of it before visitors can", 1.5),
    ("Rollout | Release the chart", 1.0),
    ("Rollout | Release the chart", 3.0),
    ("Record | Read the log and note that the release is complete", 0.2),
]
#: Seconds into a switch: before its Jobs, while it looks, while a pod is on trial, around Helm, while pods roll out.
SWITCH_SECONDS = [0.5, 1.2, 3.0, 4.5, 6.0]


@pytest.fixture(scope="module")
def shop(task, node, kubectl, playbook, lab, tmp_path_factory):
    with shop_with(
        "rel-kill", task, node, kubectl, playbook, lab, tmp_path_factory.mktemp("shop"), "initial", "data", "data again"
    ) as shop:
        first = shop.promote("initial")
        assert first.rc == 0, first.messages
        shop.fill()
        yield shop


def killed_at(shop, step, seconds, image="data"):
    """Start a promotion and kill it so long after the step began; returns what was running on the node for it."""
    mark = f"RUN_MARK={uuid.uuid4().hex}"
    # As a variable of sudo's command the mark is in the environment of everything that runs for this playbook there.
    become = json.dumps({"ansible_become_flags": f"-H -S -n {mark}"})
    command = ["ansible-playbook", "playbooks/promote.yml", "-i", str(INVENTORY), "-e", f"app={shop.app}", "-e", become]
    command += ["-e", f"@{shop.entries}", "-e", f"image={shop.references[image]}"]
    run = subprocess.Popen(
        command,
        cwd=ROOT,
        # Where skipped hosts are not shown, a task is named only when it is over.
        env={**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        for line in run.stdout:
            if line.startswith("TASK [") and step in line:
                break
        else:
            pytest.fail(f"{step} never began")
        # Read from standard input: sudo puts its command line into the environment, and the killer would find itself.
        find = 'for one in $(grep -ls "$mark" /proc/[0-9]*/environ); do one=${one%/environ}; echo "${one#/proc/}"; done'
        # A module is a Python; the shell of the task before may still be on its way out.
        module = f'for one in $({find}); do grep -s python "/proc/$one/comm" || true; done'
        wait = f'for dummy in $(seq 100); do [ -z "$({module})" ] || break; sleep 0.05; done'
        kill = f"found=$({find}); for pid in $found; do tr '\\0' ' ' < /proc/$pid/cmdline; echo; done; kill -9 $found"
        killer = subprocess.Popen(
            ssh(read_lab(), f"sudo sh -c {shlex.quote(f'read mark; {wait}; sleep {seconds}; {kill}')}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        said = killer.communicate(f"{mark}\n", timeout=60)[0]
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    return sorted({line.split()[0].rpartition("/")[2] for line in said.splitlines() if line.strip()})


@pytest.mark.parametrize(("step", "seconds"), STEPS)
def test_the_next_run_completes_what_was_killed(shop, step, seconds):
    before = shop.checksums()
    # Another setting, so that every step is taken: of an entry that is as it was released, some are passed over.
    shop.describe(environment={"TRY": f"{step} {seconds}"})
    killed = killed_at(shop, step, seconds)
    assert shop.serves() in ("0001 a1", "0001 0002 0003 a1 a2")
    served_then = shop.serves()
    began = time.monotonic()
    again = shop.promote("data")
    took = time.monotonic() - began
    assert again.rc == 0, again.messages
    assert shop.serves() == "0001 0002 0003 a1 a2"
    newest = shop.history()[0]
    assert (newest["status"], newest["complete"]) == ("deployed", True)
    assert newest["schema"]["shop"] == "0003_data"
    nothing_stays(shop)
    back = shop.play("rollback")
    assert back.rc == 0, back.messages
    assert shop.checksums() == before
    print(f"killed at {step} + {seconds} s: {', '.join(killed)}; served {served_then}; the next run took {took:.0f} s")


@pytest.mark.parametrize("seconds", SWITCH_SECONDS)
def test_the_next_run_completes_a_switch_that_was_killed(shop, seconds):
    """Nothing differs but the image, and both know the same migrations."""
    ready = shop.promote("data")
    assert ready.rc == 0, ready.messages
    before = shop.checksums()
    killed = killed_at(shop, STEPS[0][0], seconds, image="data again")
    # The two images list the same migrations in another order.
    assert sorted(shop.serves().split()) == ["0001", "0002", "0003", "a1", "a2"]
    again = shop.promote("data again")
    assert again.rc == 0, again.messages
    newest = shop.history()[0]
    assert (newest["status"], newest["complete"]) == ("deployed", True)
    assert newest["image"] == shop.references["data again"]
    nothing_stays(shop)
    assert shop.checksums() == before
    print(f"killed {seconds} s into the switch: {', '.join(killed)}")


def test_a_first_release_killed_while_it_is_exposed(shop, kubectl):
    """What was half exposed is not there, or answers over TLS; the next run completes it."""
    removed = shop.play("remove")
    assert removed.rc == 0, removed.messages
    before = shop.checksums()
    killed = killed_at(shop, "Expose | Obtain the certificate, then create the Ingress", 1.0)
    ingresses = kubectl(f"get ingress -n {shop.app} -o json")["items"]
    if ingresses:
        assert shop.serves() == "0001 0002 0003 a1 a2"
    again = shop.promote("data")
    assert again.rc == 0, again.messages
    assert shop.serves() == "0001 0002 0003 a1 a2"
    assert [rule["host"] for rule in kubectl(f"get ingress -n {shop.app} {shop.app} -o json")["spec"]["rules"]] == [
        shop.host
    ]
    nothing_stays(shop)
    assert shop.checksums().keys() == before.keys() | {"shop_label"}
    print(f"a first release killed at Expose: {', '.join(killed)}; {len(ingresses)} Ingress before the next run")


def nothing_stays(shop):
    """No Job, no session with a lock, no pod that is on its way, no temporary file of a restore point."""
    assert shop.left_behind() == []
    locks = shop.sql(
        "select count(*) from pg_locks join pg_database on pg_database.oid = database"
        " where datname = current_database() and locktype = 'advisory'"
    )
    assert locks == "0"
    assert shop.node("sudo find /var/lib/railiance/restore-points -name '*.partial'").split() == []
    secrets = shop.kubectl(f"get secrets -n {shop.app} -l owner=helm,status!=superseded -o json")["items"]
    assert [one["metadata"]["labels"]["status"] for one in secrets] == ["deployed"]
