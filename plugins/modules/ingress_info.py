#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ingress_info
short_description: Find the cluster's ingress controller
version_added: 0.1.0
description:
  - Finds the ingress class to use, the load balancer of its controller, and its address and ports. Only reads.
  - k3s brings its controller a while after the node is Ready, so a missing one is waited for.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details: Does not wait in check mode.
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
options:
  ingress_class:
    description: Name of the IngressClass to use; the default one, or the only one, when empty.
    type: str
    default: ""
  wait_timeout:
    description: Seconds to wait for a controller with an address.
    type: int
    default: 180
"""

EXAMPLES = r"""
- name: Find the ingress controller
  railiance.stack.ingress_info:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
  register: ingress
"""

RETURN = r"""
ingress_class:
  description: Name of the ingress class.
  returned: success
  type: str
  sample: traefik
controller:
  description: Controller of the ingress class.
  returned: success
  type: str
  sample: traefik.io/ingress-controller
is_default:
  description: Whether it is the cluster's default class.
  returned: success
  type: bool
service:
  description: The load balancer Service, C(namespace/name).
  returned: success
  type: str
  sample: kube-system/traefik
address:
  description: Address of the load balancer.
  returned: success
  type: str
  sample: 203.0.113.10
ports:
  description: Port name to number.
  returned: success
  type: dict
  sample: {web: 80, websecure: 443}
"""

import time
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator
from ansible_collections.railiance.stack.plugins.module_utils._ingress import Ingress, NotYet, find_ingress
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module

ARGUMENT_SPEC: dict[str, Any] = {
    "ingress_class": {"type": "str", "default": ""},
    "wait_timeout": {"type": "int", "default": 180},
}


def wait_for_ingress(kube: Kube, wanted: str, timeout: float) -> Ingress:
    """:raises NeedsOperator: when there is none in time; installing one is not this collection's decision."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return find_ingress(kube.find("networking.k8s.io/v1", "IngressClass"), kube.find("v1", "Service"), wanted)
        except NotYet as error:
            if time.monotonic() >= deadline:
                raise NeedsOperator(error.message, error.hint) from error
        time.sleep(0.5)


def work(module: Any, kube: Kube) -> dict[str, Any]:
    if not kube.exists:
        wanted = module.params["ingress_class"]
        return {"changed": False, **Ingress(wanted, "", False, "", "", {}).as_dict()}
    timeout = 0 if module.check_mode else module.params["wait_timeout"]
    return {"changed": False, **wait_for_ingress(kube, module.params["ingress_class"], timeout).as_dict()}


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
