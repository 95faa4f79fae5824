#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_trial
short_description: Ask a pod of a new version everything before visitors can meet it
version_added: 0.1.0
description:
  - Starts one pod as the Deployment's new ones will be, asks it all of O(checks) as the proxy would, and deletes it.
    No Service sends requests to it.
  - Kubernetes sends requests to a pod as soon as its readiness probe holds, and a probe asks one page only. What it
    does not see stops the release here, while the version before goes on serving.
  - Nothing is started when the pods that serve are as they would be, when none serve, or in check mode.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
  - railiance.stack.checks
attributes:
  check_mode:
    support: full
    details: Says whether a pod would be asked.
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
    details: The pod is gone afterwards.
options:
  app:
    description: The application.
    type: str
    required: true
  deployment:
    description: The Deployment as the release would make it.
    type: dict
    required: true
  public_host:
    description: Public host name, sent with C(X-Forwarded-Proto) as the proxy would.
    type: str
    required: true
  checks:
    description: The requests. The first one says that the pod serves.
  wait_timeout:
    description: Seconds until the pod must serve.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Ask a pod of the new version before visitors can
  railiance.stack.release_trial:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    app: vergabe-teilnahme
    deployment: "{{ rendered.manifests | selectattr('kind', 'eq', 'Deployment') | first }}"
    public_host: vergabe.example.org
    checks:
      - path: /health/
      - path: /ausschreibungen/dashboard/
        assets: true
"""

RETURN = r"""
asked:
  description: Whether a pod was asked; in check mode whether it would be.
  returned: success
  type: bool
outcomes:
  description: One entry per request, in order, as M(railiance.stack.smoke) returns them.
  returned: when a pod was asked
  type: list
  elements: dict
suspicious:
  description: Lines of its log that look like errors, with the values of Secrets hidden.
  returned: failure
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Ref, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._site import CHECK_SPEC
from ansible_collections.railiance.stack.plugins.module_utils._trial import try_out

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "required": True},
    "deployment": {"type": "dict", "required": True},
    "public_host": {"type": "str", "required": True},
    "checks": {"type": "list", "elements": "dict", "required": True, "options": CHECK_SPEC},
    "wait_timeout": {"type": "int", "default": 300},
}


def work(module: Any, kube: Kube) -> dict[str, Any]:
    params = module.params
    deployment, ref = params["deployment"], Ref.of(params["deployment"])
    live = kube.get(ref)
    # As the server would keep it, with its defaults filled in.
    if live is None or _pod(kube.apply(deployment, dry_run=True)) == _pod(live):
        return {"changed": False, "asked": False}
    if module.check_mode:
        return {"changed": False, "asked": True}
    outcomes = try_out(
        kube,
        _pod(deployment),
        params["checks"],
        params["public_host"],
        app=params["app"],
        namespace=str(ref.namespace),
        timeout=params["wait_timeout"],
    )
    return {"changed": False, "asked": True, "outcomes": [outcome.as_dict() for outcome in outcomes]}


def _pod(deployment: dict[str, Any]) -> dict[str, Any]:
    return dict(deployment["spec"]["template"])


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
