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
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._command import Ran, Runner
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import endpoint
from ansible_collections.railiance.stack.plugins.module_utils._registry import Login

_ATTEMPTS = 3
#: Seconds between two attempts: another client that uploads the same layer is through by then.
_PAUSE = 2.0
#: A connection that lived this long was cut by a timeout, which would cut the next one as well.
_PATIENCE = 30.0
_BUFFER = 256 * 1024


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
    """:param run: runs a program.

    :param sleep: waits between two attempts.
    """

    def __init__(self, run: Runner, sleep: Callable[[float], None] = time.sleep) -> None:
        self._run = run
        self._sleep = sleep

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

    def copy(
        self,
        reference: str,
        host: str,
        name: str,
        login: Login,
        ca_file: str = "",
        address: str = "",
        compression_level: int = 1,
    ) -> int:
        """Push ``reference`` to ``name`` (``host/repository:tag``); layers that are there are not sent again.

        :param compression_level: of gzip, 1 (fast) to 9 (small), for layers that are not compressed yet.
        :returns: bytes that left for the registry.
        """
        command = ["skopeo", "copy", "--quiet", "--retry-times", "2", "--dest-compress-level", str(compression_level)]
        with private_folder() as folder, tunnel(host, address) as way:
            authfile = folder / "auth.json"
            authfile.touch(mode=0o600)
            secret = base64.b64encode(f"{login.username}:{login.token}".encode()).decode()
            authfile.write_text(json.dumps({"auths": {host: {"auth": secret}}}), encoding="utf-8")
            command += ["--authfile", str(authfile)]
            if ca_file:
                trusted = folder / "trusted"
                trusted.mkdir()
                shutil.copyfile(ca_file, trusted / "ca.crt")
                command += ["--dest-cert-dir", str(trusted)]
            environment = {"HTTPS_PROXY": f"http://127.0.0.1:{way.port}", "NO_PROXY": "", "no_proxy": ""}
            for attempt in range(_ATTEMPTS):
                done = self._run([*command, reference, f"docker://{name}"], environment=environment)
                if done.rc == 0:
                    return way.sent
                if attempt + 1 == _ATTEMPTS or not (worth_repeating(done.stderr) or way.cut_early):
                    break
                self._sleep(_PAUSE)
        raise StackError(
            f"Could not push {reference} to {name}: {message(done)}.{way.story}",
            push_hint(done.stderr, host, cut=bool(way.story)),
            rc=done.rc,
            stderr=done.stderr[-2000:],
            cmd=["skopeo", "copy", reference, f"docker://{name}"],
            bytes_sent=way.sent,
        )


# -- the way to the registry ---------------------------------------------------------------------------------------
class Tunnel:
    """What went through: counted here, because skopeo does not say it.

    :param port: of the proxy on the loopback address.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent = 0
        self.cut_early = False
        self._cut = ""
        self._lock = threading.Lock()

    def count(self, sent: int) -> None:
        with self._lock:
            self.sent += sent

    def cut(self, sent: int, seconds: float) -> None:
        """The other side closed a connection in the middle of a request."""
        with self._lock:
            self.cut_early = seconds < _PATIENCE
            self._cut = f" The other side closed the connection after {sent / 1e6:.1f} MB and {seconds:.0f} s."

    @property
    def story(self) -> str:
        return self._cut


@contextlib.contextmanager
def tunnel(host: str, address: str = "") -> Iterator[Tunnel]:
    """A CONNECT proxy on the loopback address; TLS runs through it end to end, so names are verified by skopeo.

    :param host: the registry, with its port unless it is 443.
    :param address: where ``host`` is; skopeo has no address override of its own. Every other name is resolved.
    """
    name, _colon, number = host.partition(":")
    port = int(number or 443)
    target = f"{name}:{port}".lower()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            words = self.rfile.readline(4096).decode("latin-1").split()
            while self.rfile.readline(4096).strip():
                pass
            if len(words) < 2 or words[0] != "CONNECT":
                self.wfile.write(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
                return
            asked = words[1].lower()
            place = endpoint(address, port) if asked == target and address else endpoint(asked, 443)
            try:
                upstream = socket.create_connection(place, 30)
            except OSError as error:
                self.wfile.write(f"HTTP/1.1 502 {error.strerror or error}\r\n\r\n".encode("latin-1", "replace"))
                return
            with upstream:
                for end in (upstream, self.connection):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _pump(self.connection, upstream, way)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        way = Tunnel(int(server.server_address[1]))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield way
        finally:
            server.shutdown()
            thread.join()


def _pump(client: socket.socket, server: socket.socket, way: Tunnel) -> None:
    """Bytes both ways until either end closes."""
    buffer = memoryview(bytearray(_BUFFER))
    started, sent, last = time.monotonic(), 0, "server"
    try:
        while True:
            readable, _writable, _broken = select.select([client, server], [], [])
            if client in readable:
                size = client.recv_into(buffer)
                if not size:
                    return
                server.sendall(buffer[:size])
                sent, last = sent + size, "client"
                way.count(size)
            if server in readable:
                size = server.recv_into(buffer)
                if not size:
                    break
                client.sendall(buffer[:size])
                last = "server"
    except OSError:
        pass
    # The server's last word was not an answer: it hung up while the client was still talking.
    if last == "client":
        way.cut(sent, time.monotonic() - started)


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
    return text.removesuffix('"').replace('\\"', '"').removesuffix(', ""').rstrip(".") if found else reason


_CUT = (
    "A proxy cut the upload of a large layer: raise the read timeout of its entry point"
    " (Traefik: respondingTimeouts.readTimeout), then run this again; what arrived is kept."
)
_HINTS = (
    (("unexpected EOF", "connection reset by peer", "broken pipe", ": EOF"), _CUT),
    (("x509", "certificate"), "Name the private authority's certificate in ca_file."),
    (("no such host", "server misbehaving"), "Create the DNS record of {host}, or give its address in address."),
    # Whether the account may push at all was asked before.
    (
        ("StatusCode: 403", "quota", "denied"),
        "The account may push, so this is a limit: the organisation's packages take as much as the registry allows"
        " (Gitea: LIMIT_TOTAL_OWNER_SIZE, LIMIT_SIZE_CONTAINER). Remove versions with the playbook registry_prune, or"
        " raise it.",
    ),
    (("unauthorized", "authentication required"), "The token was revoked meanwhile: run this again with a new one."),
    (("no space left",), "The disk of this host is full: buildah prune --all"),
    (
        ("500 Internal Server Error",),
        "The registry could not store it, most often because its volume is full: look at its log and its disk"
        " (kubectl -n gitea exec deployment/gitea -- df -h), then run this again; what arrived is kept.",
    ),
    (("connection refused", "i/o timeout"), "Check that {host} is up and reachable from this host."),
)


def worth_repeating(stderr: str) -> bool:
    """Whether the same push may do a moment later: two clients that upload one layer get in each other's way."""
    return "500 Internal Server Error" in stderr


def push_hint(stderr: str, host: str, *, cut: bool = False) -> str:
    """The next step for what skopeo said.

    :param cut: the connection ended in the middle of a request, for which skopeo has many words.
    """
    said = stderr.lower()
    for words, hint in _HINTS:
        if any(word.lower() in said for word in words):
            return hint.format(host=host)
    if cut:
        return _CUT
    return "Run this again: what arrived is kept. If it fails again, look at the registry's log."
