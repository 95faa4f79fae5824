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
  - Nothing is noted while an object differs from the release or is not ready; a warning says so.
  - Stops when another run has released the application since, so that the note never says of one version what holds of
    another.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
  - railiance.stack.released
  - railiance.stack.release_log
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
  revision:
    description:
      - The revision that was rolled out, as M(railiance.stack.helm_release) returns it.
      - In check mode it need not be there yet.
    type: int
    required: true
  scan_log:
    description: Whether to read the log of the pods.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Read the log and note that the release is complete
  railiance.stack.release_record:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    app: "{{ entry | railiance.stack.release_identity(settings) }}"
    revision: "{{ rollout.revision }}"
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
overtaken:
  description: Whether another run has released the application since, so that this one left it as it is.
  returned: when it is so
  type: bool
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._helm import check_newest, read_releases
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._release import APP_SPEC, Wanted
from ansible_collections.railiance.stack.plugins.module_utils._release_log import LOG_SPEC, SHOWN, read_log
from ansible_collections.railiance.stack.plugins.module_utils._release_note import note

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "dict", "required": True, "options": APP_SPEC},
    "revision": {"type": "int", "required": True},
    "scan_log": {"type": "bool", "default": True},
    **LOG_SPEC,
}


def work(module: Any, kube: Kube) -> dict[str, Any]:
    params = module.params
    wanted = Wanted.of(params["app"])
    releases = read_releases(kube, wanted.namespace, wanted.name)
    if not module.check_mode:
        check_newest(f"Helm release {wanted.namespace}/{wanted.name}", releases, [params["revision"]])
    elif not releases:
        return {"changed": False, "noted": False, "reason": "there is no release", "suspicious": []}
    lines = read_log(kube, wanted, releases[0], params, module.warn) if params["scan_log"] else []
    noted = note(kube, wanted, releases[0], module.check_mode, module.warn)
    return {"changed": False, "suspicious": lines[:SHOWN], **noted}


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
