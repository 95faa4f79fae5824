#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_record
short_description: Read the log of a release and note on it that it is complete
version_added: 0.1.0
description:
  - Reads what the new pods have logged since they started and returns the lines that look like errors.
  - Notes on the Helm release which version and settings it was made with, and how every object of the application was
    left. M(railiance.stack.release_info) compares with that.
  - Nothing is noted while an object differs from the release or is not ready.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details: Nothing is noted.
  diff_mode:
    support: none
    details: The application itself is not changed.
  idempotent:
    support: full
    details: What is noted changes nothing of the application, so it is not reported as a change.
options:
  app:
    description: The application, as the filter P(railiance.stack.release_identity#filter) describes it.
    type: dict
    required: true
    suboptions:
      name:
        description: Name of the application.
        type: str
        required: true
      namespace:
        description: Its namespace; the name when not given.
        type: str
      settings:
        description: Stands for the settings of its release.
        type: str
      version:
        description: The commit, or the reference of a prebuilt image.
        type: str
      database:
        description: Its database cluster, with C(namespace), C(cluster) and C(owner).
        type: dict
      pull_secret:
        description: The Secret whose copy pulls its image, with C(namespace) and C(name).
        type: dict
  scan_log:
    description: Whether to read the log of the pods.
    type: bool
    default: true
  errors:
    description: Whether lines that look like errors only warn or fail the task.
    type: str
    choices: [warn, fail]
    default: warn
  patterns:
    description: Regular expressions of lines that look like errors.
    type: list
    elements: str
    default:
      - \b(ERROR|CRITICAL|FATAL)\b
      - '"level": ?"(error|critical|fatal)"'
      - ^Traceback \(most recent call last\)
      - '^panic:'
  ignore:
    description:
      - Regular expressions of such lines that are harmless. Of a traceback the line that names the exception counts.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Read the log and note that the release is complete
  railiance.stack.release_record:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    app: "{{ entry | railiance.stack.release_identity(settings) }}"
"""

RETURN = r"""
noted:
  description: Whether the release carries the note now; in check mode whether it would.
  returned: success
  type: bool
reason:
  description: Why it does not, empty when it does.
  returned: success
  type: str
swept:
  description: Jobs of runs that were killed, deleted with the note. They had ended, and nobody read their log any more.
  returned: when the release carries the note and it is no check mode
  type: list
  elements: str
suspicious:
  description: Log lines that look like errors, with the values of Secrets hidden.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._helm import read_releases
from ansible_collections.railiance.stack.plugins.module_utils._jobs import sweep
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._release import (
    APP_SPEC,
    Look,
    Wanted,
    drifted,
    labels_of,
    unready,
)
from ansible_collections.railiance.stack.plugins.module_utils._release_log import PATTERNS, Errors, suspicious_lines

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "dict", "required": True, "options": APP_SPEC},
    "scan_log": {"type": "bool", "default": True},
    "errors": {"type": "str", "choices": ["warn", "fail"], "default": "warn"},
    "patterns": {"type": "list", "elements": "str", "default": list(PATTERNS)},
    "ignore": {"type": "list", "elements": "str", "default": []},
}
_SHOWN = 20


def work(module: Any, kube: Kube) -> dict[str, Any]:
    wanted = Wanted.of(module.params["app"])
    releases = read_releases(kube, wanted.namespace, wanted.name)
    if not releases:
        return {"changed": False, "noted": False, "reason": "there is no release", "suspicious": []}
    release = releases[0]
    errors = Errors(module.params["patterns"], module.params["ignore"])
    lines = suspicious_lines(kube, wanted.namespace, release, errors) if module.params["scan_log"] else []
    if lines:
        told = f"{wanted.name} has logged {len(lines)} lines that look like errors: {' | '.join(lines[:3])}"
        if module.params["errors"] == "fail":
            raise StackError(
                f"{told}.",
                "Correct the cause, or name what is harmless in log_ignore of the entry.",
                suspicious=lines[:_SHOWN],
            )
        module.warn(told)
    look = Look(kube)
    troubles = [
        *([f"it is {release.status}"] if release.status != "deployed" else []),
        *(trouble for obj in look.objects(wanted) if (trouble := unready(obj))),
        *drifted(kube, release),
    ]
    result = {
        "changed": False,
        "noted": not troubles,
        "reason": "; ".join(troubles),
        "suspicious": lines[:_SHOWN],
    }
    if module.check_mode or troubles:
        return result
    labels = labels_of(wanted, look.state(wanted))
    if any(release.labels.get(key) != value for key, value in labels.items()):
        kube.patch(release.secret, {"metadata": {"labels": labels}})
    return {**result, "swept": sweep(kube, wanted.namespace, wanted.name)}


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
