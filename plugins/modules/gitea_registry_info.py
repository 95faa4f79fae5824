#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gitea_registry_info
short_description: What a Gitea's registry holds, how it grows and where its bytes lie
version_added: 0.1.0
description:
  - Lists images and Python wheels with versions, digests and sizes. A blob that several versions share counts once.
  - Tells how much came in the last day, week and month and is still there.
  - Looks in Gitea's pod where the packages lie, how much that takes and how full the disk is. What the folder holds
    beyond the listed packages belongs to owners that were not asked for, or waits for Gitea's own clean-up.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.registry
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
requirements:
  - kubernetes
options:
  owners:
    description: Organisations or users whose packages are listed.
    type: list
    elements: str
    required: true
  types:
    description: Types of packages.
    type: list
    elements: str
    choices: [container, pypi]
    default: [container, pypi]
  namespace:
    description: Namespace of Gitea.
    type: str
    default: gitea
  deployment:
    description: Deployment that runs Gitea. Without it in the cluster nothing is said about the storage.
    type: str
    default: gitea
  container:
    description: Container of that Deployment.
    type: str
    default: gitea
  storage_path:
    description: Folder of the packages in the pod; looked for where Gitea's images have it unless given.
    type: path
  alert_size_mb:
    description: Warn when the registry takes more; 0 for never.
    type: int
    default: 0
  alert_growth_mb:
    description: Warn when more came in seven days; 0 for never.
    type: int
    default: 0
  alert_free_percent:
    description: Warn when less of the disk is free; 0 for never.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: Look at the registry
  railiance.stack.gitea_registry_info:
    registry: gitea.example.org
    owners: [apps]
    token_secret: {namespace: gitea, name: gitea-bot-token}
  register: registry

- name: Show what takes how much
  ansible.builtin.debug:
    msg: "{{ registry.packages | sort(attribute='size', reverse=true) | map(attribute='name') }}"
"""

RETURN = r"""
packages:
  description: One entry a package, its versions newest first.
  returned: success
  type: list
  elements: dict
  sample:
    - owner: apps
      type: container
      name: site
      size: 81234567
      newest: "2026-01-02T03:04:05+00:00"
      oldest: "2026-01-01T03:04:05+00:00"
      versions:
        - version: latest
          digest: sha256:3fc9b689459d738f8c88a3a48aa9e33542016b7a4052e001aaa536fca74813cb
          children: []
          created: "2026-01-02T03:04:05+00:00"
          size: 81234567
          page: https://gitea.example.org/apps/-/packages/container/site/latest
totals:
  description: Number of packages and versions, bytes of all of them, and bytes that sharing saves.
  returned: success
  type: dict
  sample: {"packages": 2, "versions": 9, "size": 181234567, "shared": 421234567}
growth:
  description: Versions and bytes that came in the last days and are still there.
  returned: success
  type: dict
  sample:
    1d: {versions: 1, size: 1200}
    7d: {versions: 3, size: 3600}
    30d: {versions: 9, size: 9000}
storage:
  description:
    - Where all owners' packages lie. Folder in the pod, bytes and files in it, size and free space of its disk, and the
      claim, volume and folder on the node behind it.
    - Empty when Gitea does not run in this cluster or keeps packages elsewhere.
  returned: success
  type: dict
  sample:
    path: /var/lib/gitea/data/packages
    size: 201234567
    files: 61
    disk_size: 10737418240
    disk_free: 9737418240
    claim: gitea/gitea-data
    volume: pvc-0d1c5f7a
    node_path: /var/lib/rancher/k3s/storage/pvc-0d1c5f7a_gitea_gitea-data
alerts:
  description: One sentence for each limit that is passed.
  returned: success
  type: list
  elements: str
"""

import datetime
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._gitea import find_pod
from ansible_collections.railiance.stack.plugins.module_utils._http import HttpsTransport
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._packages import TYPES, Packages
from ansible_collections.railiance.stack.plugins.module_utils._registry_info import (
    Limits,
    alerts,
    growth,
    look_at_storage,
    packages,
    totals,
)
from ansible_collections.railiance.stack.plugins.module_utils._registry_login import (
    LOGIN_RULES,
    REGISTRY_ARG_SPEC,
    login_of,
)

ARGUMENT_SPEC: dict[str, Any] = {
    **REGISTRY_ARG_SPEC,
    "owners": {"type": "list", "elements": "str", "required": True},
    "types": {"type": "list", "elements": "str", "choices": list(TYPES), "default": list(TYPES)},
    "namespace": {"type": "str", "default": "gitea"},
    "deployment": {"type": "str", "default": "gitea"},
    "container": {"type": "str", "default": "gitea"},
    "storage_path": {"type": "path"},
    "alert_size_mb": {"type": "int", "default": 0},
    "alert_growth_mb": {"type": "int", "default": 0},
    "alert_free_percent": {"type": "int", "default": 10},
}


def work(module: Any, kube: Kube) -> dict[str, Any]:
    options = module.params
    http = HttpsTransport(
        f"https://{options['registry']}", ca_file=options["ca_file"] or "", address=options["address"] or ""
    )
    api = Packages(http, login_of(options))
    versions = [version for owner in options["owners"] for version in api.versions(owner, options["types"])]
    namespace, deployment = options["namespace"], options["deployment"]
    pod = find_pod(kube, namespace, deployment, options["container"])
    result: dict[str, Any] = {
        "changed": False,
        "packages": packages(versions),
        "totals": totals(versions),
        "growth": growth(versions, datetime.datetime.now(datetime.UTC)),
        "storage": look_at_storage(kube, pod, namespace, deployment, options["storage_path"] or "") if pod else {},
    }
    limits = Limits(options["alert_size_mb"], options["alert_growth_mb"], options["alert_free_percent"])
    result["alerts"] = alerts(result, limits)
    for alert in result["alerts"]:
        module.warn(alert)
    return result


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work, **LOGIN_RULES)


if __name__ == "__main__":
    main()
