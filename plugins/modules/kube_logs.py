#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_logs
short_description: Read the end of the logs of some pods
version_added: 0.1.0
description:
  - Reads the logs of every container of the selected pods, oldest pod first.
  - Values of the Secrets that a pod uses are hidden, except entries named C(username), C(host), C(port) and C(dbname)
    and values of less than four characters.
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
  namespace:
    description: Namespace of the pods.
    type: str
    required: true
  label_selector:
    description: Selects the pods by labels, in kubectl's words.
    type: str
    required: true
  container:
    description: Only this container.
    type: str
    default: ""
  since:
    description: How far back, such as C(90s), C(10m), C(2h) or C(1d); everything when empty.
    type: str
    default: ""
  lines:
    description: At most so many lines of each container.
    type: int
    default: 200
  previous:
    description: Of the containers that ended before the present ones began, which is where a crash left its words.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Read why it crashed
  railiance.stack.kube_logs:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    namespace: vergabe-teilnahme
    label_selector: app.kubernetes.io/name=vergabe-teilnahme
    previous: true
"""

RETURN = r"""
logs:
  description: One entry a container, C(pod), C(container) and C(lines).
  returned: success
  type: list
  elements: dict
  sample: [{pod: shop-5d8f4c7b9-x2x4p, container: app, lines: ["Listening at: http://0.0.0.0:8000"]}]
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._pods import read_logs, seconds

ARGUMENT_SPEC: dict[str, Any] = {
    "namespace": {"type": "str", "required": True},
    "label_selector": {"type": "str", "required": True},
    "container": {"type": "str", "default": ""},
    "since": {"type": "str", "default": ""},
    "lines": {"type": "int", "default": 200},
    "previous": {"type": "bool", "default": False},
}


def work(module: Any, kube: Kube) -> dict[str, Any]:
    params = module.params
    since = seconds(params["since"])
    pods = kube.find("v1", "Pod", params["namespace"], params["label_selector"])
    pods.sort(key=lambda pod: (str(pod["metadata"].get("creationTimestamp") or ""), pod["metadata"]["name"]))
    logs = read_logs(
        kube,
        pods,
        container=params["container"],
        since=since,
        lines=params["lines"],
        previous=params["previous"],
    )
    return {"changed": False, "logs": logs}


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
