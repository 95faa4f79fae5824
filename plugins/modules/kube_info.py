#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_info
short_description: Read objects of one kind
version_added: 0.1.0
description:
  - Reads one object or all of a kind; a kind or namespace that does not exist yet is an empty answer.
  - Reads the kubeconfig where it runs, on the node, whatever the connection and whoever called Ansible. The action
    plugin of M(kubernetes.core.k8s_info) prefers a file of the same name on the controller.
  - Values of Secrets are hidden.
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
  api_version:
    description: API group and version.
    type: str
    default: v1
  kind:
    description: Kind of the objects.
    type: str
    required: true
  name:
    description: Name of one object; all of the kind when not given.
    type: str
  namespace:
    description: Namespace; all namespaces when not given.
    type: str
  label_selector:
    description: Selects by labels, in kubectl's words.
    type: str
"""

EXAMPLES = r"""
- name: Look at the database clusters
  railiance.stack.kube_info:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    api_version: postgresql.cnpg.io/v1
    kind: Cluster
    namespace: databases
  register: clusters
"""

RETURN = r"""
resources:
  description: The objects, in the API's own shape.
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Ref, masked, run_cluster_module

ARGUMENT_SPEC: dict[str, Any] = {
    "api_version": {"type": "str", "default": "v1"},
    "kind": {"type": "str", "required": True},
    "name": {"type": "str"},
    "namespace": {"type": "str"},
    "label_selector": {"type": "str"},
}


def work(module: Any, kube: Kube) -> dict[str, Any]:
    params = module.params
    if params["name"]:
        found = kube.get(Ref(params["api_version"], params["kind"], params["name"], params["namespace"]))
        resources = [] if found is None else [found]
    else:
        resources = kube.find(params["api_version"], params["kind"], params["namespace"], params["label_selector"])
    return {"changed": False, "resources": [masked(resource, None)[0] for resource in resources]}


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
