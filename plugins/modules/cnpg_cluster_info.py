#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cnpg_cluster_info
short_description: Show what a CloudNativePG cluster holds and has left
version_added: 0.1.0
description:
  - Databases with owner and size, roles, connections, storage and the last backup of one cluster or of all in a
    namespace.
  - Figures come from PostgreSQL itself, with psql in the primary's pod. Of a cluster that is hibernated, fenced, a
    replica or not healthy only what its objects say is returned, and why.
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
  cluster:
    description: Name of the cluster; all of the namespace when not given.
    type: str
  cluster_namespace:
    description: Namespace of the clusters.
    type: str
    default: databases
"""

EXAMPLES = r"""
- name: Look at the shared cluster
  railiance.stack.cnpg_cluster_info:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    cluster: apps-pg
  register: pg

- name: Say what is left for another application
  ansible.builtin.debug:
    msg: "{{ pg.clusters[0].connections.unpromised }} connections"
"""

RETURN = r"""
clusters:
  description:
    - The clusters, in the order of the API.
    - C(problem) says why PostgreSQL was not asked; sizes and connections are V(none) then.
    - C(connections) counts those of clients. C(free) could be opened now; C(unpromised) is what C(max)
      leaves after the reserved ones, the limits of roles and the connections in use of roles without a limit.
    - C(storage.used_bytes) is the sum of databases and write-ahead log.
    - C(last_backup) is that of CloudNativePG's own objects; a dump by other means is not known to it.
  returned: success
  type: list
  elements: dict
  sample:
    - name: apps-pg
      namespace: databases
      version: "17.5"
      healthy: true
      phase: Cluster in healthy state
      problem: ""
      primary: apps-pg-1
      instances: 1
      ready_instances: 1
      databases:
        - {name: shop, owner: shop, size_bytes: 7680147, connection_limit: -1, connections: 2, app: shop}
      roles:
        - name: shop
          login: true
          superuser: false
          connections: 2
          connection_limit: 20
          app: shop
          described: databaserole
      connections: {max: 100, reserved: 3, used: 6, free: 91, unpromised: 73}
      storage: {size: 10Gi, storage_class: "", used_bytes: 40894567}
      last_backup: ""
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._cnpg_cluster_info import clusters_of, describe
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module

ARGUMENT_SPEC: dict[str, Any] = {
    "cluster": {"type": "str"},
    "cluster_namespace": {"type": "str", "default": "databases"},
}


def work(module: Any, kube: Kube) -> dict[str, Any]:
    clusters = clusters_of(kube, module.params["cluster_namespace"], module.params["cluster"])
    return {"changed": False, "clusters": [describe(kube, cluster) for cluster in clusters]}


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
