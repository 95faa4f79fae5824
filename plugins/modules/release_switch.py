#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_switch
short_description: Switch an application to another version when nothing else differs
version_added: 0.1.0
description:
  - "The straight way of a release in one task: render, server-side dry run and policy, a look at what the new image
    would do to the schema, checks of a pod that nobody is sent to, rollout, checks inside the cluster and from outside,
    log, record."
  - It is gone only when the newest release is complete, was made with the same settings, every object is as it left it,
    and the new image knows the schema as it is. Otherwise nothing is changed, RV(released) is false and RV(reason) says
    why; the steps of the role C(railiance.stack.app_release) do the rest.
  - What fails after the rollout has begun is told with RV(started), so that the caller can put back what served.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
  - railiance.stack.checks
  - railiance.stack.chart
  - railiance.stack.released
  - railiance.stack.release_log
  - railiance.stack.site
attributes:
  check_mode:
    support: full
    details: The Job that looks at the schema only reads.
  diff_mode:
    support: full
    details: As M(railiance.stack.helm_release) shows it.
  idempotent:
    support: full
options:
  chart:
    description: Folder of the chart on the controller.
    type: path
    required: true
  values:
    description: Values of the release. C(secretKeys) and C(secretVersions) are taken from the release that serves.
    type: dict
    required: true
  commit:
    description: The commit, noted in the values; empty for an image that was built elsewhere.
    type: str
    default: ""
  policy:
    required: true
  migrations:
    description: Who knows the migrations.
    type: dict
    required: true
    suboptions:
      driver:
        description: V(django), V(alembic), or V(none) for an application without a schema.
        type: str
        choices: [django, alembic, none]
        default: none
      arguments:
        description: Further arguments of its command.
        type: list
        elements: str
        default: []
      directory:
        description: Where in the container it runs.
        type: str
        default: ""
  public_host:
    description: Host name that the application is asked by inside the cluster.
    type: str
    required: true
  url:
    description: Scheme and host of the site; not given for an application that is not exposed.
    type: str
  ca_file:
    description: PEM file trusted in addition to the system's certificates.
    type: path
  trial:
    description:
      - Whether a pod of the new version is asked all of O(checks) before one of them gets a visitor's request.
      - It starts once the schema was looked at. Not needed when the readiness probe asks all that O(checks) ask.
    type: bool
    default: true
  wait_timeout:
    description: Seconds for the rollout, for the look at the schema and until a pod on trial serves.
"""

EXAMPLES = r"""
- name: Release another version
  railiance.stack.release_switch:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    app: "{{ entry | railiance.stack.release_identity(settings) }}"
    chart: "{{ role_path }}/files/chart"
    values: "{{ values }}"
    policy: {hosts: [vergabe.example.org], django: true}
    migrations: {driver: django}
    public_host: vergabe.example.org
    url: https://vergabe.example.org
    checks:
      - path: /health/
  register: switched
"""

RETURN = r"""
released:
  description: Whether the version serves; in check mode whether it would.
  returned: success
  type: bool
reason:
  description: Why it does not, or why its release does not carry the note; empty when both hold.
  returned: success
  type: str
  sample: "migrations are pending: ausschreibungen.0005_frist"
same_settings:
  description: Whether only the version differs from what was released.
  returned: success
  type: bool
kept:
  description: The values of the revision that served, when only the version differs.
  returned: success
  type: dict
plan:
  description: What was done to the release and its objects, or would be in check mode.
  returned: when RV(released)
  type: list
  elements: dict
revision:
  description: Number of the revision; after a failure the one that this run has stored, 0 when it has stored none.
  returned: when RV(released), and when RV(started)
  type: int
outcomes:
  description: One entry per request and step, in order, as M(railiance.stack.smoke) returns them.
  returned: when RV(released) and it is no check mode
  type: list
  elements: dict
suspicious:
  description: Log lines that look like errors, with the values of Secrets hidden.
  returned: when RV(released) and it is no check mode
  type: list
  elements: str
noted:
  description: Whether the release carries the note that it is complete.
  returned: when RV(released) and it is no check mode
  type: bool
swept:
  description: Jobs of runs that were killed, deleted with the note.
  returned: when the release carries the note
  type: list
  elements: str
overtaken:
  description: Whether another run has released the application since, so that this one left it as it is.
  returned: when it is so
  type: bool
started:
  description: Whether something had begun to change.
  returned: failure
  type: bool
served:
  description: The revision that served before, C(revision), C(newest), C(image) and C(unknown) migrations.
  returned: failure
  type: dict
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._chart import CHART_SPEC, laid_out
from ansible_collections.railiance.stack.plugins.module_utils._helm import subprocess_runner
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._release import APP_SPEC, Wanted
from ansible_collections.railiance.stack.plugins.module_utils._release_log import LOG_SPEC
from ansible_collections.railiance.stack.plugins.module_utils._site import SITE_SPEC
from ansible_collections.railiance.stack.plugins.module_utils._switch import Switch, start_of

ARGUMENT_SPEC: dict[str, Any] = {
    **CHART_SPEC,
    "app": {"type": "dict", "required": True, "options": APP_SPEC},
    "chart": {"type": "path", "required": True},
    "values": {"type": "dict", "required": True},
    "commit": {"type": "str", "default": ""},
    "policy": {**CHART_SPEC["policy"], "required": True},
    "migrations": {
        "type": "dict",
        "required": True,
        "options": {
            "driver": {"type": "str", "choices": ["django", "alembic", "none"], "default": "none"},
            "arguments": {"type": "list", "elements": "str", "default": []},
            "directory": {"type": "str", "default": ""},
        },
    },
    "public_host": {"type": "str", "required": True},
    "trial": {"type": "bool", "default": True},
    "url": {"type": "str"},
    "ca_file": {"type": "path"},
    **SITE_SPEC,
    **LOG_SPEC,
}


def work(module: Any, kube: Kube, make_runner: Any = subprocess_runner) -> dict[str, Any]:
    params = module.params
    start = start_of(kube, Wanted.of(params["app"]))
    if start.reason:
        return start.otherwise(start.reason)
    with laid_out(params, make_runner) as (path, runner):
        return Switch(kube, runner, params, path, start, module.warn).run(module.check_mode)


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work, required_by={"record": ("login",)})


if __name__ == "__main__":
    main()
