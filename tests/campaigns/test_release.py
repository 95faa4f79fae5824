# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One application through its whole schema series: predicted, happened, taken back. One story, in order."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from shop import shop_with

IMAGES = ("initial", "data", "broken", "irreversible", "destructive", "half", "hanging")
IRREVERSIBLE = '{"app_release_approved": ["shop.0004_irreversible"]}'
DESTRUCTIVE = '{"app_release_approved": ["shop.0005_destructive"]}'
WINDOW = '{"app_release_window": "Sunday 02:00, said on Friday"}'


@pytest.fixture(scope="module")
def shop(task, node, kubectl, playbook, lab, tmp_path_factory):
    with shop_with("rel-shop", task, node, kubectl, playbook, lab, tmp_path_factory.mktemp("shop"), *IMAGES) as shop:
        yield shop


def test_a_first_release_that_fails_outside_is_not_left_on_the_internet(shop):
    ca = "/home/operator/another-ca.crt"
    subject = "-subj /CN=another -keyout /dev/null"
    shop.node(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 {subject} -out {ca}")
    failed = shop.promote("initial", "-e", json.dumps({"app_release_ca_file": ca}))
    assert failed.rc != 0
    assert failed.messages[0].endswith("It was not released before; nothing of it is exposed.")
    assert shop.kubectl(f"get ingress -n {shop.app} -o json")["items"] == []
    assert shop.kubectl(f"get certificate {shop.app}-tls -n {shop.app} -o json")["spec"]["dnsNames"] == [shop.host]


def test_the_first_release_has_nothing_to_keep(shop):
    run = shop.promote("initial")
    assert run.rc == 0, run.messages
    assert shop.serves() == "0001 a1"
    assert "Restore point | Keep the database as it is before its migrations" not in run.output
    shop.fill()


def test_an_addition_is_foretold_done_and_taken_back_by_the_newer_image(shop):
    before = shop.checksums()
    foretold = shop.promote("data", "--check")
    assert foretold.rc == 0, foretold.messages
    assert shop.checksums() == before
    done = shop.promote("data")
    assert done.rc == 0, done.messages
    assert done.changed == foretold.changed
    after = shop.checksums()
    assert {table for table in after if after[table] != before.get(table)} == {"shop_item", "shop_label"}
    assert (shop.serves(), shop.left_behind()) == ("0001 0002 0003 a1 a2", [])
    newest = shop.history()[0]
    assert newest["complete"]
    assert newest["schema"]["shop"] == "0003_data"
    assert newest["restore_point"]["reason"] == "before shop.0002_additive shop.0003_data"
    back = shop.play("rollback")
    assert back.rc == 0, back.messages
    assert (shop.serves(), shop.left_behind()) == ("0001 a1", [])
    assert shop.checksums() == before
    assert shop.history()[0]["schema"]["shop"] == "0001_initial"
    print("additive, data:", json.dumps({"before": before, "after": after, "taken back": shop.checksums()}))


def test_what_has_no_way_back_waits_for_approval_and_comes_back_from_its_restore_point(shop):
    assert shop.promote("data").rc == 0
    before, revision = shop.checksums(), shop.history()[0]["revision"]
    refused = shop.promote("irreversible")
    assert refused.rc != 0
    assert "shop.0004_irreversible: Raw Python operation" in refused.messages[0]
    assert "loses everything written since" in refused.messages[0]
    assert (shop.history()[0]["revision"], shop.checksums(), shop.left_behind()) == (revision, before, [])
    done = shop.promote("irreversible", "-e", IRREVERSIBLE)
    assert done.rc == 0, done.messages
    after = shop.checksums()
    assert {table for table in after if after[table] != before[table]} == {"shop_customer"}
    shop.write()
    stopped = shop.play("rollback")
    assert stopped.rc != 0
    point = shop.history()[0]["restore_point"]["name"]
    assert f"-e restore_point={point}" in stopped.messages[0]
    assert shop.serves() == "0001 0002 0003 0004 a1 a2 a3"
    command = re.search(r"ansible-playbook playbooks/restore.yml (.*?)\. ", stopped.messages[0])[1]
    restored = shop.play("restore", *shlex.split(command)[2:])
    assert restored.rc == 0, restored.messages
    assert shop.checksums() == before
    back = shop.play("rollback")
    assert back.rc == 0, back.messages
    assert (shop.serves(), shop.checksums()) == ("0001 0002 0003 a1 a2", before)
    print("irreversible:", json.dumps({"before": before, "after": after, "restored": shop.checksums()}))


def test_what_destroys_needs_approval_and_a_window(shop):
    before, revision = shop.checksums(), shop.history()[0]["revision"]
    for arguments in ((), ("-e", DESTRUCTIVE), ("-e", WINDOW)):
        refused = shop.promote("destructive", *arguments)
        assert refused.rc != 0
        assert "shop.0005_destructive" in refused.messages[0]
        assert "Once it is committed the version that serves now cannot go on" in refused.messages[0]
    assert (shop.history()[0]["revision"], shop.checksums()) == (revision, before)
    done = shop.promote("destructive", "-e", DESTRUCTIVE, "-e", WINDOW)
    assert done.rc == 0, done.messages
    assert "Sunday 02:00, said on Friday" in done.output
    after = shop.checksums()
    assert "shop_draft" not in after
    assert shop.serves() == "0001 0002 0003 0005 a1 a2"
    point = shop.history()[0]["restore_point"]["name"]
    restored = shop.play("restore", "-e", f"restore_point={point}", "-e", "restore_writers=stop")
    assert restored.rc == 0, restored.messages
    back = shop.play("rollback")
    assert back.rc == 0, back.messages
    assert (shop.serves(), shop.checksums()) == ("0001 0002 0003 a1 a2", before)
    print("destructive:", json.dumps({"before": before, "after": after, "restored": shop.checksums()}))


def test_what_has_destroyed_something_and_fails_then_says_what_is_left_to_do(shop):
    before = shop.checksums()
    shop.describe(smoke=[{"path": "/", "title": "Another"}])
    failed = shop.promote("destructive", "-e", DESTRUCTIVE, "-e", WINDOW)
    shop.describe()
    assert failed.rc != 0
    point = shop.history()[0]["restore_point"]["name"]
    told = "was not put back: it cannot work with what has happened to the schema, shop.0005_destructive."
    assert told in failed.messages[0]
    assert (shop.serves(), shop.left_behind()) == ("0001 0002 0003 0005 a1 a2", [])
    assert "shop_draft" not in shop.checksums()
    hint = failed.report["failures"][0]["hint"]
    command = re.search(r"ansible-playbook playbooks/restore.yml (.*?), then playbooks/rollback.yml", hint)[1]
    assert f"restore_point={point}" in command
    restored = shop.play("restore", *shlex.split(command)[2:])
    assert restored.rc == 0, restored.messages
    back = shop.play("rollback")
    assert back.rc == 0, back.messages
    assert (shop.serves(), shop.checksums()) == ("0001 0002 0003 a1 a2", before)


def test_migrating_by_hand_asks_as_a_release_does(shop):
    """What a restore took away is pending again for the image that serves."""
    assert shop.play("migrate").changed == []
    done = shop.promote("destructive", "-e", DESTRUCTIVE, "-e", WINDOW)
    assert done.rc == 0, done.messages
    point = shop.history()[0]["restore_point"]["name"]
    assert shop.play("restore", "-e", f"restore_point={point}", "-e", "restore_writers=stop").rc == 0
    before = shop.checksums()
    refused = shop.play("migrate")
    assert refused.rc != 0
    assert "shop.0005_destructive" in refused.messages[0]
    assert shop.checksums() == before
    applied = shop.play("migrate", "-e", DESTRUCTIVE, "-e", WINDOW)
    assert applied.rc == 0, applied.messages
    assert "shop_draft" not in shop.checksums()
    newest = shop.task("restore_point_info", app=shop.app)["restore_points"][0]
    assert newest["reason"] == "before shop.0005_destructive"
    restored = shop.play("restore", "-e", f"restore_point={newest['name']}", "-e", "restore_writers=stop")
    assert restored.rc == 0, restored.messages
    back = shop.play("rollback")
    assert back.rc == 0, back.messages
    assert (shop.serves(), shop.checksums()) == ("0001 0002 0003 a1 a2", before)


@pytest.mark.parametrize(
    ("image", "cause", "arguments"),
    [
        ("half", "cannot be counted", ()),
        ("hanging", "did not end within 25 s", ("-e", '{"app_release_timeout": 25}')),
    ],
)
def test_what_fails_or_hangs_leaves_the_old_version_and_every_row(shop, image, cause, arguments):
    before = shop.checksums()
    foretold = shop.promote(image, "--check")
    assert foretold.rc == 0, foretold.messages
    failed = shop.promote(image, *arguments)
    assert failed.rc != 0
    assert cause in failed.messages[0]
    assert (shop.serves(), shop.checksums()) == ("0001 0002 0003 a1 a2", before)
    assert (shop.sessions(), shop.left_behind()) == ([], [])
    print(f"{image}:", failed.messages[0])


@pytest.mark.parametrize("changes", [{}, {"environment": {"TRY": "1"}}], ids=["straight", "step by step"])
def test_a_page_that_no_probe_asks_never_serves_broken(shop, changes):
    ready = shop.promote("data")
    assert ready.rc == 0, ready.messages
    revision = shop.history()[0]["revision"]
    shop.describe(**changes)
    failed = shop.promote("broken")
    shop.describe()
    assert failed.rc != 0
    assert "status 500, expected 200" in failed.messages[0]
    assert f"{shop.references['data']} serves as before" in failed.messages[0]
    assert (shop.history()[0]["revision"], shop.serves()) == (revision, "0001 0002 0003 a1 a2")
    assert shop.left_behind() == []
