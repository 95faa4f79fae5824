# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves layers with skopeo. The token travels in a 0600 file that is gone afterwards. Private to this collection."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import select
import shutil
import signal
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._command import Ran, Runner
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._registry import Login


@dataclass(frozen=True)
class Source:
    """An image that is to be pushed.

    :param reference: with skopeo's transport, ``containers-storage:localhost/x:tag``.
    :param config_digest: identifies its content.
    :param config: the image's configuration: user, ports, health check, labels, platform.
    """

    reference: str
    config_digest: str
    config: dict[str, Any]


class Skopeo:
    """:param run: runs a program."""

    def __init__(self, run: Runner) -> None:
        self._run = run

    def inspect(self, reference: str) -> Source:
        """:raises StackError: when the source does not exist."""
        done = self._run(["skopeo", "inspect", "--raw", "--config", reference])
        if done.rc != 0:
            raise StackError(
                f"The image {reference} cannot be read: {message(done)}.",
                "Build it first, or name its transport: containers-storage:, oci-archive:, docker-archive:, oci:",
                rc=done.rc,
                stderr=done.stderr[-2000:],
            )
        try:
            config = json.loads(done.stdout)
        except ValueError as error:
            raise StackError(f"The configuration of {reference} is no JSON.", "Build the image again.") from error
        return Source(reference, "sha256:" + hashlib.sha256(done.stdout.encode()).hexdigest(), config)

    def copy(self, reference: str, host: str, name: str, login: Login, ca_file: str = "", address: str = "") -> None:
        """Push ``reference`` to ``name`` (``host/repository:tag``); layers that are there are not sent again."""
        with private_folder() as folder, contextlib.ExitStack() as stack:
            authfile = folder / "auth.json"
            authfile.touch(mode=0o600)
            secret = base64.b64encode(f"{login.username}:{login.token}".encode()).decode()
            authfile.write_text(json.dumps({"auths": {host: {"auth": secret}}}), encoding="utf-8")
            command = ["skopeo", "copy", "--quiet", "--authfile", str(authfile), "--retry-times", "3"]
            if ca_file:
                trusted = folder / "trusted"
                trusted.mkdir()
                shutil.copyfile(ca_file, trusted / "ca.crt")
                command += ["--dest-cert-dir", str(trusted)]
            environment = {}
            if address:
                port = stack.enter_context(connect_proxy(host, address))
                environment = {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "NO_PROXY": "", "no_proxy": ""}
            done = self._run([*command, reference, f"docker://{name}"], environment=environment)
        if done.rc != 0:
            raise StackError(
                f"Could not push {reference} to {name}: {message(done)}.",
                push_hint(done.stderr, host),
                rc=done.rc,
                stderr=done.stderr[-2000:],
                cmd=["skopeo", "copy", reference, f"docker://{name}"],
            )


# -- the way around name resolution ------------------------------------------------------------------------------
@contextlib.contextmanager
def connect_proxy(host: str, address: str) -> Iterator[int]:
    """A CONNECT proxy on the loopback address that knows one target: ``host`` at ``address``.

    skopeo has no address override of its own. TLS runs through it end to end, so the name is still verified.
    """
    name, _colon, port = host.partition(":")
    target = f"{name}:{port or 443}"

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            words = self.rfile.readline(4096).decode("latin-1").split()
            while self.rfile.readline(4096).strip():
                pass
            if len(words) < 2 or words[0] != "CONNECT" or words[1].lower() != target.lower():
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                return
            try:
                upstream = socket.create_connection((address, int(port or 443)), 30)
            except OSError:
                self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
            with upstream:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _pump(self.connection, upstream)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Bytes both ways until either end closes."""
    while True:
        readable, _writable, _broken = select.select([one, other], [], [])
        for end in readable:
            data = end.recv(65536)
            if not data:
                return
            (other if end is one else one).sendall(data)


# -- files that must not stay ------------------------------------------------------------------------------------
@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A 0700 folder in memory where there is one; removed at the end, also when the process is asked to stop."""
    memory = Path("/dev/shm")  # noqa: S108

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if in_main else None
    try:
        with tempfile.TemporaryDirectory(prefix="railiance-", dir=memory if memory.is_dir() else None) as name:
            yield Path(name)
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)


# -- messages ----------------------------------------------------------------------------------------------------
def message(done: Ran) -> str:
    """skopeo's last line without its log format: ``time="…" level=fatal msg="…"``."""
    reason = done.reason
    _before, found, text = reason.partition('msg="')
    return text.rstrip('"').replace('\\"', '"').rstrip(".") if found else reason


_HINTS = (
    (
        ("unexpected EOF", "connection reset by peer", "broken pipe"),
        "A proxy cut the upload of a large layer: raise the read timeout of its entry point"
        " (Traefik: respondingTimeouts.readTimeout), then run this again; what arrived is kept.",
    ),
    (("x509", "certificate"), "Name the private authority's certificate in ca_file."),
    (("no such host", "server misbehaving"), "Create the DNS record of {host}, or give its address in address."),
    (("unauthorized", "authentication required", "denied"), "The token needs the scope write:package."),
    (("quota", "limit"), "The organisation's package limit is reached: remove versions that are no longer needed."),
    (("no space left",), "The disk of this host or of the registry is full."),
    (("connection refused", "i/o timeout"), "Check that {host} is up and reachable from this host."),
)


def push_hint(stderr: str, host: str) -> str:
    """The next step for what skopeo said."""
    said = stderr.lower()
    for words, hint in _HINTS:
        if any(word.lower() in said for word in words):
            return hint.format(host=host)
    return "Run this again: what arrived is kept. If it fails again, look at the registry's log."
