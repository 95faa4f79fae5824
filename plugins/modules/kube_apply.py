#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_apply
short_description: Apply Kubernetes manifests server-side, with an exact prediction
version_added: 0.1.0
description:
  - Applies objects with server-side apply as C(railiance.stack); what other managers set stays as it is.
  - Whether something changes is asked of the server (dry run), so defaults and admission are in the answer.
  - Objects of a Helm release, an Argo CD application, a Flux object, a k3s add-on or a controller are left alone.
  - Namespaces and CRDs are applied first. Objects of the kinds that these CRDs bring come last, after the workloads
    that answer for them.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details:
      - Objects of a kind or in a namespace that does not exist yet cannot be asked of the server.
        They are predicted as C(create), without the server's defaults, and the plan says so.
  diff_mode:
    support: full
    details: Values of Secrets are masked; schemas in CRDs are shown as checksums.
  idempotent:
    support: full
options:
  src:
    description: YAML files on the node, each with one or more objects.
    type: list
    elements: path
    default: []
  definition:
    description: Objects given in place; they come after those of O(src).
    type: list
    elements: dict
    default: []
  namespace:
    description: Namespace of namespaced objects that name none.
    type: str
    default: default
  wait:
    description:
      - Wait until CRDs are Established, Deployments, StatefulSets and DaemonSets have rolled out, Jobs are complete,
        and everything in O(wait_for) is met. Also done when nothing changed.
    type: bool
    default: true
  wait_timeout:
    description: Seconds for all waits of the call together.
    type: int
    default: 300
  wait_for:
    description: Further conditions, one after the other.
    type: list
    elements: dict
    default: []
    suboptions:
      api_version:
        description: API version of the object.
        type: str
        required: true
      kind:
        description: Kind of the object.
        type: str
        required: true
      name:
        description: Name of the object.
        type: str
        required: true
      namespace:
        description: Namespace of the object.
        type: str
      condition:
        description: A condition of the object's status, C(type) and C(status) (default V(True)).
        type: dict
      path:
        description: Dotted path to a value, for example V(status.phase). Used with O(wait_for[].value).
        type: str
      value:
        description: The value that O(wait_for[].path) must have.
        type: str
      hint:
        description: The next step to name when the wait fails.
        type: str
        default: ""
  force_adopt:
    description: Apply objects of other owners as well. Their owner will fight for the fields unless it is removed.
    type: bool
    default: false
  as_component:
    description:
      - Which objects are one component, applied all or not at all, those of O(src), V(all), or V(none).
      - When any of them belongs to somebody else, or one of its workloads exists that this collection never applied,
        the component is used as it is and nothing of it is applied.
    type: str
    choices: [none, src, all]
    default: none
"""

EXAMPLES = r"""
- name: Install the operator and wait for it
  railiance.stack.kube_apply:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    src:
      - /var/lib/railiance/manifests/cnpg-1.30.0.yaml
    as_component: src

- name: Create a cluster and wait until it is healthy
  railiance.stack.kube_apply:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    definition:
      - "{{ lookup('ansible.builtin.template', 'cluster.yaml.j2') | from_yaml }}"
    wait_for:
      - api_version: postgresql.cnpg.io/v1
        kind: Cluster
        name: apps-pg
        namespace: databases
        path: status.phase
        value: Cluster in healthy state
"""

RETURN = r"""
plan:
  description: The steps, C(action), C(target) and C(note); empty when nothing is to do.
  returned: success
  type: list
  elements: dict
  sample: [{action: update, target: Deployment databases/pooler, note: ""}]
objects:
  description: Every object of the call as C(Kind namespace/name).
  returned: success
  type: list
  elements: str
notes:
  description: What was left alone and whose it is.
  returned: success
  type: list
  elements: str
  sample: ["Deployment infra/proxy belongs to the Helm release infra/proxy and is left alone."]
failed_step:
  description: The step that failed.
  returned: when a step failed
  type: str
done_steps:
  description: The steps that were carried out before.
  returned: when a step failed
  type: list
  elements: str
"""

import os
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._apply import (
    Manifest,
    check_objects,
    in_order,
    load_manifests,
    with_namespaces,
)
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Ref, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._plan import Step
from ansible_collections.railiance.stack.plugins.module_utils._ready import condition_test

ARGUMENT_SPEC: dict[str, Any] = {
    "src": {"type": "list", "elements": "path", "default": []},
    "definition": {"type": "list", "elements": "dict", "default": []},
    "namespace": {"type": "str", "default": "default"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
    "wait_for": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "api_version": {"type": "str", "required": True},
            "kind": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str"},
            "condition": {"type": "dict"},
            "path": {"type": "str"},
            "value": {"type": "str"},
            "hint": {"type": "str", "default": ""},
        },
        "required_one_of": [("condition", "path")],
        "mutually_exclusive": [("condition", "path")],
        "required_together": [("path", "value")],
    },
    "force_adopt": {"type": "bool", "default": False},
    "as_component": {"type": "str", "choices": ["none", "src", "all"], "default": "none"},
}


def work(module: Any, kube: Kube) -> dict[str, Any]:
    params = module.params
    # A file that an earlier task would have put there is no error in check mode: it is predicted.
    expected = [path for path in params["src"] if module.check_mode and not os.path.exists(path)]
    present = [path for path in params["src"] if path not in expected]
    brought = load_manifests(present) if present else []  # only files need YAML, which a new server's Python lacks
    objects = brought + check_objects(params["definition"], "definition")
    if not objects and not expected:
        raise StackError("There is nothing to apply: src and definition hold no object.", "Give at least one.")
    component = {"none": [], "src": brought, "all": objects}[params["as_component"]]
    manifest = Manifest(
        kube,
        in_order(with_namespaces(kube, objects, params["namespace"])),
        adopt=params["force_adopt"],
        component=frozenset(Ref.of(obj) for obj in with_namespaces(kube, component, params["namespace"])),
        timeout=params["wait_timeout"] if params["wait"] else 0,
    )
    plan = manifest.plan()
    for path in expected:
        plan.add(Step("create", path, note="its objects are known once the file is there"))
    result = {
        "changed": plan.changed,
        "plan": plan.describe(),
        "diff": plan.diff(),
        "objects": [str(Ref.of(obj)) for obj in manifest.objects],
        "notes": manifest.notes,
    }
    if module.check_mode:
        return result
    plan.execute()
    try:
        _wait(manifest, plan.changed, params["wait_for"] if params["wait"] else [])
    except StackError as error:
        error.result.update(changed=plan.changed, plan=result["plan"])
        raise
    return result


def _wait(manifest: Manifest, applied: bool, entries: list[dict[str, Any]]) -> None:
    manifest.wait(applied)
    for entry in entries:
        ref = Ref(entry["api_version"], entry["kind"], entry["name"], entry["namespace"])
        manifest.wait_for(ref, *condition_test(entry["condition"], entry["path"], entry["value"]), entry["hint"])


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
