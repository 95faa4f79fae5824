# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three applications of three kinds: deployed, promoted, rolled back, removed, and back with their data."""

from __future__ import annotations

import time

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Http

MORE = ("-e", "@tests/campaigns/more_apps.yml")
#: Application, its site, the address of a page, what else names its entry.
KINDS = [
    ("vergabe-teilnahme", "https://vergabe.lab.test", ()),
    ("state-hub", "https://state-hub.lab.test", MORE),
    ("activity-core", "https://activity.lab.test", MORE),
]


@pytest.fixture(scope="module")
def http(lab):
    return Http(ca_file=lab["ca_file"], address=lab["node_address"])


@pytest.fixture(scope="module", autouse=True)
def deployed(playbook):
    run = playbook("deploy-stack.yml", "--tags", "s3,s5", *MORE)
    assert run.rc == 0, run.messages


@pytest.mark.parametrize(("app", "site", "entries"), KINDS)
def test_deployed_promoted_rolled_back_removed(playbook, node, kubectl, task, lab, http, app, site, entries):
    def play(verb, *arguments):
        began = time.monotonic()
        run = playbook(f"playbooks/{verb}.yml", "-e", f"app={app}", *arguments, *entries)
        assert run.rc == 0, run.messages
        took[verb] = round(time.monotonic() - began)
        return run

    def image():
        return kubectl(f"get deploy -n {app} {app} -o json")["spec"]["template"]["spec"]["containers"][0]["image"]

    def answers():
        return http.request("GET", f"{site}/health/").status

    took = {}
    path, first = lab["apps"][app]["path"], lab["apps"][app]["commit"]
    assert answers() == 200
    released = image()
    identity = "-c user.name=tests -c user.email=tests@lab.test"
    node(f"cd {path} && date > CAMPAIGN && git add CAMPAIGN && git {identity} commit -qm next")
    commit = node(f"git -C {path} rev-parse HEAD").strip()
    try:
        play("promote", "-e", f"commit={commit}")
        assert (answers(), image() == released) == (200, False)
        assert task("release_info", history_of=app)["history"][0]["commit"] == commit
        play("rollback")
        assert (answers(), image()) == (200, released)
        play("remove")
        # Nobody answers for the name any more: the proxy shows a certificate that is not its own.
        with pytest.raises(StackError, match="certificate"):
            Http(ca_file=lab["ca_file"], address=lab["node_address"]).request("GET", f"{site}/health/")
        assert kubectl(f"get deploy,ingress,pods -n {app} -o name") == ""
        kept = kubectl(f"get secret -n {app} {app}-env {app}-db -o name").split()
        assert len(kept) == 2
    finally:
        node(f"git -C {path} reset -q --hard {first}")
    back = playbook("deploy-stack.yml", "--tags", "s5", *entries)
    assert back.rc == 0, back.messages
    assert (answers(), image()) == (200, released)
    print(f"{app}: {took}")
