#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_info
short_description: Look at the whole stack once
version_added: 0.1.0
description:
  - Takes a picture of the cluster in a few LIST calls and says what holds and what does not.
  - Only reads. What a layer's smoke, the status playbook and the tests know, they know from here.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
options:
  apps:
    description: The applications that must be there.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the application.
        type: str
        required: true
      namespace:
        description: Its namespace; the name when not given.
        type: str
  only:
    description:
      - Name of one of O(apps). Only its objects and the database clusters it uses are looked at, so that no neighbour
        counts.
    type: str
"""

EXAMPLES = r"""
- name: Look at the stack
  railiance.stack.stack_info:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    apps:
      - name: vergabe-teilnahme
  register: stack

- name: Look at one application
  railiance.stack.stack_info:
    apps:
      - name: vergabe-teilnahme
      - name: state-hub
    only: state-hub
"""

RETURN = r"""
healthy:
  description: Whether every required check holds.
  returned: always
  type: bool
checks:
  description: What was looked at.
  returned: always
  type: list
  elements: dict
  sample:
    - layer: S3
      name: Cluster databases/apps-pg
      ok: true
      detail: Cluster in healthy state, 1/1 instances
      hint: ""
      required: true
table:
  description: The same for a person, one line a check.
  returned: always
  type: list
  elements: str
  sample: ["S3  ok    Cluster databases/apps-pg  Cluster in healthy state, 1/1 instances"]
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._picture import checks, checks_of, healthy, table, take


def work(module: Any, kube: Kube) -> dict[str, Any]:
    apps = [{"name": app["name"], "namespace": app["namespace"] or app["name"]} for app in module.params["apps"]]
    only = module.params["only"]
    if only and only not in (names := [app["name"] for app in apps]):
        raise StackError(
            f"There is no application {only} among the given ones.",
            f"There are: {', '.join(sorted(names)) or 'none'}.",
        )
    picture = take(kube)
    found = checks_of(picture, next(app for app in apps if app["name"] == only)) if only else checks(picture, apps)
    return {
        "changed": False,
        "healthy": healthy(found),
        "checks": [check.as_dict() for check in found],
        "table": table(found),
    }


def main() -> None:
    run_cluster_module(
        {
            "apps": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"name": {"type": "str", "required": True}, "namespace": {"type": "str"}},
            },
            "only": {"type": "str"},
        },
        work,
    )


if __name__ == "__main__":
    main()
