# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that must answer as described. Private to this collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Response

if TYPE_CHECKING:  # importing the client costs time, and most checks need no cluster
    from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube

#: ``get(url, headers) -> Response``; raises StackError when there is no answer.
Get = Callable[[str, dict[str, str]], Response]

#: Where user and password are. no_log=False: names of keys; the values are never options.
LOGIN_SECRET_SPEC: dict[str, Any] = {
    "type": "dict",
    "no_log": False,
    "options": {
        "namespace": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "username_key": {"type": "str", "default": "username", "no_log": False},
        "password_key": {"type": "str", "default": "password", "no_log": False},
    },
}
_ASSET_TYPES = {"stylesheet": ("text/css",), "script": ("text/javascript", "application/javascript")}


@dataclass(frozen=True)
class Outcome:
    """What one check found; ``detail`` says what was wrong, empty when ``ok``."""

    name: str
    ok: bool
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


class _Page(HTMLParser):
    """Title and assets of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.assets: list[tuple[str, str]] = []
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "title":
            self._in_title = True
        elif tag == "link" and "stylesheet" in (values.get("rel") or "").split() and values.get("href"):
            self.assets.append(("stylesheet", values["href"] or ""))
        elif tag == "script" and values.get("src"):
            self.assets.append(("script", values["src"] or ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data


def run_checks(base_url: str, checks: list[dict[str, Any]], get: Get) -> list[Outcome]:
    """Carry out every check once.

    :param base_url: ``https://host``.
    :param checks: entries of the module's ``checks`` option.
    """
    outcomes: list[Outcome] = []
    for check in checks:
        outcomes.extend(_run_check(base_url, check, get))
    return outcomes


def _run_check(base_url: str, check: dict[str, Any], get: Get) -> list[Outcome]:
    url = base_url.rstrip("/") + check["path"]
    name = f"GET {url}"
    try:
        response = get(url, {key: str(value) for key, value in (check.get("headers") or {}).items()})
    except StackError as error:
        return [Outcome(name, False, str(error))]
    wrong = problems(response, check)
    outcomes = [Outcome(name, not wrong, "; ".join(wrong))]
    if check.get("assets") and not wrong:
        outcomes.extend(_run_assets(url, response, get))
    return outcomes


def problems(response: Response, check: dict[str, Any]) -> list[str]:
    """What is wrong with an answer, one phrase each; empty when it is as described."""
    wrong: list[str] = []
    status = check.get("status") or 200
    if response.status != status:
        wrong.append(f"status {response.status}, expected {status}")
    if check.get("location"):
        location = urlsplit(response.headers.get("location", "")).path
        if location != check["location"]:
            wrong.append(f"redirects to '{location}', expected '{check['location']}'")
    if check.get("content_type") and response.media_type != check["content_type"].lower():
        wrong.append(f"media type '{response.media_type}', expected '{check['content_type']}'")
    if check.get("title"):
        page = _Page()
        page.feed(response.text)
        if check["title"] not in page.title:
            wrong.append(f"title '{page.title.strip()}', expected '{check['title']}'")
    if check.get("contains") and check["contains"] not in response.text:
        wrong.append(f"the body lacks '{check['contains']}'")
    if check.get("excludes") and check["excludes"] in response.text:
        wrong.append(f"the body has '{check['excludes']}'")
    return wrong


def _run_assets(url: str, response: Response, get: Get) -> list[Outcome]:
    page = _Page()
    page.feed(response.text)
    if not page.assets:
        return [Outcome(f"assets of {url}", False, "the page names no stylesheet and no script")]
    outcomes = []
    for kind, reference in page.assets:
        asset = urljoin(url, reference)
        if urlsplit(asset).netloc != urlsplit(url).netloc:
            continue  # another host's asset is that host's concern
        try:
            answer = get(asset, {})
        except StackError as error:
            outcomes.append(Outcome(f"GET {asset}", False, str(error)))
            continue
        wrong = problems(answer, {"status": 200})
        if answer.media_type not in _ASSET_TYPES[kind]:
            wrong.append(f"media type '{answer.media_type}', expected '{_ASSET_TYPES[kind][0]}'")
        if not answer.body:
            wrong.append("the body is empty")
        outcomes.append(Outcome(f"GET {asset}", not wrong, "; ".join(wrong)))
    return outcomes


# -- with the cluster ------------------------------------------------------------------------------------------
def credentials_of(kube: Kube, secret: dict[str, str]) -> tuple[str, str]:
    """User and password out of a Secret.

    :raises NeedsOperator: when it has none.
    """
    from ansible_collections.railiance.stack.plugins.module_utils._kube import Ref
    from ansible_collections.railiance.stack.plugins.module_utils._secret import decode

    ref = Ref("v1", "Secret", secret["name"], secret["namespace"])
    keys = (secret["username_key"], secret["password_key"])
    values = decode(kube.get(ref))
    if not all(values.get(key) for key in keys):
        raise NeedsOperator(
            f"{ref} does not exist or lacks one of {' and '.join(keys)}, so nobody can log in.",
            "Create it with a user of the application that may do what the check does.",
        )
    return values[keys[0]], values[keys[1]]
