#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: python_env
short_description: Keep a virtual environment with pinned packages
version_added: 0.1.0
description:
  - Makes a virtual environment and installs pinned packages, from a bundle's wheels or the node's package index.
  - Made anew when its interpreter does not run or is not the system's version any more, as after a system upgrade.
  - Installs wheels only; nothing is compiled on the node. Packages that are not asked for stay.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details: Other than with C(ansible.builtin.pip), nothing is reported as changed when all pins are met.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  path:
    description: Folder of the virtual environment.
    type: path
    required: true
  requirements:
    description:
      - Packages as V(name==version). From a package index all of them are installed, so name dependencies too.
      - With O(bundle_dir) every wheel of the bundle is installed, and those named here must be among them.
    type: list
    elements: str
    required: true
  bundle_dir:
    description: Bundle directory on the node with C(SHA256SUMS) and a folder C(wheels/); empty asks the package index.
    type: path
    default: ""
  python:
    description: Interpreter the environment is made with.
    type: path
    default: /usr/bin/python3
"""

EXAMPLES = r"""
- name: Keep the Kubernetes client
  railiance.stack.python_env:
    path: /opt/railiance/venv
    requirements:
      - kubernetes==35.0.0
    bundle_dir: /opt/railiance/bundle
"""

RETURN = r"""
python:
  description: The environment's interpreter.
  returned: success
  type: str
plan:
  description: The steps, C(action), C(target) and C(note); empty when nothing is to do.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.railiance.stack.plugins.module_utils._artifact import Bundle
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._host import Work, run_host_module
from ansible_collections.railiance.stack.plugins.module_utils._python_env import PythonEnv, parse_pins, wheel_pins

WHEELS = "wheels/"


def look(module: AnsibleModule) -> Work:
    options = module.params
    pins = parse_pins(options["requirements"])
    wheels = None
    if options["bundle_dir"]:
        bundle = Bundle(options["bundle_dir"])
        wheels, available = (bundle, WHEELS), wheel_pins(bundle, WHEELS)
        for name, version in pins.items():
            if available.get(name) != version:
                raise StackError(
                    f"The bundle {bundle.directory} holds no wheel of {name} {version} "
                    f"but {available.get(name, 'none at all')}.",
                    "Add the wheel and its line in SHA256SUMS to the bundle.",
                )
        pins = available
    env = PythonEnv(options["path"].rstrip("/"), pins, module.run_command, wheels, options["python"])
    return Work(env.plan(), {"python": env.python})


def main() -> None:
    run_host_module(
        {
            "path": {"type": "path", "required": True},
            "requirements": {"type": "list", "elements": "str", "required": True},
            "bundle_dir": {"type": "path", "default": ""},
            "python": {"type": "path", "default": "/usr/bin/python3"},
        },
        look,
    )


if __name__ == "__main__":
    main()
