#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_key
short_description: One step of the way to a new SECRET_KEY of a Django application
version_added: 0.1.0
description:
  - Changes the keys C(SECRET_KEY) and C(SECRET_KEY_FALLBACKS) of a Secret. Between the steps the pods have to be
    replaced, which is the playbook C(rotate)'s.
  - A key is known to every pod before one signs with it, so that no session is lost while old and new pods answer side
    by side.
  - Which step was done last is noted on the Secret, so a run that was cut off is taken up again. Never returns a key.
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
    details: Values are masked.
  idempotent:
    support: partial
    details: O(state=announced) after O(state=switched) begins another rotation.
options:
  name:
    description: Name of the Secret.
    type: str
    required: true
  namespace:
    description: Namespace of the Secret.
    type: str
    required: true
  state:
    description:
      - V(announced) generates a new key and puts it before the fallbacks; unchanged when there is one already.
      - V(switched) makes the announced key C(SECRET_KEY) and the one before the first fallback; unchanged without one.
      - V(retired) forgets the fallbacks.
    type: str
    choices: [announced, switched, retired]
    required: true
  keep_days:
    description: For how many days sessions and signed links are good; fallbacks are not forgotten earlier.
    type: int
    default: 14
  length:
    description: Letters and digits of a new key.
    type: int
    default: 50
  foretold:
    description:
      - In check mode, that a task before would have announced a key, which O(state=switched) then has to switch to. For
        V(true) outside check mode the Secret itself decides, as ever.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Make the next key known
  railiance.stack.secret_key:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    name: vergabe-teilnahme-env
    namespace: vergabe-teilnahme
    state: announced
"""

RETURN = r"""
plan:
  description: The steps, C(action), C(target) and C(note); empty when nothing is to do.
  returned: success
  type: list
  elements: dict
secret_version:
  description:
    - Stands for the values of the Secret as this leaves it; another one has to become new pods.
  returned: success
  type: str
fallbacks:
  description: How many fallbacks there are now.
  returned: success
  type: int
needed_until:
  description: When nothing signed with a fallback is good any more; empty without fallbacks.
  returned: success
  type: str
  sample: "2026-12-05T10:00:00Z"
"""

import functools
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator
from ansible_collections.railiance.stack.plugins.module_utils._kube import (
    Kube,
    Ref,
    comparable,
    masked,
    run_cluster_module,
)
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step
from ansible_collections.railiance.stack.plugins.module_utils._secret import (
    WantedSecret,
    content_version,
    decode,
    generate,
    given_keys,
    note_given,
)
from ansible_collections.railiance.stack.plugins.module_utils._secret_key import (
    Keys,
    announced,
    old_until,
    retired,
    switched,
)

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["announced", "switched", "retired"], "required": True},
    "keep_days": {"type": "int", "default": 14, "no_log": False},
    "length": {"type": "int", "default": 50},
    "foretold": {"type": "bool", "default": False},
}


def work(module: Any, kube: Kube) -> dict[str, Any]:
    params = module.params
    ref = Ref("v1", "Secret", params["name"], params["namespace"])
    live = kube.get(ref)
    if live is None:
        raise NeedsOperator(f"{ref} does not exist.", "Release the application first.")
    now, keep = datetime.now(UTC), timedelta(days=params["keep_days"])
    had = Keys.of(decode(live), live)
    if params["state"] == "announced":
        has = announced(had, generate(params["length"]))
    elif params["state"] == "switched":
        to_come = module.check_mode and params["foretold"]
        has = switched(announced(had, generate(params["length"])) if to_come else had, now)
    else:
        has = retired(had, now, keep)
    plan, version = Plan(), content_version(live)
    if has != had:
        wanted = WantedSecret(ref, live.get("type", "Opaque"), annotations=has.notes())
        target = wanted.merged(live, {**decode(live), **has.values()})
        # From now on they are the rotation's: a release whose entry does not give them any more must not drop them.
        note_given(target["metadata"], given_keys(live) - has.values().keys())
        version = content_version(target)
        before, after = masked(comparable(live), comparable(target))
        # Replaces exactly the version that was read: two rotations at once do not mix.
        plan.add(Step("update", str(ref), before, after, functools.partial(kube.replace, target), params["state"]))
    until = old_until(has, keep) if has.others else None
    result = {
        "changed": plan.changed,
        "plan": plan.describe(),
        "diff": plan.diff(),
        "secret_version": version,
        "fallbacks": len(has.others),
        "needed_until": until.strftime("%Y-%m-%dT%H:%M:%SZ") if until else "",
    }
    if module.check_mode:
        return result
    plan.execute()
    return result


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
