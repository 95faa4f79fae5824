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
  - Who may connect and what the role may is read from PostgreSQL in every run, because a restore opens a database
    again.
  - Objects that exist already, under whatever name, are taken over when role, owner and database agree, and refused
    otherwise. A password that the application already has in its Secret is kept.
  - New credentials come to the running application by a rolling restart of every Deployment, StatefulSet and DaemonSet
    in its namespace that uses the Secret. A run that was cut off anywhere is completed by the next one.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details:
      - Changes are foretold by the server's own dry run. What PostgreSQL knows is read with psql in the primary's pod.
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
      - Generate a new password, in every run with this option; O(generation) does so once.
      - The order is the operator's Secret, the role, the application's Secret, the workloads that use it, then a login
        with the new password and one with the old, which must be refused.
      - A role has one password. Running pods keep their open connections and fail to open new ones until they are
        replaced; how long that was is returned in RV(rotation).
    type: bool
    default: false
  generation:
    description:
      - Generation of the password. A higher number than that of the password in use generates a new one, once; a lower
        one is refused.
      - A password that was made without a number is of generation 0.
    type: int
  role_api:
    description:
      - How the role is described. V(auto) uses a C(DatabaseRole) where the cluster serves it (CloudNativePG 1.30) and
        leaves a role that is already described in the Cluster there.
      - V(inline) allows this module to write C(spec.managed.roles) of the Cluster, which is the platform's object.
    type: str
    choices: [auto, databaserole, inline]
    default: auto
  connection_limit:
    description:
      - Connections the role may have at once; -1 for no limit.
      - More than the cluster has left is refused with the sentence to send to its owner.
      - Left is what C(max_connections) leaves after the reserved ones, after the limits of other roles and after the
        connections in use of those that have no limit.
    type: int
    default: -1
  database_connection_limit:
    description: Connections the database may have at once; -1 for no limit, and what is there when not given.
    type: int
  reclaim_policy:
    description:
      - What becomes of role and database when somebody else deletes their objects.
      - With O(state=absent) only O(drop_data) decides.
    type: str
    choices: [retain, delete]
    default: retain
  adopt:
    description:
      - Take over a database that is owned by another role, with everything that role owns in it.
      - The old role stays, without access. A database that is labelled as another application's is never taken.
    type: bool
    default: false
  encoding:
    description: Encoding of a new database; cannot be changed.
    type: str
  locale:
    description: Locale of a new database; cannot be changed.
    type: str
  locale_provider:
    description: Locale provider of a new database; cannot be changed.
    type: str
  locale_collate:
    description: Collation of a new database; cannot be changed.
    type: str
  locale_ctype:
    description: Character classes of a new database; cannot be changed.
    type: str
  icu_locale:
    description: ICU locale of a new database; cannot be changed.
    type: str
  icu_rules:
    description: Additional ICU collation rules of a new database; cannot be changed.
    type: str
  builtin_locale:
    description: Locale of the builtin provider of a new database; cannot be changed.
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
  schemas:
    description: Schemas of the database; those that are not named are left alone.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the schema.
        type: str
        required: true
      owner:
        description: Role that owns it; the database's owner when not given.
        type: str
      ensure:
        description: Whether it is there.
        type: str
        choices: [present, absent]
        default: present
  create_namespace:
    description: Create the application's namespace when it does not exist.
    type: bool
    default: true
  wait:
    description:
      - Wait for the operator, and prove the login. Without it the next run that waits does both.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait for each of cluster, role, database, workload and login.
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

- name: Give it a new password, once
  railiance.stack.cnpg_app_db:
    cluster: apps-pg
    app: vergabe-teilnahme
    generation: 2
  register: database

- name: Say what that cost
  ansible.builtin.debug:
    msg: "{{ database.rotation.window_seconds }} s in which new connections with the old password failed"
  when: database.rotation

