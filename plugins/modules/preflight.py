#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Name everything that is missing before anything is changed
version_added: 0.1.0
description:
  - Looks at the server, the bundle, the public names and the addresses that an installation uses; changes nothing.
  - Stops with all gaps at once, each with its object and the next step, as a result that needs the operator.
  - What only a first installation needs (ports, space, release addresses) is not asked for once k3s is there.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
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
  server:
    description: What messages call the server.
    type: str
    required: true
  configuration:
    description: Gaps already found in the configuration, one sentence each; they are reported together with the rest.
    type: list
    elements: str
    default: []
  platforms:
    description: Supported distributions, ID in C(/etc/os-release) to a list of versions.
    type: dict
    required: true
  architectures:
    description: Supported machine names of the kernel.
    type: list
    elements: str
    required: true
  memory_min_mb:
    description: Memory of the server in MiB; a tenth less is accepted, for the kernel keeps some.
    type: int
    required: true
  disk_paths:
    description: Folders whose file systems need space.
    type: list
    elements: path
    default: [/, /var/lib]
  disk_min_gb:
    description: Free space for a first installation, in GiB.
    type: int
    required: true
  ports:
    description: Ports that must be free before k3s is installed.
    type: list
    elements: int
    default: [80, 443, 6443]
  user:
    description: Login that must exist on the server.
    type: str
    default: ""
  bundle_dir:
    description: Bundle directory on the server; empty for none.
    type: path
    default: ""
  bundle_patterns:
    description: Name patterns of which the bundle must list at least one file each.
    type: list
    elements: str
    default: []
  names:
    description: Public names that must resolve on the server.
    type: list
    elements: str
    default: []
  addresses:
    description: Addresses that must answer before k3s is installed.
    type: list
    elements: dict
    default: []
    suboptions:
      url:
        description: http or https address.
        type: str
        required: true
      what:
        description: What messages call it.
        type: str
        required: true
      ca:
        description: PEM certificates trusted in addition to the system's.
        type: str
        default: ""
      answer:
        description: Any answer will do, also a refusal.
        type: bool
        default: false
  timeout:
    description: Seconds for one address.
    type: int
    default: 15
"""

EXAMPLES = r"""
- name: Look at the server
  railiance.stack.preflight:
    server: "{{ inventory_hostname }}"
    platforms: {debian: ["12", "13"]}
    architectures: [x86_64]
    memory_min_mb: 2048
    disk_min_gb: 10
    names: [gitea.example.org]
"""

RETURN = r"""
gaps:
  description: What is missing, C(what) and C(then); also returned with the failure.
  returned: always
  type: list
  elements: dict
needs_operator:
  description: Always true with a failure; only a person can close these gaps.
  returned: failure
  type: bool
"""

import os
import pwd
import socket
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.railiance.stack.plugins.module_utils import _preflight
from ansible_collections.railiance.stack.plugins.module_utils._artifact import Web
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator
from ansible_collections.railiance.stack.plugins.module_utils._host import Work, run_host_module
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan
from ansible_collections.railiance.stack.plugins.module_utils._preflight import Address, Gap, Server


def find_gaps(options: dict[str, Any], server: Server) -> list[Gap]:
    def fetch(address: Address) -> None:
        Web(ca=address.ca, timeout=options["timeout"]).probe(address.url, any_answer=address.answer)

    def exists(user: str) -> bool:
        try:
            pwd.getpwnam(user)
        except KeyError:
            return False
        return True

    return [
        *(Gap(sentence, "") for sentence in options["configuration"]),
        *_preflight.check_root(os.geteuid()),
        *_preflight.check_platform(server, options["platforms"]),
        *_preflight.check_architecture(os.uname().machine, options["architectures"]),
        *_preflight.check_memory(server, options["memory_min_mb"]),
        *_preflight.check_disk(server, options["disk_paths"], options["disk_min_gb"]),
        *_preflight.check_ports(server, options["ports"]),
        *_preflight.check_user(exists, options["user"]),
        *_preflight.check_bundle(options["bundle_dir"], options["bundle_patterns"]),
        *_preflight.check_names(options["names"], lambda name: socket.getaddrinfo(name, 443), _preflight.own_address()),
        *_preflight.check_addresses(
            [Address(**address) for address in options["addresses"]], fetch, installed=server.installed
        ),
    ]


def look(module: AnsibleModule) -> Work:
    gaps = find_gaps(module.params, Server())
    if gaps:
        raise NeedsOperator(_preflight.report(gaps, module.params["server"]), gaps=[gap.as_dict() for gap in gaps])
    return Work(Plan(), {"gaps": []})


ARGUMENTS: dict[str, Any] = {
    "server": {"type": "str", "required": True},
    "configuration": {"type": "list", "elements": "str", "default": []},
    "platforms": {"type": "dict", "required": True},
    "architectures": {"type": "list", "elements": "str", "required": True},
    "memory_min_mb": {"type": "int", "required": True},
    "disk_paths": {"type": "list", "elements": "path", "default": ["/", "/var/lib"]},
    "disk_min_gb": {"type": "int", "required": True},
    "ports": {"type": "list", "elements": "int", "default": [80, 443, 6443]},
    "user": {"type": "str", "default": ""},
    "bundle_dir": {"type": "path", "default": ""},
    "bundle_patterns": {"type": "list", "elements": "str", "default": []},
    "names": {"type": "list", "elements": "str", "default": []},
    "addresses": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "url": {"type": "str", "required": True},
            "what": {"type": "str", "required": True},
            "ca": {"type": "str", "default": ""},
            "answer": {"type": "bool", "default": False},
        },
    },
    "timeout": {"type": "int", "default": 15},
}


def main() -> None:
    run_host_module(ARGUMENTS, look)


if __name__ == "__main__":
    main()
