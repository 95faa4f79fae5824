#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: helm_release
short_description: Release a chart when something differs
version_added: 0.1.0
description:
  - Renders a chart with its values and compares it with the stored release and, by server-side dry run, with the
    cluster.
  - Runs C(helm upgrade --install) only when the chart or its values changed, an object has drifted or is missing,
    or the last run did not end well.
  - Values go through standard input. Hooks are not run, and a release is never rolled back by itself.
  - A release that was left pending by a run that was cut off on this node is recovered.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
  - railiance.stack.chart
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: What changed in the chart is shown as rendered, drift as the server would set it back. Secrets are masked.
  idempotent:
    support: full
options:
  name:
    description: Name of the release.
    type: str
    required: true
  namespace:
    description: Namespace of the release.
    type: str
    required: true
  chart:
    description:
      - Folder of the chart on the controller; on the node, also a packaged chart, when O(remote_src) is true.
      - Required unless O(state=absent).
    type: path
  remote_src:
    description: Whether O(chart) lies on the node.
    type: bool
    default: false
  values:
    description: Values of the release.
    type: dict
    default: {}
  revision:
    description: Take the values of this stored revision instead of O(values).
    type: int
    default: 0
  only_after:
    description:
      - Stop, and change nothing, unless one of these revisions is the newest one; V(0) stands for no release at all.
      - For a run that has looked before, so that it does not undo what another has released since.
    type: list
    elements: int
    default: []
  state:
    description:
      - V(present) releases the chart when something differs.
      - V(rendered) only renders it and returns RV(manifests); nothing is written.
      - V(absent) uninstalls the release.
    type: str
    choices: [present, rendered, absent]
    default: present
  create_namespace:
    description: Let Helm create the namespace.
    type: bool
    default: false
  wait:
    description: Wait until the workloads have rolled out, also when nothing changed.
    type: bool
    default: true
  force_adopt:
    description: Take objects over that exist without belonging to this release.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Release the application
  railiance.stack.helm_release:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    name: vergabe-teilnahme
    namespace: vergabe-teilnahme
    chart: "{{ role_path }}/files/chart"
    values:
      image: gitea.example.org/apps/vergabe-teilnahme@sha256:0123
"""

RETURN = r"""
plan:
  description: The steps, C(action), C(target) and C(note); empty when nothing is to do.
  returned: success
  type: list
  elements: dict
  sample:
    - {action: update, target: Helm release shop/shop, note: ""}
    - {action: update, target: Deployment shop/shop, note: ""}
revision:
  description:
    - Number of the current revision; in check mode the one that would be current. 0 when there is none.
    - After a failure the one that this run has stored, 0 when it has stored none.
  returned: success, and when it failed while it changed something
  type: int
status:
  description: Status of the current revision, V(deployed) when all is well.
  returned: success
  type: str
manifests:
  description: The rendered objects; values of Secrets are masked.
  returned: when O(state=rendered)
  type: list
  elements: dict
served:
  description:
    - The revision that serves now, its image, and migrations of the database that image does not know.
    - C(newest) is the newest revision, which need not serve.
  returned: when O(state=rendered)
  type: dict
  sample: {revision: 3, newest: 3, image: "gitea.example.org/apps/vergabe-teilnahme@sha256:0123", unknown: []}
live_pod:
  description: The pod template of the Deployment named like the release, as it is now.
  returned: when O(state=rendered)
  type: dict
services:
  description: Address and port of each Service inside the cluster; in check mode of those that are there.
  returned: when O(state) is not V(rendered)
  type: dict
  sample: {vergabe-teilnahme: "10.43.12.7:80"}
overtaken:
  description: Whether another run has released the application since, so that this one left it as it is.
  returned: when it is so
  type: bool
violations:
  description: What the policy found.
  returned: when it found something
  type: list
  elements: str
rc:
  description: Exit code of Helm.
  returned: when Helm failed
  type: int
stdout:
  description: What Helm wrote to standard output.
  returned: when Helm failed
  type: str
stderr:
  description: What Helm wrote to standard error.
  returned: when Helm failed
  type: str
cmd:
  description: The command.
  returned: when Helm failed
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._chart import (
    CHART_SPEC,
    chart_of,
    check,
    laid_out,
    live_pod,
    served,
    services,
    stored_values,
)
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._helm import (
    Helm,
    Runner,
    read_releases,
    subprocess_runner,
)
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, masked, run_cluster_module

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "chart": {"type": "path"},
    "remote_src": {"type": "bool", "default": False},
    "values": {"type": "dict", "default": {}},
    "revision": {"type": "int", "default": 0},
    "only_after": {"type": "list", "elements": "int", "default": []},
    "state": {"type": "str", "choices": ["present", "rendered", "absent"], "default": "present"},
    "create_namespace": {"type": "bool", "default": False},
    "wait": {"type": "bool", "default": True},
    "force_adopt": {"type": "bool", "default": False},
    **CHART_SPEC,
}


def work(module: Any, kube: Kube, make_runner: Any = subprocess_runner) -> dict[str, Any]:
    params = module.params
    if params["state"] != "absent" and not params["chart"]:
        raise StackError("chart is missing.", f"state {params['state']} needs it.")
    with laid_out(params, make_runner) as (path, runner):
        return _work(module, kube, runner, path)


def _work(module: Any, kube: Kube, runner: Runner, path: str) -> dict[str, Any]:
    params = module.params
    chart = chart_of(
        params,
        path,
        params["name"],
        params["namespace"],
        values=params["values"],
        create_namespace=params["create_namespace"],
        take_ownership=params["force_adopt"],
        wait=params["wait"],
    )
    helm = Helm(kube, runner)
    if params["revision"]:
        chart.values = stored_values(kube, chart, params["revision"])
    if params["state"] == "rendered":
        found = read_releases(kube, chart.namespace, chart.name)
        rendered = helm.render(chart, is_upgrade=bool(found))
        if params["policy"]:
            check(kube, rendered, params["policy"], chart.target)
        return {
            "changed": False,
            "plan": [],
            "diff": [],
            "manifests": [masked(None, obj)[1] for obj in rendered],
            "served": served(found),
            "live_pod": live_pod(kube, chart),
        }
    if params["state"] == "absent":
        plan = helm.plan_removal(chart)
    else:
        plan = helm.plan(chart, only_after=params["only_after"])
    revision, status = helm.expected
    result = {
        "changed": plan.changed,
        "plan": plan.describe(),
        "diff": plan.diff(),
        "revision": revision,
        "status": status,
    }
    if module.check_mode:
        return {**result, "services": services(kube, helm.rendered)}
    try:
        plan.execute()
    except StackError as error:
        error.result["revision"] = helm.made
        raise
    if params["state"] == "present" and params["wait"] and not plan.changed:
        helm.wait(chart)
    return {**result, "revision": helm.made or revision, "services": services(kube, helm.rendered)}


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
