#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smoke
short_description: Check that a site answers as described
version_added: 0.1.0
description:
  - Sends GET requests over verified TLS and compares status, redirect, media type, title and body.
  - Repeats until all checks hold or O(timeout) is over; a proxy picks up a new certificate or pod after a moment.
  - Only reads. In check mode it looks once and reports without failing, for what it looks at may be about to change.
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
  url:
    description:
      - Scheme and host of the site, V(https://app.example.org).
      - V(http://10.43.12.7:80) for a Service inside the cluster, together with O(host).
    type: str
    required: true
  address:
    description: Connect to this address instead of resolving the host; TLS is still verified against the host.
    type: str
  host:
    description: Public host name, sent to a Service inside the cluster with C(X-Forwarded-Proto) as the proxy would.
    type: str
  ca_file:
    description: PEM file trusted in addition to the system's certificates.
    type: path
  timeout:
    description: Seconds until all checks must hold.
    type: int
    default: 60
  checks:
    description: The requests.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Path and query.
        type: str
        required: true
      status:
        description: Expected status; redirects are not followed.
        type: int
        default: 200
      location:
        description: Expected path of a redirect.
        type: str
      title:
        description: Text expected in the page's title element.
        type: str
      content_type:
        description: Expected media type, without parameters.
        type: str
      contains:
        description: Text expected in the body.
        type: str
      excludes:
        description: Text that must not be in the body.
        type: str
      headers:
        description: Request headers.
        type: dict
        default: {}
      assets:
        description: Also fetch the page's own stylesheets and scripts and check status and media type.
        type: bool
        default: false
"""

EXAMPLES = r"""
- name: Look at the application from outside
  railiance.stack.smoke:
    url: https://vergabe.example.org
    checks:
      - path: /health/
      - path: /
        status: 302
        location: /ausschreibungen/dashboard/
      - path: /ausschreibungen/dashboard/
        title: Übersicht
        assets: true
"""

RETURN = r"""
outcomes:
  description: One entry per request, in order.
  returned: always
  type: list
  elements: dict
  sample: [{"name": "GET https://vergabe.example.org/health/", "ok": true, "detail": ""}]
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Http
from ansible_collections.railiance.stack.plugins.module_utils._smoke import Outcome, run_checks

CHECK_SPEC: dict[str, Any] = {
    "path": {"type": "str", "required": True},
    "status": {"type": "int", "default": 200},
    "location": {"type": "str"},
    "title": {"type": "str"},
    "content_type": {"type": "str"},
    "contains": {"type": "str"},
    "excludes": {"type": "str"},
    "headers": {"type": "dict", "default": {}},
    "assets": {"type": "bool", "default": False},
}


def look(params: dict[str, Any], seconds: float) -> list[Outcome]:
    """Run all checks, again and again until they hold or the time is over."""
    http = Http(ca_file=params["ca_file"], address=params["address"], plain=bool(params["host"]))
    proxied = {"Host": params["host"], "X-Forwarded-Proto": "https"} if params["host"] else {}
    deadline = time.monotonic() + seconds
    while True:
        outcomes = run_checks(
            params["url"],
            params["checks"],
            lambda url, headers: http.request("GET", url, headers={**proxied, **headers}),
        )
        if all(outcome.ok for outcome in outcomes) or time.monotonic() >= deadline:
            return outcomes
        time.sleep(0.5)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "address": {"type": "str"},
            "host": {"type": "str"},
            "ca_file": {"type": "path"},
            "timeout": {"type": "int", "default": 60},
            "checks": {"type": "list", "elements": "dict", "required": True, "options": CHECK_SPEC},
        },
        supports_check_mode=True,
    )
    try:
        outcomes = look(module.params, 0 if module.check_mode else module.params["timeout"])
    except StackError as error:
        module.fail_json(msg=str(error))
    result = {"changed": False, "outcomes": [outcome.as_dict() for outcome in outcomes]}
    failed = [outcome for outcome in outcomes if not outcome.ok]
    if failed and not module.check_mode:
        module.fail_json(
            msg=f"{len(failed)} of {len(outcomes)} checks of {module.params['url']} failed: "
            + " | ".join(f"{outcome.name}: {outcome.detail}" for outcome in failed),
            **result,
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
