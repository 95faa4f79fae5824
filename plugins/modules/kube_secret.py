#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_secret
short_description: A Kubernetes Secret whose generated values are made once
version_added: 0.1.0
description:
  - Creates a Secret, generating what is to be generated. What was generated once is kept for ever.
  - Keys, labels and annotations that are not named stay as they are, except the keys of an earlier O(secret_data).
    Never returns a value.
  - Two runs at the same time end with the same values; the first one wins.
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
    details: Values are masked; a changed one shows as changed.
  idempotent:
    support: full
options:
  name:
    description: Name of the Secret.
    type: str
    required: true
  namespace:
    description: Namespace of the Secret; it must exist, except in check mode.
    type: str
    required: true
  type:
    description: Type of the Secret. Cannot change.
    type: str
    default: Opaque
  labels:
    description: Labels that the Secret must have.
    type: dict
    default: {}
  annotations:
    description: Annotations that the Secret must have.
    type: dict
    default: {}
  data:
    description:
      - Key to value. A text is kept as given, a dictionary says where the value comes from.
      - C(generate) makes that many random letters and digits when the key is missing or empty.
      - C(copy), with C(namespace), C(name) and C(key), takes the value of another Secret and follows it.
      - C(url) fills other keys of this Secret, named in braces and percent-encoded, into a text.
    type: dict
    default: {}
  secret_data:
    description:
      - Key to text, for values that are secret already. They are hidden in every output.
      - Their names, not their values, are noted in an annotation, and a key that was given once and is not any more is
        removed, unless O(data) names it.
    type: dict
    default: {}
  state:
    description: Whether the Secret is there. V(absent) deletes it, whoever made it.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Keep the credentials of Gitea's database
  railiance.stack.kube_secret:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    name: gitea-db-credentials
    namespace: databases
    type: kubernetes.io/basic-auth
    labels:
      cnpg.io/reload: "true"
    data:
      username: gitea
      password:
        generate: 32
      DATABASE_URL:
        url: postgresql://{username}:{password}@gitea-db-rw.databases:5432/gitea
"""

RETURN = r"""
plan:
  description: The steps, C(action), C(target) and C(note); empty when nothing is to do.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, target: Secret databases/gitea-db-credentials, note: ""}]
keys:
  description: Names of the keys that are looked after.
  returned: success
  type: list
  elements: str
version:
  description:
    - A short text that changes when a value of the Secret changes, for the annotations of a pod template.
    - In check mode that of the Secret as it would be, another one in each run while a value is still to be generated,
      and empty while the Secret is still to be created.
  returned: success
  type: str
  sample: 3f9a61c04be2
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Ref, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan
from ansible_collections.railiance.stack.plugins.module_utils._remove import deletion
from ansible_collections.railiance.stack.plugins.module_utils._secret import (
    WantedSecret,
    content_version,
    plan_version,
)

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "type": {"type": "str", "default": "Opaque"},
    "labels": {"type": "dict", "default": {}},
    "annotations": {"type": "dict", "default": {}},
    "data": {"type": "dict", "default": {}},
    "secret_data": {"type": "dict", "default": {}, "no_log": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def work(module: Any, kube: Kube) -> dict[str, Any]:
    params = module.params
    wanted = WantedSecret(
        Ref("v1", "Secret", params["name"], params["namespace"]),
        params["type"],
        {key: str(value) for key, value in params["labels"].items()},
        {key: str(value) for key, value in params["annotations"].items()},
        {**params["data"], **{key: str(value) for key, value in params["secret_data"].items()}},
        frozenset(params["secret_data"]),
    )
    if params["state"] == "absent":
        live = kube.get(wanted.ref)
        plan, version = Plan([deletion(kube, live)] if live else []), ""
    else:
        plan, version = plan_version(kube, wanted, predict=module.check_mode)
    result = {"changed": plan.changed, "plan": plan.describe(), "diff": plan.diff(), "keys": sorted(wanted.data)}
    if module.check_mode:
        return {**result, "version": version}
    plan.execute()
    # Read again: whoever was faster may have made the values.
    return {**result, "version": content_version(kube.get(wanted.ref))}


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
