#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: argocd_info
short_description: Look at Argo CD and its Applications
version_added: 0.1.0
description:
  - Says whether Argo CD is installed, whether its components are ready, and how each Application is.
  - Only reads. Argo CD that is not installed is a fine answer.
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
options: {}
"""

EXAMPLES = r"""
- name: Look at Argo CD
  railiance.stack.argocd_info:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
  register: argocd
"""

RETURN = r"""
report:
  description: The findings; C(state) is V(absent), V(healthy) or V(degraded).
  returned: success
  type: dict
  sample:
    state: healthy
    namespace: argocd
    version: v3.1.0
    components:
      - {kind: Deployment, name: argocd-server, ready: true}
    applications:
      - {name: shop, namespace: argocd, health: Healthy, sync: Synced, revision: 4f2c1a9, message: ""}
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._argocd import report
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module


def work(module: Any, kube: Kube) -> dict[str, Any]:
    return {"changed": False, "report": report(kube)}


def main() -> None:
    run_cluster_module({}, work)


if __name__ == "__main__":
    main()
