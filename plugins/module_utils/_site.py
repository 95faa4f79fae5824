# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at a site from one place: all checks until they hold, then the login. Private to this collection."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Http
from ansible_collections.railiance.stack.plugins.module_utils._session import visit
from ansible_collections.railiance.stack.plugins.module_utils._smoke import (
    LOGIN_SECRET_SPEC,
    Outcome,
    credentials_of,
    run_checks,
)

if TYPE_CHECKING:  # importing the client costs time, and most checks need no cluster
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
# no_log=False: the name of a field.
LOGIN_SPEC: dict[str, Any] = {
    "path": {"type": "str", "required": True},
    "secret": {**LOGIN_SECRET_SPEC, "required": True},
    "username_field": {"type": "str", "default": "username"},
    "password_field": {"type": "str", "default": "password", "no_log": False},
}
#: Options of the module smoke, and of whoever takes its checks.
SITE_SPEC: dict[str, Any] = {
    "checks": {"type": "list", "elements": "dict", "required": True, "options": CHECK_SPEC},
    "login": {"type": "dict", "options": LOGIN_SPEC},
    "record": {
        "type": "dict",
        "options": {"create": FORM_SPEC, "read": {"type": "str", "default": "{location}"}, "remove": FORM_SPEC},
    },
}


def look_until(url: str, checks: list[dict[str, Any]], http: Http, seconds: float, host: str = "") -> list[Outcome]:
    """Run all checks, again and again until they hold or the time is over.

    :param host: public host name, for a Service inside the cluster that is asked as the proxy would ask it.
    """
    proxied = {"Host": host, "X-Forwarded-Proto": "https"} if host else {}
    deadline = time.monotonic() + seconds
    while True:
        outcomes = run_checks(
            url, checks, lambda asked, headers: http.request("GET", asked, headers={**proxied, **headers})
        )
        if all(outcome.ok for outcome in outcomes) or time.monotonic() >= deadline:
            return outcomes
        time.sleep(0.5)


def log_in(url: str, params: Mapping[str, Any], http: Http, connect: Callable[[], Kube]) -> list[Outcome]:
    """What ``login`` and ``record`` ask for; nothing without a login.

    :param connect: gives the cluster with the credentials.
    """
    if not params["login"]:
        return []
    return visit(
        url,
        params["login"],
        params["record"],
        credentials_of(connect(), params["login"]["secret"]),
        lambda method, asked, headers, body: http.request(method, asked, headers=headers, body=body),
    )


def check_held(url: str, outcomes: Sequence[Outcome]) -> None:
    """:raises StackError: naming the checks that did not hold."""
    failed = [outcome for outcome in outcomes if not outcome.ok]
    if failed:
        raise StackError(
            f"{len(failed)} of {len(outcomes)} checks of {url} failed: "
            + " | ".join(f"{outcome.name}: {outcome.detail}" for outcome in failed),
            changed=False,
            outcomes=[outcome.as_dict() for outcome in outcomes],
        )
