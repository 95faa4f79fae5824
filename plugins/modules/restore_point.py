#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_point
short_description: Keep and put back restore points of an application's database
version_added: 0.1.0
description:
  - Takes a dump of one consistent moment, encrypts it on the way and keeps it on the host this runs on. No plain text
    is written down, and no more than a few MiB of it are held in memory.
  - Every restore point is verified before it counts. It is decrypted and read to its last row by PostgreSQL, and the
    rows of each table are compared with those that were counted in the same moment.
  - PostgreSQL's programs run in a pod of the application's namespace, with the cluster's own image and the
    application's own Secret.
  - With O(state=restored), everything that the application's role owns in its database is replaced in one
    transaction. It is committed only when every table has the rows and the checksum that were recorded.
  - A restore point is for going back over a migration. It is no backup, because it stays on the host.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details:
      - Nothing is run in the cluster. Name and size of a new restore point are known afterwards.
      - With O(state=restored), the file is compared with its recorded checksum, and its key is looked for.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: Each run with O(state=present) takes another restore point, each run with O(state=restored) restores again.
requirements:
  - C(age) and C(age-keygen) on the host (role P(railiance.stack.restore_point#role) installs them)
options:
  app:
    description: Name of the application, a DNS label.
    type: str
    required: true
  namespace:
    description: Namespace of the application; its name when not given.
    type: str
  cluster:
    description: Name of the CloudNativePG cluster.
    type: str
    required: true
  cluster_namespace:
    description: Namespace of the cluster.
    type: str
    default: databases
  database:
    description: Database; the one that the Secret leads to when not given.
    type: str
  secret:
    description:
      - Secret of the application with the keys C(username), C(password), C(host), C(port) and C(dbname), as
        M(railiance.stack.cnpg_app_db) makes it. C(<app>-db) when not given.
    type: str
  state:
    description:
      - V(present) takes a new restore point.
      - V(restored) puts the one named O(name) back, after it has taken another one of what is there now.
      - V(absent) removes the one named O(name).
    type: str
    choices: [present, restored, absent]
    default: present
  name:
    description: Name of a restore point, as it was returned when it was taken.
    type: str
  reason:
    description: Why it is taken; kept in its record.
    type: str
    default: ""
  directory:
    description: Directory on the host, mode 0700.
    type: path
    default: /var/lib/railiance/restore-points
  recipients:
    description:
      - Public keys of age that the restore point is encrypted to. Restoring needs the private key of one of them.
      - When there are none, the public key to O(identity) is used.
    type: list
    elements: str
    default: []
  identity:
    description:
      - File on the host with the private key. Without O(recipients) it is generated once, mode 0600.
      - It must be copied off the host. Whoever has it can read the restore points; without it nobody can.
    type: path
    default: /etc/railiance/restore-points.key
  keep:
    description: How many restore points of the application are kept, older ones are removed; 0 keeps all.
    type: int
    default: 10
  min_free:
    description:
      - MiB that must stay free in O(directory), beside what the restore point will take.
      - It is expected to take as much as the last one of the same database, or else as much as the tables.
    type: int
    default: 512
  confirm_overwrite:
    description: With O(state=restored), the name of the database whose content is given up. Without it nothing is done.
    type: str
    default: ""
  writers:
    description:
      - What happens to the Deployments, StatefulSets and CronJobs of O(namespace) with O(state=restored).
      - V(restart) stops them and starts them again as they were, also when the restore fails.
      - V(stop) leaves them stopped, for the release of a version that fits the restored schema.
      - V(leave) does not touch them. The restore is refused while anybody is connected.
    type: str
    choices: [restart, stop, leave]
    default: restart
  timeout:
    description: Seconds for a dump and its verification, and again for a restore.
    type: int
    default: 3600
  wait_timeout:
    description: Seconds to wait for each workload to stop and to start.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Take a restore point before something irreversible
  railiance.stack.restore_point:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    cluster: apps-pg
    app: vergabe-teilnahme
    reason: before migration shop.0007_drop_legacy
  register: before

- name: Go back to it, and let the application run again
  railiance.stack.restore_point:
    cluster: apps-pg
    app: vergabe-teilnahme
    state: restored
    name: "{{ before.restore_point.name }}"
    confirm_overwrite: vergabe_teilnahme

- name: Remove it
  railiance.stack.restore_point:
    cluster: apps-pg
    app: vergabe-teilnahme
    state: absent
    name: "{{ before.restore_point.name }}"
"""

RETURN = r"""
restore_point:
  description:
    - The restore point that was taken, or put back. In check mode, what is not known yet reads C(known afterwards).
  returned: O(state=present) or O(state=restored)
  type: dict
  sample:
    name: vergabe-teilnahme-20261121T105049Z-4f2c1a
    path: /var/lib/railiance/restore-points/vergabe-teilnahme-20261121T105049Z-4f2c1a.dump.age
    sha256: 9b1c7c4d5f0f6b6a6a2b1f7a3f0d6f5e8c1e2d3c4b5a69788796a5b4c3d2e1f0
    size: 48213
    created: "2026-11-21T10:50:49Z"
    reason: before migration shop.0007_drop_legacy
    database: vergabe_teilnahme
    server_version: "17.5"
    tables: {public.shop_item: 1200}
    checksums: {public.shop_item: "-33691413191029633998"}
    recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
    images: {vergabe-teilnahme/app: "git.example.org/apps/vergabe-teilnahme@sha256:…"}
safety:
  description: The restore point of what was there before; the same fields.
  returned: O(state=restored), not in check mode
  type: dict
replaced:
  description: Of each table, the rows before and after, and whether its content is another one now.
  returned: O(state=restored), not in check mode
  type: dict
  sample:
    public.shop_item: {rows_before: 1180, rows_after: 1200, different: true}
removed:
  description: Names of the restore points that were removed.
  returned: always
  type: list
  elements: str
plan:
  description: What was done, or would be done in check mode, in this order.
  returned: always
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._restore import (
    KNOWN_AFTERWARDS,
    RestorePoints,
    Wanted,
    replaced,
)
from ansible_collections.railiance.stack.plugins.module_utils._restore_store import Record, Store

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "cluster": {"type": "str", "required": True},
    "cluster_namespace": {"type": "str", "default": "databases"},
    "database": {"type": "str"},
    "secret": {"type": "str", "no_log": False},
    "state": {"type": "str", "choices": ["present", "restored", "absent"], "default": "present"},
    "name": {"type": "str"},
    "reason": {"type": "str", "default": ""},
    "directory": {"type": "path", "default": "/var/lib/railiance/restore-points"},
    "recipients": {"type": "list", "elements": "str", "default": []},
    "identity": {"type": "path", "default": "/etc/railiance/restore-points.key"},
    "keep": {"type": "int", "default": 10},
    "min_free": {"type": "int", "default": 512},
    "confirm_overwrite": {"type": "str", "default": ""},
    "writers": {"type": "str", "choices": ["restart", "stop", "leave"], "default": "restart"},
    "timeout": {"type": "int", "default": 3600},
    "wait_timeout": {"type": "int", "default": 300},
}


def wanted_of(params: dict[str, Any]) -> Wanted:
    """The options with their defaults filled in."""
    app = params["app"]
    return Wanted(
        app=app,
        namespace=params["namespace"] or app,
        cluster=params["cluster"],
        cluster_namespace=params["cluster_namespace"],
        database=params["database"] or "",
        secret=params["secret"] or f"{app}-db",
        directory=params["directory"],
        identity=params["identity"],
        recipients=params["recipients"],
        reason=params["reason"],
        keep=params["keep"],
        keep_free=params["min_free"] << 20,
        timeout=params["timeout"],
        wait_timeout=params["wait_timeout"],
    )


def shown(store: Store, record: Record | None) -> dict[str, Any]:
    """A restore point as a result; ``None`` is one that is only foretold."""
    if record is None:
        return {"name": KNOWN_AFTERWARDS, "path": KNOWN_AFTERWARDS, "created": KNOWN_AFTERWARDS, "tables": {}}
    return {
        "name": record.name,
        "path": store.path(record.name),
        "sha256": record.sha256,
        "size": record.size,
        "created": record.created,
        "reason": record.reason,
        "database": record.database,
        "server_version": record.server_version,
        "tables": record.rows,
        "checksums": record.checksums,
        "recipients": record.recipients,
        "images": record.images,
    }


def work(module: Any, kube: Kube, points: RestorePoints | None = None) -> dict[str, Any]:
    params = module.params
    points = points or RestorePoints(kube, wanted_of(params), predict=module.check_mode)
    if params["state"] == "present":
        plan = points.plan_present()
    elif params["state"] == "restored":
        plan = points.plan_restored(params["name"], params["confirm_overwrite"], params["writers"])
    else:
        plan = points.plan_absent(params["name"])
    if not module.check_mode:
        try:
            plan.execute()
        except StackError:
            if params["state"] == "restored":
                points.resume_writers()
            raise
    for sentence in points.warnings:
        module.warn(sentence)
    result = {"changed": plan.changed, "plan": plan.describe(), "diff": plan.diff(), "removed": points.removed}
    if params["state"] != "absent":
        result["restore_point"] = shown(points.store, points.record)
    if points.safety and points.record and points.loaded:
        result["safety"] = shown(points.store, points.safety)
        result["replaced"] = replaced(points.safety, points.record)
    return result


def main() -> None:
    run_cluster_module(
        ARGUMENT_SPEC,
        work,
        required_if=[("state", "restored", ["name"]), ("state", "absent", ["name"])],
    )


if __name__ == "__main__":
    main()
