#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_archives
short_description: Put a bundle's image archives where k3s imports them from
version_added: 0.1.0
description:
  - Brings every file under O(prefix) of a bundle directory into O(dest), by hard link or, across file systems, by copy.
  - Each file is verified against the bundle's C(SHA256SUMS) once; later runs see by size and change time that it is
    untouched, so a gigabyte of images costs nothing when nothing changed.
  - Files that came from a bundle earlier and are not in it any more are removed; files of somebody else stay.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details: Bundle files that would be brought in are verified in check mode too.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  bundle_dir:
    description: Bundle directory on the node, with C(SHA256SUMS).
    type: path
    required: true
  prefix:
    description: Folder in the bundle.
    type: str
    default: images/
  dest:
    description: Folder on the node.
    type: path
    default: /var/lib/rancher/k3s/agent/images
"""

EXAMPLES = r"""
- name: Put the bundle's images where k3s imports them from
  railiance.stack.image_archives:
    bundle_dir: /opt/railiance/bundle
"""

RETURN = r"""
archives:
  description: Names of the archives that the bundle holds.
  returned: success
  type: list
  elements: str
plan:
  description: The steps, C(action), C(target) and C(note); empty when nothing is to do.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.railiance.stack.plugins.module_utils._artifact import STATE_FILE, Bundle, State, plan_folder
from ansible_collections.railiance.stack.plugins.module_utils._host import Work, run_host_module


def look(module: AnsibleModule) -> Work:
    prefix = module.params["prefix"].rstrip("/") + "/"
    bundle = Bundle(module.params["bundle_dir"])
    plan, archives, remember = plan_folder(bundle, prefix, module.params["dest"].rstrip("/"), State(STATE_FILE))
    return Work(plan, {"archives": archives}, remember)


def main() -> None:
    run_host_module(
        {
            "bundle_dir": {"type": "path", "required": True},
            "prefix": {"type": "str", "default": "images/"},
            "dest": {"type": "path", "default": "/var/lib/rancher/k3s/agent/images"},
        },
        look,
    )


if __name__ == "__main__":
    main()
