# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A visitor who logs in, makes a record, reads it back and removes it. Private to this collection.

Goes through the site's own forms as a browser would, so that cookies, hidden fields and the protection against forged
requests are tested along.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Response
from ansible_collections.railiance.stack.plugins.module_utils._smoke import Outcome

#: ``send(method, url, headers, body) -> Response``; raises StackError when there is no answer.
Send = Callable[[str, str, dict[str, str], "bytes | None"], Response]

_REDIRECTS = (301, 302, 303)
_GONE = (404, 410, *_REDIRECTS)
#: Inputs that a browser does not send unless they are pressed.
_BUTTONS = ("submit", "button", "image", "reset", "file")
_FIELD = re.compile(r"\{(mark|location|id)\}")
_LONGEST = 200


@dataclass
class Form:
    """A form as it stands on the page: where it goes, and what a browser would send untouched."""

    action: str = ""
    method: str = "get"
    fields: dict[str, Any] = field(default_factory=dict)


class Page(HTMLParser):
    """The forms of a page, and what it says is wrong."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.complaints: list[str] = []
        self._form: Form | None = None
        self._select: str = ""
        self._area: str = ""
        self._complaint: str = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if set(values.get("class", "").split()) & {"errorlist", "errornote", "invalid-feedback"}:
            self._complaint = tag
        if tag == "form":
            self._form = Form(values.get("action", ""), values.get("method", "get").lower())
            self.forms.append(self._form)
        if self._form is not None:
            self._control(tag, dict(attrs), values)

    def _control(self, tag: str, given: Mapping[str, str | None], values: Mapping[str, str]) -> None:
        fields, name = (self._form or Form()).fields, values.get("name", "")
        if tag == "option" and self._select:
            # Untouched, a browser sends the first option unless another one is selected.
            if "selected" in given or self._select not in fields:
                fields[self._select] = values.get("value", "")
        elif tag == "select":
            self._select = name if "multiple" not in given else ""
        elif tag == "textarea" and name:
            self._area = name
            fields[name] = ""
        elif tag == "input" and name and values.get("type", "text") not in _BUTTONS:
            if values.get("type") not in ("checkbox", "radio"):
                fields[name] = values.get("value", "")
            elif "checked" in given:
                fields[name] = values.get("value", "on")
            else:
                fields.setdefault(name, None)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._complaint:
            self._complaint = ""
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._complaint and data.strip():
            self.complaints.append(data.strip())
        if self._area and self._form:
            self._form.fields[self._area] += data

    def form(self, url: str, wanted: Mapping[str, Any]) -> Form | None:
        """The form that has the wanted fields; among several the one that posts to its own page."""
        fitting = [form for form in self.forms if form.method == "post" and set(wanted) <= set(form.fields)]
        own = [form for form in fitting if urlsplit(urljoin(url, form.action)).path == urlsplit(url).path]
        return next(iter([*own, *fitting]), None)


class Failed(StackError):
    """A step of the visit did not go as a visitor expects."""


class Session:
    """One visitor of one site.

    :param base_url: ``https://host``; nothing is sent anywhere else.
    """

    def __init__(self, base_url: str, send: Send) -> None:
        self._base = base_url.rstrip("/")
        self._send = send
        self._cookies: dict[str, str] = {}

    def get(self, path: str) -> Response:
        return self._request("GET", path, {}, None)

    def submit(self, path: str, fields: Mapping[str, Any]) -> str:
        """Fill in the form of a page and send it.

        :returns: the path that the site leads to afterwards.
        :raises Failed: when there is no such form, or the site does not take it.
        """
        page = self.get(path)
        if page.status != 200:
            raise Failed(f"status {page.status}{_to(page)}, expected a page with a form")
        url = self._base + path
        form = Page(page.text).form(url, fields)
        if form is None:
            raise Failed(f"the page has no form with the fields {', '.join(fields) or 'to confirm'}")
        target = urlsplit(urljoin(url, form.action))
        if f"{target.scheme}://{target.netloc}" != self._base:
            raise Failed(f"the form goes to another site, {target.netloc}")
        body = {name: value for name, value in {**form.fields, **fields}.items() if value is not None}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Referer": url, "Origin": self._base}
        answer = self._request("POST", _path(target), headers, urlencode(body, doseq=True).encode())
        if answer.status not in _REDIRECTS:
            said = "; ".join(Page(answer.text).complaints)[:_LONGEST]
            raise Failed(f"status {answer.status}, expected a redirect" + (f"; the page says: {said}" if said else ""))
        return _path(urlsplit(urljoin(url, answer.headers.get("location", ""))))

    def _request(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Response:
        if self._cookies:
            headers = {**headers, "Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        answer = self._send(method, self._base + path, headers, body)
        for line in answer.set_cookies:
            self._keep(line)
        return answer

    def _keep(self, line: str) -> None:
        try:
            cookies = SimpleCookie(line)
        except CookieError:
            return
        for name, cookie in cookies.items():
            if cookie["max-age"] == "0" or not cookie.value:
                self._cookies.pop(name, None)
            else:
                self._cookies[name] = cookie.coded_value


def visit(
    base_url: str, login: Mapping[str, Any], record: Mapping[str, Any] | None, credentials: tuple[str, str], send: Send
) -> list[Outcome]:
    """Log in; make, read back and remove a record, when one is described.

    What was made is removed even when it could not be read back.

    :param login: the option ``login`` of M(railiance.stack.smoke).
    :param credentials: user and password.
    """
    session = Session(base_url, send)
    outcomes: list[Outcome] = []

    def step(name: str, work: Callable[[], Any]) -> Any:
        try:
            result = work()
        except StackError as error:
            outcomes.append(Outcome(name, False, str(error)))
            return None
        outcomes.append(Outcome(name, True))
        return result if result is not None else ""

    fields = dict(zip((login["username_field"], login["password_field"]), credentials, strict=True))
    if step(f"log in at {base_url}{login['path']}", lambda: _log_in(session, login["path"], fields)) is None:
        return outcomes
    if not record:
        return outcomes
    known = {"mark": f"smoke-{secrets.token_hex(4)}", "location": "", "id": ""}
    create, remove = record["create"], record["remove"]
    made = step(f"create at {create['path']}", lambda: session.submit(create["path"], _filled(create["fields"], known)))
    if made is None:
        return outcomes
    known["location"] = urlsplit(made).path
    known["id"] = next(iter(reversed(re.findall(r"\d+", known["location"]))), "")
    page = _fill(record["read"], known)
    step(f"read back at {page}", lambda: _read(session, page, known["mark"]))
    path = _fill(remove["path"], known)
    if step(f"remove at {path}", lambda: session.submit(path, _filled(remove["fields"], known))) is None:
        left = outcomes[-1]
        outcomes[-1] = Outcome(left.name, False, f"{left.detail}; remove '{known['mark']}' at {page} by hand")
    else:
        step(f"gone at {page}", lambda: _is_gone(session, page, known["mark"]))
    return outcomes


def _log_in(session: Session, path: str, fields: Mapping[str, str]) -> None:
    to = session.submit(path, fields)
    if urlsplit(to).path == urlsplit(path).path:
        raise Failed("the site asks to log in again")


def _read(session: Session, path: str, mark: str) -> None:
    answer = session.get(path)
    if answer.status != 200:
        raise Failed(f"status {answer.status}{_to(answer)}, expected 200")
    if mark not in answer.text:
        raise Failed(f"the page lacks '{mark}'")


def _is_gone(session: Session, path: str, mark: str) -> None:
    answer = session.get(path)
    if answer.status not in _GONE and mark in answer.text:
        raise Failed(f"status {answer.status}, and '{mark}' is still there")


def _filled(fields: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    return {name: _fill(str(value), known) for name, value in fields.items()}


def _fill(text: str, known: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda match: known[match[1]], text)


def _to(answer: Response) -> str:
    return f" to {answer.headers['location']}" if "location" in answer.headers else ""


def _path(parts: Any) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
