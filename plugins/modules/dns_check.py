#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_check
short_description: Check that public names lead to a server
version_added: 0.1.0
description:
  - Finds the zone of each host and asks the zone's own name servers, one by one, for its addresses, through aliases
    as well. A cache along the way cannot answer in their place.
  - Fails, as something only a person can do, with the exact record to create, and where.
  - Only reads.
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
  hosts:
    description: Host names.
    type: list
    elements: str
    required: true
  addresses:
    description: Addresses, or the one name, at which the world reaches the server.
    type: list
    elements: str
    required: true
  view:
    description:
      - V(authoritative) asks the name servers of each host's zone.
      - V(resolver) asks the machine's own resolver, for a zone that the outside sees differently or whose servers
        cannot be asked from here.
    type: str
    choices: [authoritative, resolver]
    default: authoritative
  zones:
    description: Zones in which you can create records. A wrong host in any other zone is somebody else's to correct.
    type: list
    elements: str
    default: []
  resolvers:
    description: Addresses of recursive name servers to begin with; those of the machine when empty.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Check that the application's name leads to the server
  railiance.stack.dns_check:
    hosts: [vergabe.example.org]
    addresses: [203.0.113.10]
"""

RETURN = r"""
dns:
  description: What the name servers said, one entry a host; on failure only the hosts that are wrong.
  returned: always
  type: list
  elements: dict
  sample:
    - host: vergabe.example.org
      state: missing
      zone: example.org
      servers: [ns1.example.org, ns2.example.org]
      addresses: []
      records: [vergabe.example.org. 300 IN A 203.0.113.10]
      message: >-
        vergabe.example.org has no address; asked was the zone example.org (name servers ns1.example.org,
        ns2.example.org).
      hint: "Create this record there: vergabe.example.org. 300 IN A 203.0.113.10"
      notes: []
needs_operator:
  description: Whether only a person can do the next step.
  returned: failure
  type: bool
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._dns import ask
from ansible_collections.railiance.stack.plugins.module_utils._dns_check import Ask, checker_of, report
from ansible_collections.railiance.stack.plugins.module_utils._host import Work, run_host_module
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan

ARGUMENTS: dict[str, Any] = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "addresses": {"type": "list", "elements": "str", "required": True},
    "view": {"type": "str", "choices": ["authoritative", "resolver"], "default": "authoritative"},
    "zones": {"type": "list", "elements": "str", "default": []},
    "resolvers": {"type": "list", "elements": "str", "default": []},
}


def look(module: Any, ask_server: Ask = ask) -> Work:
    params = module.params
    checker = checker_of(ask_server, params["resolvers"], params["addresses"], params["zones"], params["view"])
    findings = checker.look(params["hosts"])
    report(findings)
    return Work(Plan(), {"dns": [finding.as_dict() for finding in findings]})


def main() -> None:
    run_host_module(ARGUMENTS, look)


if __name__ == "__main__":
    main()
