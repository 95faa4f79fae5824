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
  - With O(login), and once everything else holds, it logs in; with O(record) it also makes a record, reads it back and
    removes it, all through the site's own forms.
  - Without O(record) it only reads. In check mode it looks once, without logging in, and reports without failing, for
    what it looks at may be about to change.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
  - railiance.stack.checks
  - railiance.stack.site
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
    details: What O(record) makes it removes again.
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

- name: Log in, make a tender, read it back and remove it
  railiance.stack.smoke:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    url: https://vergabe.example.org
    checks:
      - path: /health/
    login:
      path: /anmelden/
      secret: {namespace: vergabe-teilnahme, name: vergabe-smoke}
    record:
      create:
        path: /ausschreibungen/neu/
        fields:
          titel: "{mark}"
          auftraggeber: Smoke
          angebotsfrist: 2099-12-31T12:00
      remove:
        path: "{location}loeschen/"
"""

RETURN = r"""
outcomes:
  description: One entry per request and step, in order.
  returned: always
  type: list
  elements: dict
  sample: [{"name": "GET https://vergabe.example.org/health/", "ok": true, "detail": ""}]
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Http
from ansible_collections.railiance.stack.plugins.module_utils._kube_args import AUTH_ARG_SPEC
from ansible_collections.railiance.stack.plugins.module_utils._site import SITE_SPEC, check_held, log_in, look_until
from ansible_collections.railiance.stack.plugins.module_utils._smoke import Outcome

if TYPE_CHECKING:  # importing the client costs time, and most checks need no cluster
    from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube

ARGUMENT_SPEC: dict[str, Any] = {
    **AUTH_ARG_SPEC,
    "url": {"type": "str", "required": True},
    "address": {"type": "str"},
    "host": {"type": "str"},
    "ca_file": {"type": "path"},
    "timeout": {"type": "int", "default": 60},
    **SITE_SPEC,
}


def work(module: AnsibleModule, connect: Callable[[], Kube]) -> list[Outcome]:
    """:param connect: gives the cluster; called only for credentials."""
    params = module.params
    url = params["url"]
    http = Http(ca_file=params["ca_file"], address=params["address"], plain=bool(params["host"]))
    seconds = 0 if module.check_mode else params["timeout"]
    outcomes = look_until(url, params["checks"], http, seconds, params["host"] or "")
    if module.check_mode or not all(outcome.ok for outcome in outcomes):
        return outcomes
    return outcomes + log_in(url, params, http, connect)


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_by={"record": ("login",)},
        mutually_exclusive=[("host", "login")],
        supports_check_mode=True,
    )

    def connect() -> Kube:
        from ansible_collections.railiance.stack.plugins.module_utils._kube import connect_with

        return connect_with(module.params)

    try:
        outcomes = work(module, connect)
        if not module.check_mode:
            check_held(module.params["url"], outcomes)
    except StackError as error:
        module.fail_json(
            msg=str(error), hint=error.hint, needs_operator=isinstance(error, NeedsOperator), **error.result
        )
    module.exit_json(changed=False, outcomes=[outcome.as_dict() for outcome in outcomes])


if __name__ == "__main__":
    main()
