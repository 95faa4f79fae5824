#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cnpg_app_db
short_description: Give an application its own database on a shared CloudNativePG cluster
version_added: 0.1.0
description:
  - Creates a role with a generated password, a database owned by it, the credentials as Secrets for the operator and
    for the application, and the network label of the application's namespace.
  - Takes the right to connect from everybody but the owner, logs in with the application's own Secret from the
    application's namespace and returns what the server said.
  - The password is generated once and kept. It never leaves the cluster, is not returned and not shown in a diff.
  - The proof is recorded with the application's Secret. As long as role, database, credentials and cluster are the same
    (a restore makes another cluster, a failover another timeline) it stands, and nothing but reads happen.
  - Objects that exist already, under whatever name, are taken over when role, owner and database agree, and refused
    otherwise.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details:
      - Changes are foretold by the server's own dry run. Whether a database exists that no object describes is read
        with psql in the primary's pod.
  diff_mode:
    support: full
    details: The values of Secrets are hidden.
  idempotent:
    support: partial
    details: O(rotate=true) makes a new password every time.
options:
  cluster:
    description: Name of the CloudNativePG cluster.
    type: str
    required: true
  cluster_namespace:
    description: Namespace of the cluster.
    type: str
    default: databases
  app:
    description: Name of the application, a DNS label.
    type: str
    required: true
  namespace:
    description: Namespace of the application; its name when not given.
    type: str
  database:
    description: Database; the application's name with underscores when not given.
    type: str
  owner:
    description: Role that owns the database, and no other; the database's name when not given.
    type: str
  secret_name:
    description:
      - Secret for the application in its namespace, with the keys C(DATABASE_URL), C(username), C(password), C(host),
        C(port) and C(dbname). C(<app>-db) when not given.
    type: str
  state:
    description:
      - V(absent) removes the objects and credentials of the application.
      - The database and the role themselves stay in PostgreSQL unless O(drop_data) is true.
    type: str
    choices: [present, absent]
    default: present
  drop_data:
    description: With O(state=absent), also drop the database, then the role.
    type: bool
    default: false
  rotate:
    description:
      - Generate a new password. Running pods keep their open connections and fail to open new ones until they are
        restarted with the new Secret.
    type: bool
    default: false
  role_api:
    description:
      - How the role is described. V(auto) uses a C(DatabaseRole) where the cluster serves it (CloudNativePG 1.30) and
        leaves a role that is already described in the Cluster there.
      - V(inline) allows this module to write C(spec.managed.roles) of the Cluster, which is the platform's object.
    type: str
    choices: [auto, databaserole, inline]
    default: auto
  connection_limit:
    description: Connections the role may have at once; -1 for no limit.
    type: int
    default: -1
  encoding:
    description: Encoding of a new database; cannot be changed.
    type: str
  locale:
    description: Locale of a new database; cannot be changed.
    type: str
  template:
    description: Template of a new database; cannot be changed.
    type: str
  extensions:
    description: Extensions of the database; those that are not named are left alone.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the extension.
        type: str
        required: true
      ensure:
        description: Whether it is there.
        type: str
        choices: [present, absent]
        default: present
      version:
        description: Its version; the server's default when not given.
        type: str
      schema:
        description: Schema of its objects.
        type: str
  create_namespace:
    description: Create the application's namespace when it does not exist.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait for each of cluster, role, database and login.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Give the application its database
  railiance.stack.cnpg_app_db:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    cluster: apps-pg
    app: vergabe-teilnahme
  register: database

- name: Show who may connect
  ansible.builtin.debug:
    msg: "{{ database.proof.database }} may be used by {{ database.proof.may_connect | join(', ') }}"

- name: Let the module write the role into the Cluster of an operator before 1.30
  railiance.stack.cnpg_app_db:
    cluster: apps-pg
    app: vergabe-teilnahme
    role_api: inline

- name: Remove the application with its data
  railiance.stack.cnpg_app_db:
    cluster: apps-pg
    app: vergabe-teilnahme
    state: absent
    drop_data: true
"""

RETURN = r"""
plan:
  description: What was done, or would be done in check mode, in this order.
  returned: always
  type: list
  elements: dict
  sample:
    - {action: create, target: Secret databases/apps-pg-role-vergabe-teilnahme, note: a new password is generated}
