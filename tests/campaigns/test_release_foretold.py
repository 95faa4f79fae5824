# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What check mode says of each playbook that changes an application, and what the run changes. One story, in order."""

from __future__ import annotations

import secrets

import pytest
from shop import shop_with

IMAGES = ("initial", "data", "data again")


@pytest.fixture(scope="module")
def shop(task, node, kubectl, playbook, lab, tmp_path_factory):
    with shop_with(
        "rel-foretold", task, node, kubectl, playbook, lab, tmp_path_factory.mktemp("shop"), *IMAGES
    ) as shop:
        first = shop.promote("initial")
        assert first.rc == 0, first.messages
        shop.fill()
        yield shop


@pytest.fixture
def foretold(shop, kubectl):
    """Run a playbook in check mode and then for real; the names of the tasks that changed something."""

    def seen():
        # Of kinds whose status does not move by itself.
        found = kubectl(f"get services,secrets,configmaps,ingresses,jobs -n {shop.app} -o json")["items"]
        return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in found}

    def run(verb, *arguments):
        before = seen(), shop.checksums(), shop.history()
        said = shop.play(verb, *arguments, "--check")
        assert said.rc == 0, said.messages
        assert (seen(), shop.checksums(), shop.history()) == before
        done = shop.play(verb, *arguments)
        assert done.rc == 0, done.messages
        assert done.changed == said.changed
        print(f"{verb} {' '.join(arguments)}: {len(done.changed)} tasks change something: {', '.join(done.changed)}")
        return done.changed

    return run


@pytest.mark.parametrize("image", ["data", "data again"], ids=["with migrations", "only another image"])
def test_promote(shop, foretold, image):
    assert foretold("promote", "-e", f"image={shop.references[image]}")


def test_the_same_version_again(shop, foretold):
    assert foretold("promote", "-e", f"image={shop.references['data again']}") == []


def test_a_rollback_that_only_switches(foretold):
    assert foretold("rollback")


def test_a_rollback_over_migrations(shop, foretold):
    target = next(one for one in shop.history() if one["image"] == shop.references["initial"] and one["complete"])
    assert foretold("rollback", "-e", f"release={target['revision']}")


def test_restart(foretold):
    assert foretold("restart")


@pytest.mark.parametrize("what", ["secret_key", "database_password"])
def test_rotate(foretold, what):
    assert foretold("rotate", "-e", f"rotate={what}")


def test_the_end_of_the_old_keys(foretold):
    assert foretold("rotate", "-e", "rotate=old_keys", "-e", "keep_days=0")


def test_superuser_and_once_more(foretold, tmp_path):
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(18))
    given = ("-e", "username=chief", "-e", f"password_file={password}")
    assert foretold("superuser", *given)
    assert foretold("superuser", *given) == []


def test_remove_and_once_more(shop, kubectl):
    said = shop.play("remove", "--check")
    assert said.rc == 0, said.messages
    assert kubectl(f"get deployments -n {shop.app} -o name") != ""
    done = shop.play("remove")
    assert done.rc == 0, done.messages
    assert (done.changed, bool(done.changed)) == (said.changed, True)
    assert shop.play("remove", "--check").changed == []
