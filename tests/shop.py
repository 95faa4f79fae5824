# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applications of the tests as applications of the stack, released with the playbooks that an operator has."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager

from ansible_collections.railiance.stack.plugins.module_utils._http import Http
from series import Series, forget, push

_ROWS = """
insert into shop_customer (name, email) select 'n' || i, 'e' || i || '@x' from generate_series(1, 20) i;
insert into shop_item (name, price, customer_id) select 'i' || i, i, 1 + i % 20 from generate_series(1, 500) i;
insert into shop_draft (text) select 't' || i from generate_series(1, 7) i
"""


class Application(Series):
    """One of them as its operator sees it.

    :param entry: its entry of ``stack_apps``, without name and host.
    """

    def __init__(self, task, node, kubectl, references, app, playbook, folder, entry):
        super().__init__(task, node, kubectl, references, app)
        self.host = f"{app}.lab.test"
        self.site = f"https://{self.host}"
        self.entries = folder / f"{app}.yml"
        self._playbook, self._entry = playbook, entry
        self.describe()

    def describe(self, **changes):
        """Write the entry, with keys of it changed."""
        entry = {"name": self.app, "host": self.host, **self._entry, **changes}
        self.entries.write_text(json.dumps({"stack_apps": [entry]}))

    def play(self, verb, *arguments):
        return self._playbook(f"playbooks/{verb}.yml", "-e", f"app={self.app}", "-e", f"@{self.entries}", *arguments)

    def image(self):
        deployment = self.kubectl(f"get deploy -n {self.app} {self.app} -o json")
        return deployment["spec"]["template"]["spec"]["containers"][0]["image"]

    def history(self):
        return self.task("release_info", history_of=self.app)["history"]

    def left_behind(self):
        """Jobs and pods of theirs that no run may leave."""
        pods = [one["metadata"] for one in self.kubectl(f"get pods -n {self.app} -o json")["items"]]
        pods = [one for one in pods if "job-name" in one["labels"] and "deletionTimestamp" not in one]
        return [*self.jobs(), *(one["name"] for one in pods)]


class Shop(Application):
    """The shop of tests/apps, an image for each state of its schema."""

    def __init__(self, task, node, kubectl, references, app, playbook, http, folder):
        entry = {
            "image": {"reference": next(iter(references.values()))},
            "django": {"settings": "config.settings"},
            "database": {"cluster": "apps-pg"},
            "smoke": [{"path": "/", "title": "Shop"}],
        }
        super().__init__(task, node, kubectl, references, app, playbook, folder, entry)
        self._http = http

    def promote(self, image, *arguments):
        return self.play("promote", "-e", f"image={self.references[image]}", *arguments)

    def serves(self):
        """Which image answers from outside, by the migrations it knows."""
        return re.search(r"migrations (.*);", self._http.request("GET", f"{self.site}/").text)[1]

    def write(self):
        return self._http.request("POST", f"{self.site}/write/", body=b"").json()["id"]

    def fill(self):
        """Rows in every table of the first version."""
        self.sql(f"set role {self.database};{_ROWS}")


@contextmanager
def removed_again(application, *more):
    """The application while it is tested, and nothing of it afterwards.

    :param more: called after its removal, for what it leaves outside the cluster.
    """
    try:
        yield application
    finally:
        removed = application.play("remove", "-e", "drop_data=true")
        for forget_it in more:
            forget_it()
    assert removed.rc == 0, removed.messages


@contextmanager
def example_with(kind, task, node, kubectl, playbook, lab, folder, app, entry):
    """An application of the examples, from a repository of its own on the node.

    :param kind: the class that it is tested as; has ``example``, the name of its folder.
    """
    source, tree = lab["apps"][kind.example], f"/home/operator/{app}"
    node(f"rm -rf {tree} && git clone -q {source['path']} {tree} && git -C {tree} checkout -qB main {source['commit']}")
    entry = {**entry, "source": {"repository": tree, "commit": source["commit"]}}
    application = kind(task, node, kubectl, {}, app, playbook, folder, entry)
    with removed_again(application, lambda: node(f"rm -rf {tree}")):
        yield application


@contextmanager
def shop_with(app, task, node, kubectl, playbook, lab, folder, *images):
    """The images, and the application's entry, which names the first of them; everything is removed again."""
    references = push(task, node, *images)
    http = Http(ca_file=lab["ca_file"], address=lab["node_address"])
    shop = Shop(task, node, kubectl, references, app, playbook, http, folder)
    with removed_again(shop, lambda: forget(node)):
        yield shop
