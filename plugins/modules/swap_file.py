#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swap_file
short_description: Keep a swap file of the given size, active now and after a reboot
version_added: 0.1.0
description:
  - Creates the file with mode 0600, formats and activates it, enters it in C(/etc/fstab) and sets C(vm.swappiness).
  - A file of the wrong size, or with holes, is switched off and made anew; one that is right is left alone.
  - Refuses before it changes anything when the disk is too small or the swap in use does not fit into memory.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  path:
    description: The swap file, on a file system that carries swap files; its folder must exist.
    type: path
    default: /swapfile
  size_mb:
    description: Its size in MiB.
    type: int
    required: true
  swappiness:
    description: Value of C(vm.swappiness), now and in O(sysctl_file); left alone when not given.
    type: int
  sysctl_file:
    description: File that keeps C(vm.swappiness) over a reboot.
    type: path
    default: /etc/sysctl.d/90-railiance-swap.conf
"""

EXAMPLES = r"""
- name: Keep 4 GiB of swap
  railiance.stack.swap_file:
    size_mb: 4096
    swappiness: 10
"""

RETURN = r"""
plan:
  description: The steps, C(action), C(target) and C(note); empty when nothing is to do.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._host import Work, run_host_module
from ansible_collections.railiance.stack.plugins.module_utils._swap import SwapFile, Wanted


def look(module: AnsibleModule) -> Work:
    options = module.params
    if options["size_mb"] < 1:
        raise StackError(f"size_mb of {options['path']} is {options['size_mb']}.", "Give at least 1.")
    wanted = Wanted(options["path"], options["size_mb"], options["swappiness"], options["sysctl_file"])
    plan = SwapFile(wanted, module.run_command).plan()
    return Work(plan)


def main() -> None:
    run_host_module(
        {
            "path": {"type": "path", "default": "/swapfile"},
            "size_mb": {"type": "int", "required": True},
            "swappiness": {"type": "int"},
            "sysctl_file": {"type": "path", "default": "/etc/sysctl.d/90-railiance-swap.conf"},
        },
        look,
    )


if __name__ == "__main__":
    main()
