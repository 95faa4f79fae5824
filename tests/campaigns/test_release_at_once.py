# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two at work on one application, a release that was cut off, names that nobody knows. One story, in order."""

from __future__ import annotations

import threading

import pytest
from server import until
from shop import shop_with

IMAGES = ("data", "data again")


@pytest.fixture(scope="module")
def shop(task, node, kubectl, playbook, lab, tmp_path_factory):
    with shop_with("rel-once", task, node, kubectl, playbook, lab, tmp_path_factory.mktemp("shop"), *IMAGES) as shop:
        yield shop


def labels_of(shop, revision):
    secret = shop.kubectl(f"get secret -n {shop.app} sh.helm.release.v1.{shop.app}.v{revision} -o json")
    return secret["metadata"]["labels"]


def go_back_by_hand(shop, node, revision):
    """Somebody else releases as soon as this run's revision is deployed, while it still looks at it."""
    known = shop.history()[0]["revision"]
    stored = f"sudo k3s kubectl get secret -n {shop.app} -l owner=helm,status=deployed -o name"

    def work():
        until(lambda: f".v{known + 1}" in node(stored), "the run's own revision", 180)
        node(f"sudo KUBECONFIG=/etc/rancher/k3s/k3s.yaml helm rollback {shop.app} {revision} -n {shop.app} --no-hooks")

    thread = threading.Thread(target=work)
    thread.start()
    return known, thread


def test_going_back_to_an_image_is_recorded_as_that_image(shop):
    for image in IMAGES:
        run = shop.promote(image)
        assert run.rc == 0, run.messages
    shop.describe(image={"reference": shop.references["data again"]})
    back = shop.play("rollback")
    assert back.rc == 0, back.messages
    assert f"now runs {shop.references['data']}" in " ".join(back.output.split())
    newest = shop.history()[0]
    assert (shop.image(), newest["complete"]) == (shop.references["data"], True)
    label = labels_of(shop, newest["revision"])["railiance.io/version"]
    # A label holds one letter less; by it the next deploy sees that another version is released.
    assert shop.references["data"][:-1].endswith(label)


def test_what_another_run_released_is_not_noted_as_this_ones(shop, node):
    # Other settings: step by step, which leaves somebody time to come between.
    shop.describe(smoke=[{"path": "/"}])
    before, other = go_back_by_hand(shop, node, shop.history()[0]["revision"])
    run = shop.promote("data again")
    other.join()
    assert run.rc != 0
    assert f"is at revision {before + 2} (Rollback to" in run.messages[-1], run.messages
    newest = shop.history()[0]
    assert (newest["revision"], newest["status"]) == (before + 2, "deployed")
    assert shop.image() == shop.references["data"]
    print("overtaken before the note:", run.messages[-1])


def test_what_another_run_released_is_not_put_back(shop, node):
    assert shop.promote("data again").rc == 0
    # The pods stay as they are, so none is on trial: it fails once it is released.
    nightly = {"name": "nightly", "schedule": "0 4 * * *", "command": ["true"]}
    shop.describe(smoke=[{"path": "/", "title": "Another title"}], schedules=[nightly])
    before, other = go_back_by_hand(shop, node, shop.history()[0]["revision"])
    run = shop.promote("data again")
    other.join()
    assert run.rc != 0
    assert f"is at revision {before + 2} (Rollback to" in run.messages[-1], run.messages
    assert shop.history()[0]["revision"] == before + 2
    shop.describe()
    print("overtaken before it was put back:", run.messages[-1])


def test_rotate_acts_on_what_serves_and_only_when_that_is_complete(shop, node):
    for image in IMAGES:
        assert shop.promote(image).rc == 0
    revision = shop.history()[0]["revision"]
    secret = f"sh.helm.release.v1.{shop.app}.v{revision}"
    # As a run leaves it that was killed before its last step.
    node(f"sudo k3s kubectl label secret -n {shop.app} {secret} railiance.io/state=null --overwrite")
    password = shop.kubectl(f"get secret -n {shop.app} {shop.app}-db -o json")["data"]
    refused = shop.play("rotate", "-e", "rotate=database_password")
    assert refused.rc != 0
    assert f"Revision {revision} serves" in refused.messages[-1], refused.messages
    assert f"promote -e image={shop.references['data again']}" in refused.messages[-1]
    assert shop.kubectl(f"get secret -n {shop.app} {shop.app}-db -o json")["data"] == password
    completed = shop.promote("data again")
    assert completed.rc == 0, completed.messages
    done = shop.play("rotate", "-e", "rotate=database_password")
    assert done.rc == 0, done.messages
    assert (shop.image(), shop.history()[0]["complete"]) == (shop.references["data again"], True)
    print("not complete:", refused.messages[-1])


def test_a_branch_is_no_commit(playbook):
    refused = playbook("playbooks/promote.yml", "-e", "app=vergabe-teilnahme", "-e", "commit=main")
    assert refused.rc != 0
    assert "main is no full SHA. git rev-parse main prints it." in refused.messages[-1]


def test_only_what_is_there_is_removed_and_data_only_after_a_yes(shop, playbook):
    unknown = playbook("playbooks/remove.yml", "-e", "app=rel-ocne", "-e", f"@{shop.entries}")
    assert unknown.rc != 0
    assert "There is no application rel-ocne" in unknown.messages[-1]
    assert "stack_apps has: rel-once" in unknown.messages[-1]
    asked = shop.play("remove", "-e", "drop_data=true", "-e", "stack_confirm=true")
    assert asked.rc != 0
    assert "Removal of rel-once was not confirmed, nothing of it was changed." in asked.messages[-1]
    assert shop.image() == shop.references["data again"]
    orphan = playbook("playbooks/remove.yml", "-e", f"app={shop.app}")
    assert orphan.rc == 0, orphan.messages
    assert shop.kubectl(f"get deploy -n {shop.app} -o json")["items"] == []
    left = playbook("playbooks/remove.yml", "-e", f"app={shop.app}", "-e", "drop_data=true")
    assert left.rc == 0, left.messages
    again = playbook("playbooks/remove.yml", "-e", f"app={shop.app}")
    assert "There is no application rel-once" in again.messages[-1]