secret:
  description: Name of the application's Secret in its namespace.
  returned: O(state=present)
  type: str
  sample: vergabe-teilnahme-db
secret_version:
  description:
    - Stands for the credentials in that Secret; it changes exactly when they do, so that pods can be restarted then.
    - C(known afterwards) in check mode when they would change.
  returned: O(state=present)
  type: str
database:
  description: Name of the database.
  returned: always
  type: str
owner:
  description: Name of the owner role.
  returned: always
  type: str
host:
  description: Host the application connects to.
  returned: always
  type: str
  sample: apps-pg-rw.databases
server_version:
  description: PostgreSQL's version, empty before the first login.
  returned: O(state=present)
  type: str
  sample: "17.5"
proof:
  description:
    - What the server said to the application's own login, at the last change.
    - V(none) in check mode when there was no login yet.
  returned: O(state=present)
  type: dict
  sample:
    user: vergabe_teilnahme
    database: vergabe_teilnahme
    owner: vergabe_teilnahme
    server_version: "17.5"
    acl: ["vergabe_teilnahme=CTc/vergabe_teilnahme"]
    public_connect: false
    closed_now: true
    may_connect: [vergabe_teilnahme]
    superusers: [postgres]
    privileges: []
    memberships: []
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._cnpg import Wanted
from ansible_collections.railiance.stack.plugins.module_utils._cnpg_app_db import AppDatabase
from ansible_collections.railiance.stack.plugins.module_utils._cnpg_proof import others
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module

_SETTINGS = ("encoding", "locale", "template", "extensions")

ARGUMENT_SPEC: dict[str, Any] = {
    "cluster": {"type": "str", "required": True},
    "cluster_namespace": {"type": "str", "default": "databases"},
    "app": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "database": {"type": "str"},
    "owner": {"type": "str"},
    "secret_name": {"type": "str", "no_log": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "drop_data": {"type": "bool", "default": False},
    "rotate": {"type": "bool", "default": False},
    "role_api": {"type": "str", "choices": ["auto", "databaserole", "inline"], "default": "auto"},
    "connection_limit": {"type": "int", "default": -1},
    "encoding": {"type": "str"},
    "locale": {"type": "str"},
    "template": {"type": "str"},
    "extensions": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "ensure": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "version": {"type": "str"},
            "schema": {"type": "str"},
        },
    },
    "create_namespace": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 120},
}


def wanted_of(params: dict[str, Any]) -> Wanted:
    """The options with their defaults filled in."""
    app = params["app"]
    database = params["database"] or app.replace("-", "_")
    settings = {key: params[key] for key in _SETTINGS if params[key] is not None}
    if "extensions" in settings:
        settings["extensions"] = [
            {key: value for key, value in extension.items() if value is not None}
            for extension in settings["extensions"]
        ]
    return Wanted(
        cluster=params["cluster"],
        cluster_namespace=params["cluster_namespace"],
        app=app,
        namespace=params["namespace"] or app,
        database=database,
        owner=params["owner"] or database,
        secret=params["secret_name"] or f"{app}-db",
        role_api=params["role_api"],
        connection_limit=params["connection_limit"],
        settings=settings,
        create_namespace=params["create_namespace"],
        timeout=params["wait_timeout"],
    )


def work(module: Any, kube: Kube) -> dict[str, Any]:
    wanted = wanted_of(module.params)
    app_database = AppDatabase(kube, wanted)
    present = module.params["state"] == "present"
    plan = (
        app_database.plan_present(module.params["rotate"])
        if present
        else app_database.plan_absent(module.params["drop_data"])
    )
    if not module.check_mode:
        plan.execute()
    result = {
        "changed": plan.changed,
        "plan": plan.describe(),
        "diff": plan.diff(),
        "database": wanted.database,
        "owner": wanted.owner,
        "host": wanted.host,
    }
    if not present:
        return result
    proof = app_database.proof
    if proof and others(wanted, proof):
        module.warn(
            f"Beside '{wanted.owner}' may connect to database '{wanted.database}', each by a grant of its own: "
            + ", ".join(others(wanted, proof))
        )
    return {
        **result,
        "secret": wanted.secret,
        "secret_version": app_database.secret_version,
        "server_version": (proof or {}).get("server_version", ""),
        "proof": proof,
    }


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
