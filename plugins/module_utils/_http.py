# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTPS to one server, with an own CA file and an address override that keeps verification. Private to this collection.

The standard library alone: one kept-alive connection, no redirects, no retries of writing calls, and every failure
is one sentence with a next step.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import urlsplit

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError


@dataclass(frozen=True)
class Response:
    """What the server answered; header names are lower-case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: Each Set-Cookie header; the only one that comes several times and cannot be joined.
    set_cookies: tuple[str, ...] = ()

    def json(self) -> Any:
        """:raises StackError: when the body is no JSON."""
        try:
            return json.loads(self.body or b"null")
        except ValueError as error:
            raise StackError(
                f"The answer (HTTP {self.status}) is no JSON: {self.text[:200]!r}.",
                "Check that nothing between here and the server answers in its place.",
            ) from error

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def media_type(self) -> str:
        """``text/html`` of ``text/html; charset=utf-8``; empty when the server names none."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()


class Transport(Protocol):
    """The way to one server; tests put their own in place."""

    #: what a message calls the server, ``https://gitea.example.org``
    base_url: str

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """:raises StackError: when no answer came."""


class HttpsTransport:
    """:class:`Transport` over verified TLS.

    :param base_url: ``https://name[:port]``; a path in it is refused, as is plain ``http``.
    :param ca_file: PEM file trusted in addition to the system's certificates.
    :param address: connect there instead of resolving the name, ``192.0.2.7`` or with a port of its own
        ``192.0.2.7:8443``; the certificate is still checked against the name.
    """

    def __init__(self, base_url: str, *, ca_file: str = "", address: str = "", timeout: float = 30) -> None:
        parts = urlsplit(base_url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or port == -1:
            raise StackError(
                f"{base_url!r} is no server address of the form https://name[:port].",
                "Credentials travel over verified TLS only; give the public name of the server.",
            )
        self.host = parts.hostname
        self.port = port or 443
        self.base_url = f"https://{parts.hostname}" + (f":{port}" if port and port != 443 else "")
        self._address = address
        self._timeout = timeout
        self._ca_file = ca_file
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        reused = self._connection is not None
        try:
            return self._once(method, path, headers or {}, body)
        except (http.client.BadStatusLine, ConnectionError) as error:
            self.close()
            # A kept-alive connection that the server closed meanwhile: only reading is safe to repeat.
            if not reused or method not in ("GET", "HEAD"):
                raise self._failed(error) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._failed(error) from error
        try:
            return self._once(method, path, headers or {}, body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._failed(error) from error

    def _connect(self) -> http.client.HTTPConnection:
        return _Connection(self.host, self.port, self._address, self._context, self._timeout)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """Made with the first connection: in check mode the CA file may still be to come, like the server."""
        return _context(self._ca_file)

    def _once(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request(method, path, body=body, headers=dict(headers))
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.will_close:
            self.close()
        received = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, received, content, tuple(answer.headers.get_all("set-cookie") or ()))

    def _failed(self, error: Exception) -> StackError:
        where = f"{self.base_url}" + (f" (at {self._address})" if self._address else "")
        if isinstance(error, ssl.SSLCertVerificationError):
            return StackError(
                f"{where} shows a certificate that is not trusted here: {error.verify_message}.",
                "If it comes from a private authority, name its certificate in stack_ca_file; otherwise wait until"
                " the certificate has been issued.",
            )
        if isinstance(error, socket.gaierror):
            return StackError(
                f"The name {self.host} cannot be resolved ({error.strerror}).",
                "Create its DNS record, or give the server's address in the option address.",
            )
        if isinstance(error, TimeoutError):
            return StackError(f"{where} did not answer within {self._timeout:.0f} s.", "Look at the server's log.")
        return StackError(
            f"{where} cannot be reached: {error}.", "Check that the server runs and that its port is open."
        )


class PlainTransport(HttpsTransport):
    """:class:`Transport` to an address inside the cluster, behind the proxy that ends TLS. Never for credentials."""

    def __init__(self, base_url: str, *, timeout: float = 30) -> None:
        parts = urlsplit(base_url)
        super().__init__(f"https://{parts.netloc}", timeout=timeout)
        self.port, self.base_url = parts.port or 80, base_url

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=self._timeout)


class Http:
    """Requests by whole URL; one kept connection a server.

    :param ca_file: PEM file trusted in addition to the system's certificates.
    :param address: connect there whatever the URL's name resolves to; certificates are checked against the name.
    :param plain: whether URLs may be http, for addresses inside the cluster.
    """

    def __init__(
        self, *, ca_file: str | None = None, address: str | None = None, timeout: float = 30, plain: bool = False
    ) -> None:
        self._ca_file = ca_file or ""
        self._plain = plain
        self._address = address or ""
        self._timeout = timeout
        self._servers: dict[str, HttpsTransport] = {}

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """:raises StackError: when no answer came, or the URL is not https."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._servers:
            self._servers[origin] = (
                PlainTransport(origin, timeout=self._timeout)
                if self._plain and parts.scheme == "http"
                else HttpsTransport(origin, ca_file=self._ca_file, address=self._address, timeout=self._timeout)
            )
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return self._servers[origin].request(method, path, headers=headers, body=body)


class _Connection(http.client.HTTPSConnection):
    """Connects to ``address``, if given, and verifies the name all the same."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._address = address
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection(endpoint(self._address or self.host, self.port), self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def basic(username: str, password: str) -> str:
    """The Authorization header of a login."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def endpoint(address: str, port: int) -> tuple[str, int]:
    """Host and port to connect to; ``address`` may carry a port of its own, IPv6 then in brackets."""
    if address.startswith("["):
        host, _bracket, rest = address[1:].partition("]")
        return host, int(rest[1:]) if rest[1:].isdigit() else port
    host, colon, own = address.rpartition(":")
    return (host, int(own)) if colon and own.isdigit() and ":" not in host else (address, port)


def _context(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise StackError(
                f"The CA file {ca_file} cannot be used: {error}.", "It must hold certificates in PEM form."
            ) from error
    return context
