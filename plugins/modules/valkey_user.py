#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: valkey_user
short_description: A user of an application's own in the stack's Valkey
version_added: 0.1.0
description:
  - Makes a user with a generated password who may touch only keys and channels that begin with the application's name
    and a colon, in one database, and may neither list keys nor administer the server.
  - The Secret C(<app>-valkey) in the application's namespace gets C(VALKEY_URL), C(VALKEY_PREFIX), C(username) and
    C(password). The user survives a restart of Valkey.
  - Works on the Valkey that the role C(valkey) installed.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Values of Secrets are masked.
  idempotent:
    support: full
options:
  app:
    description: Name of the application.
    type: str
    required: true
  namespace:
    description: Namespace of the application; its name when not given.
    type: str
  database:
    description: Number of the one database the user may select. Gitea has 0 to 2.
    type: int
    default: 3
  valkey_name:
    description: Name of Valkey's StatefulSet and Service.
    type: str
    default: valkey
  valkey_namespace:
    description: Namespace of Valkey.
    type: str
    default: platform
  labels:
    description: Labels of the application's Secret.
    type: dict
    default: {}
  state:
    description: Whether the user is there. V(absent) removes user and Secret, the keys only with O(drop_data).
    type: str
    choices: [present, absent]
    default: present
  drop_data:
    description: With O(state=absent), also delete the application's keys, in O(database) and in database 0.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Give the application its own user in Valkey
  railiance.stack.valkey_user:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    app: vergabe-teilnahme

- name: Take its user and what it wrote away
  railiance.stack.valkey_user:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    app: vergabe-teilnahme
    state: absent
    drop_data: true
"""

RETURN = r"""
plan:
  description: The steps, C(action), C(target) and C(note); empty when nothing is to do.
  returned: success
  type: list
  elements: dict
secret:
  description: Name of the Secret in the application's namespace.
  returned: success
  type: str
  sample: vergabe-teilnahme-valkey
secret_version:
  description: Changes when a value of the Secret changes; empty when it does not exist.
  returned: success
  type: str
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._secret import content_version
from ansible_collections.railiance.stack.plugins.module_utils._valkey_user import User, plan_removal, plan_user

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "database": {"type": "int", "default": 3},
    "valkey_name": {"type": "str", "default": "valkey"},
    "valkey_namespace": {"type": "str", "default": "platform", "no_log": False},
    "labels": {"type": "dict", "default": {}},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "drop_data": {"type": "bool", "default": False},
}


def work(module: Any, kube: Kube) -> dict[str, Any]:
    params = module.params
    user = User(
        app=params["app"],
        namespace=params["namespace"] or params["app"],
        valkey=(params["valkey_namespace"], params["valkey_name"]),
        database=params["database"],
        labels=tuple((key, str(value)) for key, value in params["labels"].items()),
    )
    if params["state"] == "absent":
        plan, version = plan_removal(kube, user, drop_data=params["drop_data"]), ""
    else:
        plan, version = plan_user(kube, user, predict=module.check_mode)
    if not module.check_mode:
        plan.execute()
        version = content_version(kube.get(user.secret))
    return {
        "changed": plan.changed,
        "plan": plan.describe(),
        "diff": plan.diff(),
        "secret": user.secret.name,
        "secret_version": version,
    }


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
