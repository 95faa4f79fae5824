#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_restart
short_description: Replace the pods of a workload and wait for the new ones
version_added: 0.1.0
description:
  - Does what C(kubectl rollout restart) does, waits until the new pods serve, and says which pods went and came.
  - The workload's own strategy decides how; a Deployment that starts a new pod before it ends an old one goes on
    serving.
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
  idempotent:
    support: none
    details: Every run is a restart.
options:
  kind:
    description: Kind of the workload.
    type: str
    choices: [Deployment, StatefulSet, DaemonSet]
    default: Deployment
  name:
    description: Name of the workload.
    type: str
    required: true
  namespace:
    description: Namespace of the workload.
    type: str
    required: true
  wait_timeout:
    description: Seconds to wait for the new pods.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Restart the application
  railiance.stack.kube_restart:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    name: vergabe-teilnahme
    namespace: vergabe-teilnahme
"""

RETURN = r"""
old_pods:
  description: The pods before, C(name), C(ready), C(started) and C(restarts).
  returned: success
  type: list
  elements: dict
  sample: [{name: shop-5d8f4c7b9-x2x4p, ready: true, started: "2026-11-21T09:14:07Z", restarts: 0}]
new_pods:
  description: The pods afterwards; empty in check mode.
  returned: success
  type: list
  elements: dict
plan:
  description: The steps, C(action), C(target) and C(note).
  returned: success
  type: list
  elements: dict
"""

import time
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Ref, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._pods import (
    describe,
    plan_restart,
    pods_of,
    read_workload,
    wait_rolled_out,
)

ARGUMENT_SPEC: dict[str, Any] = {
    "kind": {"type": "str", "choices": ["Deployment", "StatefulSet", "DaemonSet"], "default": "Deployment"},
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "wait_timeout": {"type": "int", "default": 300},
}


def work(module: Any, kube: Kube) -> dict[str, Any]:
    params = module.params
    ref = Ref("apps/v1", params["kind"], params["name"], params["namespace"])
    old = pods_of(kube, read_workload(kube, ref))
    # To the microsecond: two restarts within a second are two.
    now = time.time_ns()
    fraction = now // 1000 % 1_000_000
    plan = plan_restart(kube, ref, f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 10**9))}.{fraction:06}Z")
    result = {
        "changed": plan.changed,
        "plan": plan.describe(),
        "diff": plan.diff(),
        "old_pods": [describe(pod) for pod in old],
        "new_pods": [],
    }
    if module.check_mode:
        return result
    plan.execute()
    new = wait_rolled_out(kube, ref, params["wait_timeout"])
    return {**result, "new_pods": [describe(pod) for pod in new]}


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