- name: Take over a database that was made by hand
  railiance.stack.cnpg_app_db:
    cluster: apps-pg
    app: legacy
    database: legacy_production
    owner: legacy
    adopt: true

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
role_api:
  description: How the role is described, C(databaserole) or C(inline).
  returned: always
  type: str
rotation:
  description:
    - What a change of the application's credentials did; V(none) when they did not change.
    - C(window_seconds) is measured from the new password in PostgreSQL to the last workload that has it. In
      that time a pod that opens a new connection fails; open ones last. V(none) when it is not known.
    - C(old_login) is C(not known) when a run completes what one before it began, which had the old password.
  returned: O(state=present)
  type: dict
  sample:
    restarted: [Deployment vergabe-teilnahme/vergabe-teilnahme]
    window_seconds: 9.4
    new_login: accepted
    old_login: refused
proof:
  description:
    - What the server said to the application's own login at the last change, and who may connect now.
    - V(none) when there was no login yet.
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

#: Options that are fields of the Database, and what the API calls them.
_SETTINGS = {
    "database_connection_limit": "connectionLimit",
    "encoding": "encoding",
    "locale": "locale",
    "locale_provider": "localeProvider",
    "locale_collate": "localeCollate",
    "locale_ctype": "localeCType",
    "icu_locale": "icuLocale",
    "icu_rules": "icuRules",
    "builtin_locale": "builtinLocale",
    "template": "template",
    "extensions": "extensions",
    "schemas": "schemas",
}

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
    "generation": {"type": "int"},
    "role_api": {"type": "str", "choices": ["auto", "databaserole", "inline"], "default": "auto"},
    "connection_limit": {"type": "int", "default": -1},
    "database_connection_limit": {"type": "int"},
    "reclaim_policy": {"type": "str", "choices": ["retain", "delete"], "default": "retain"},
    "adopt": {"type": "bool", "default": False},
    "encoding": {"type": "str"},
    "locale": {"type": "str"},
    "locale_provider": {"type": "str"},
    "locale_collate": {"type": "str"},
    "locale_ctype": {"type": "str"},
    "icu_locale": {"type": "str"},
    "icu_rules": {"type": "str"},
    "builtin_locale": {"type": "str"},
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
    "schemas": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "owner": {"type": "str"},
            "ensure": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
    },
    "create_namespace": {"type": "bool", "default": True},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 120},
}


def wanted_of(params: dict[str, Any]) -> Wanted:
    """The options with their defaults filled in."""
    app = params["app"]
    database = params["database"] or app.replace("-", "_")
    owner = params["owner"] or database
    settings = {field: params[key] for key, field in _SETTINGS.items() if params[key] is not None}
    for field in ("extensions", "schemas"):
        if field in settings:
            settings[field] = [{key: value for key, value in it.items() if value is not None} for it in settings[field]]
    for schema in settings.get("schemas", []):
        schema.setdefault("owner", owner)
    return Wanted(
        cluster=params["cluster"],
        cluster_namespace=params["cluster_namespace"],
        app=app,
        namespace=params["namespace"] or app,
        database=database,
        owner=owner,
        secret=params["secret_name"] or f"{app}-db",
        role_api=params["role_api"],
        connection_limit=params["connection_limit"],
        settings=settings,
        reclaim_policy=params["reclaim_policy"],
        adopt=params["adopt"],
        create_namespace=params["create_namespace"],
        wait=params["wait"],
        timeout=params["wait_timeout"],
    )


def work(module: Any, kube: Kube) -> dict[str, Any]:
    wanted = wanted_of(module.params)
    app_database = AppDatabase(kube, wanted)
    present = module.params["state"] == "present"
    plan = (
        app_database.plan_present(module.params["rotate"], module.params["generation"])
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
        "role_api": app_database.role_api,
    }
    if not present:
        return result
    for warning in app_database.warnings:
        module.warn(warning)
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
        "rotation": app_database.rotation,
    }


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
