#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_point_info
short_description: List the restore points on a host
version_added: 0.1.0
description:
  - Lists what M(railiance.stack.restore_point) has taken, the newest first. Only reads, and needs no cluster.
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
  app:
    description: Only those of this application.
    type: str
    default: ""
  directory:
    description: Directory on the host.
    type: path
    default: /var/lib/railiance/restore-points
  verify:
    description: Compare each file with its recorded checksum; reads all of them.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: List the restore points of an application
  railiance.stack.restore_point_info:
    app: vergabe-teilnahme
  register: there

- name: Show them
  ansible.builtin.debug:
    msg: "{{ there.restore_points | map(attribute='name') | list }}"
"""

RETURN = r"""
restore_points:
  description: The restore points, newest first.
  returned: success
  type: list
  elements: dict
  sample:
    - name: vergabe-teilnahme-20261121T105049Z-4f2c1a
      app: vergabe-teilnahme
      database: vergabe_teilnahme
      created: "2026-11-21T10:50:49Z"
      age: 86400
      size: 48213
      reason: before migration shop.0007_drop_legacy
      server_version: "17.5"
      tables: {public.shop_item: 1200}
      recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
      problem: ""
table:
  description: The same for a person, one line each.
  returned: success
  type: list
  elements: str
  sample: ["restore point vergabe-teilnahme-20261121T105049Z-4f2c1a  2026-11-21T10:50:49Z  48 KiB  before a migration"]
apps:
  description: Of each application, how many there are, what they take and how old the newest is, in seconds.
  returned: success
  type: dict
  sample:
    vergabe-teilnahme: {count: 3, size: 144639, newest_age: 86400}
"""

import time
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._host import Work, run_host_module
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan
from ansible_collections.railiance.stack.plugins.module_utils._restore_store import Store

ARGUMENT_SPEC: dict[str, Any] = {
    "app": {"type": "str", "default": ""},
    "directory": {"type": "path", "default": "/var/lib/railiance/restore-points"},
    "verify": {"type": "bool", "default": False},
}


def look(module: Any, now: float | None = None) -> Work:
    params = module.params
    points = Store(params["directory"]).overview(params["app"], time.time() if now is None else now, params["verify"])
    apps: dict[str, dict[str, int]] = {}
    for point in points:
        entry = apps.setdefault(point["app"], {"count": 0, "size": 0, "newest_age": point["age"]})
        entry["count"] += 1
        entry["size"] += point["size"]
    return Work(Plan(), {"restore_points": points, "apps": apps, "table": [_line(point) for point in points]})


def _line(point: dict[str, Any]) -> str:
    problem = f"cannot be used: {point['problem']}" if point["problem"] else ""
    size = f"{-(-point['size'] // 1024)} KiB"
    words = [f"restore point {point['name']}", point["created"], size, point["reason"], problem]
    return "  ".join(word for word in words if word)


def main() -> None:
    run_host_module(ARGUMENT_SPEC, look)


if __name__ == "__main__":
    main()
