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
  login:
    description: Log in with a form that has a field for the user and one for the password.
    type: dict
    suboptions:
      path:
        description: Path of the page with the form.
        type: str
        required: true
      secret:
        description:
          - Secret with the user and the password, C(namespace), C(name) and, unless they are C(username) and
            C(password), C(username_key) and C(password_key). Needs the connection options of the cluster.
        type: dict
        required: true
        suboptions:
          namespace:
            description: Its namespace.
            type: str
            required: true
          name:
            description: Its name.
            type: str
            required: true
          username_key:
            description: Key of the user.
            type: str
            default: username
          password_key:
            description: Key of the password.
            type: str
            default: password
      username_field:
        description: Name of the field for the user.
        type: str
        default: username
      password_field:
        description: Name of the field for the password.
        type: str
        default: password
  record:
    description:
      - A record to make, read back and remove after O(login). In paths and values V({mark}) stands for a text that is
        new in each run, V({location}) for the path the site leads to after making it, V({id}) for the last number in
        that path.
    type: dict
    suboptions:
      create:
        description: The form that makes it, C(path) and C(fields).
        type: dict
        required: true
        suboptions:
          path:
            description: Path of the page with the form.
            type: str
            required: true
          fields:
            description: Values of its fields; the others stay as the page has them.
            type: dict
            default: {}
      read:
        description: Path of a page that shows V({mark}).
        type: str
        default: "{location}"
      remove:
        description: The form that removes it, C(path) and C(fields).
        type: dict
        required: true
        suboptions:
          path:
            description: Path of the page with the form.
            type: str
            required: true
          fields:
            description: Values of its fields; the others stay as the page has them.
            type: dict
            default: {}
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

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Http
from ansible_collections.railiance.stack.plugins.module_utils._kube_args import AUTH_ARG_SPEC
from ansible_collections.railiance.stack.plugins.module_utils._session import visit
from ansible_collections.railiance.stack.plugins.module_utils._smoke import Outcome, credentials_of, run_checks

if TYPE_CHECKING:  # importing the client costs half a second, and most checks need no cluster
    from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube

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
FORM_SPEC: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {"path": {"type": "str", "required": True}, "fields": {"type": "dict", "default": {}}},
}
# no_log=False: names of fields and keys, and where the Secret is; its values are never options.
LOGIN_SPEC: dict[str, Any] = {
    "path": {"type": "str", "required": True},
    "secret": {
        "type": "dict",
        "required": True,
        "no_log": False,
        "options": {
            "namespace": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "username_key": {"type": "str", "default": "username", "no_log": False},
            "password_key": {"type": "str", "default": "password", "no_log": False},
        },
    },
    "username_field": {"type": "str", "default": "username"},
    "password_field": {"type": "str", "default": "password", "no_log": False},
}
ARGUMENT_SPEC: dict[str, Any] = {
    **AUTH_ARG_SPEC,
    "url": {"type": "str", "required": True},
    "address": {"type": "str"},
    "host": {"type": "str"},
    "ca_file": {"type": "path"},
    "timeout": {"type": "int", "default": 60},
    "checks": {"type": "list", "elements": "dict", "required": True, "options": CHECK_SPEC},
    "login": {"type": "dict", "options": LOGIN_SPEC},
    "record": {
        "type": "dict",
        "options": {"create": FORM_SPEC, "read": {"type": "str", "default": "{location}"}, "remove": FORM_SPEC},
    },
}


def look(http: Http, params: dict[str, Any], seconds: float) -> list[Outcome]:
    """Run all checks, again and again until they hold or the time is over."""
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


def work(module: AnsibleModule, connect: Callable[[], Kube]) -> list[Outcome]:
    """:param connect: gives the cluster; called only for credentials."""
    params = module.params
    http = Http(ca_file=params["ca_file"], address=params["address"], plain=bool(params["host"]))
    outcomes = look(http, params, 0 if module.check_mode else params["timeout"])
    if not params["login"] or module.check_mode or not all(outcome.ok for outcome in outcomes):
        return outcomes
    return outcomes + visit(
        params["url"],
        params["login"],
        params["record"],
        credentials_of(connect(), params["login"]["secret"]),
        lambda method, url, headers, body: http.request(method, url, headers=headers, body=body),
    )


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
    except StackError as error:
        module.fail_json(
            msg=str(error), hint=error.hint, needs_operator=isinstance(error, NeedsOperator), **error.result
        )
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
