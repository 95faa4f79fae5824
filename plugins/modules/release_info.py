#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Say which applications are as they were released, for all of them in one look
version_added: 0.1.0
description:
  - Reads every kind of object once for all applications, and compares what it finds with what
    M(railiance.stack.release_record) noted on each Helm release.
  - An application is converged when its entry asks for the version and settings that were released, and every object is
    as that run left it and is ready. Any change of an object, of its labels, or of a Secret's value shows.
  - Names the applications that were released once and that no entry names any more, and the databases and volumes that
    hold data which nothing asks for.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
  - railiance.stack.released.apps
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
options:
  history_of:
    description: Application whose revisions are returned as well.
    type: str
  target:
    description:
      - Revision of O(history_of) to return by itself, V(previous) for the last complete one with another image than the
        newest, V(current) for the one that serves, or a number. Needs O(history_of).
      - Refused when that version was never completely released. A later revision of the same image, such as one that
        was put back, is good.
    type: str
"""

EXAMPLES = r"""
- name: Look at all applications
  railiance.stack.release_info:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    apps: "{{ stack_apps | map('railiance.stack.release_identity', settings) }}"
  register: releases

- name: Show what an application has been
  railiance.stack.release_info:
    history_of: vergabe-teilnahme

- name: Find the revision that a rollback would release
  railiance.stack.release_info:
    history_of: vergabe-teilnahme
    target: previous
"""

RETURN = r"""
converged:
  description: Names of the applications for which nothing is to do.
  returned: success
  type: list
  elements: str
same_settings:
  description: Names of the applications that differ by their version only.
  returned: success
  type: list
  elements: str
reasons:
  description: Why each of the others must be released.
  returned: success
  type: dict
  sample: {"vergabe-teilnahme": its settings, or the role, changed}
releases:
  description: Of each of O(apps) what serves, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the application.
      returned: always
      type: str
    namespace:
      description: Its namespace.
      returned: always
      type: str
    revision:
      description: Number of its newest Helm revision, 0 when it was never released; nothing more is returned then.
      returned: always
      type: int
    status:
      description: What Helm says of it.
      returned: released
      type: str
    at:
      description: Since when.
      returned: released
      type: str
    commit:
      description: The commit that was released, empty for an image from elsewhere.
      returned: released
      type: str
    image:
      description: The image with its digest.
      returned: released
      type: str
    complete:
      description: Whether its last step was done.
      returned: released
      type: bool
    description:
      description: What it is, in words.
      returned: released
      type: str
    pending:
      description: Why a deployment would release it; empty when nothing is to do.
      returned: always
      type: str
kept:
  description: Databases and volumes that nothing asks for.
  returned: success
  type: list
  elements: dict
  sample:
    - kind: Database
      name: apps-pg-shop
      namespace: databases
      app: shop
      why: it was kept when the application was removed
table:
  description: All of it for a person, one line each.
  returned: success
  type: list
  elements: str
orphans:
  description: Releases in the cluster that no entry of O(apps) names, C(name) and C(namespace).
  returned: success
  type: list
  elements: dict
history:
  description: The stored revisions of O(history_of), newest first.
  returned: when O(history_of) is given
  type: list
  elements: dict
  sample:
    - revision: 3
      status: deployed
      at: "2026-11-21T10:00:00Z"
      description: commit 0d1c5f7a9f3b
      commit: 0d1c5f7a9f3b2e64c8d7a6b5e4f3029181706f5e
      image: gitea.example.org/apps/vergabe-teilnahme@sha256:3fc9b689
      schema: {ausschreibungen: 0004_entscheidung_bis_vorbelegen}
      migrations: [ausschreibungen.0004_entscheidung_bis_vorbelegen]
      restore_point: {}
      complete: true
target:
  description: The one of RV(history) that O(target) names.
  returned: when O(target) is given
  type: dict
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._release import (
    APP_SPEC,
    Look,
    Wanted,
    history,
    summary,
)
from ansible_collections.railiance.stack.plugins.module_utils._release_table import table
from ansible_collections.railiance.stack.plugins.module_utils._release_target import release_target

ARGUMENT_SPEC: dict[str, Any] = {
    "apps": {"type": "list", "elements": "dict", "default": [], "options": APP_SPEC},
    "history_of": {"type": "str"},
    "target": {"type": "str"},
}


def work(module: Any, kube: Kube) -> dict[str, Any]:
    apps = [Wanted.of(params) for params in module.params["apps"]]
    look = Look(kube)
    verdicts = {app.name: look.verdict(app) for app in apps}
    result: dict[str, Any] = {
        "changed": False,
        "converged": [name for name, verdict in verdicts.items() if verdict.converged],
        "same_settings": [name for name, verdict in verdicts.items() if verdict.same_settings],
        "reasons": {name: verdict.reason for name, verdict in verdicts.items() if verdict.reason},
        "releases": [_served(look, app, verdicts[app.name].reason) for app in apps],
        "orphans": look.orphans(app.name for app in apps),
        "kept": look.kept(apps),
    }
    if name := module.params["history_of"]:
        namespace = next((app.namespace for app in apps if app.name == name), None) or look.namespace_of(name)
        result["history"] = history(look.releases(namespace, name))
        if wanted := module.params["target"]:
            result["target"] = release_target(result["history"], wanted)
    result["table"] = table(result, name or "")
    return result


def _served(look: Look, app: Wanted, pending: str) -> dict[str, Any]:
    newest = look.newest(app.namespace, app.name)
    found = summary(newest) if newest else {"revision": 0}
    return {"name": app.name, "namespace": app.namespace, **found, "pending": pending}


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work, required_by={"target": "history_of"})


if __name__ == "__main__":
    main()
