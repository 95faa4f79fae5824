#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_remove
short_description: Remove an application from the cluster
version_added: 0.1.0
description:
  - Removes what serves, from the outside in. First the Ingress, then the Helm release, then the certificate.
  - Secrets, configuration, volumes and the namespace stay unless O(drop_data) is true, so that the same entry brings
    the application back as it was. Its database is M(railiance.stack.cnpg_app_db)'s.
  - An application is known by its labels, so one without an entry can be removed as well.
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
    description: Its namespace; where it was released when not given.
    type: str
  entries:
    description:
      - Names of the applications that have an entry.
      - When given, an application that is none of them, and of which nothing is in the cluster, is refused.
    type: list
    elements: str
  drop_data:
    description: Also remove its Secrets, configuration and volumes, and its namespace when nothing of others is in it.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait for Helm, and for a namespace to go.
    type: int
    default: 300
  binary_path:
    description: Helm on the node.
    type: path
    default: /usr/local/bin/helm
"""

EXAMPLES = r"""
- name: Remove an application and keep its data
  railiance.stack.release_remove:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    app: vergabe-teilnahme
"""

RETURN = r"""
plan:
  description: The steps, C(action), C(target) and C(note); empty when nothing is to do.
  returned: success
  type: list
  elements: dict
namespace:
  description: The namespace it was found in.
  returned: success
  type: str
databases:
  description: Its databases, C(cluster), C(namespace), C(name) and C(owner); they are not touched.
  returned: success
  type: list
  elements: dict
"""

import tempfile
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._helm import (
    Chart,
    Helm,
    environment,
    subprocess_runner,
)
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan
from ansible_collections.railiance.stack.plugins.module_utils._release import Look, Wanted
from ansible_collections.railiance.stack.plugins.module_utils._remove import check_known, databases_of, deletions

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "entries": {"type": "list", "elements": "str"},
    "drop_data": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 300},
    "binary_path": {"type": "path", "default": "/usr/local/bin/helm"},
}


def work(module: Any, kube: Kube, make_runner: Any = subprocess_runner) -> dict[str, Any]:
    params = module.params
    look = Look(kube)
    if params["entries"] is not None:
        check_known(look, params["app"], params["entries"])
    namespace = params["namespace"] or look.namespace_of(params["app"])
    wanted = Wanted(params["app"], namespace)
    found = look.objects(wanted)
    outside, inside = deletions(kube, wanted, found, params["drop_data"], params["wait_timeout"])
    chart = Chart(
        name=params["app"],
        namespace=namespace,
        path="",
        values={},
        binary=params["binary_path"],
        options=["--kube-context", params["context"]] if params.get("context") else [],
        wait=True,
        timeout=params["wait_timeout"],
    )
    with tempfile.TemporaryDirectory(prefix="release-remove-") as folder:
        helm = Helm(kube, make_runner(environment(params, folder)))
        plan = Plan([*outside, *helm.plan_removal(chart).steps, *inside])
        result = {
            "changed": plan.changed,
            "plan": plan.describe(),
            "diff": plan.diff(),
            "namespace": namespace,
            "databases": databases_of(look.everything(params["app"])),
        }
        if module.check_mode:
            return result
        plan.execute()
    return result


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
