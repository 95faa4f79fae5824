"""A plain-HTTP door to the API server that kills whoever is about to make its n-th write. Runs on the node, as root.

Usage: write_killer.py KUBECONFIG PORT | write_killer.py ask PORT PATH

The client gets a kubeconfig that names this door, so the program under test is the one that is shipped, without hooks.
``GET /killer/N/METHOD/path`` makes it count anew and send SIGKILL to the process behind the N-th such write, before the
write reaches the API server (0: to nobody). ``GET /killer/log`` answers with the writes since then, one a line.
A write is a POST, PUT, PATCH or DELETE that is no dry run and no exec; its process is found by its socket.
A write that the API server answers with 409 has `` (409)`` behind it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import select
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

_WRITES = ("POST", "PUT", "PATCH", "DELETE")


class Killer:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at, self.target, self.seen = 0, "", 0
        self.writes: list[str] = []

    def control(self, path: str) -> str:
        with self.lock:
            if path.endswith("/log"):
                return "".join(f"{line}\n" for line in self.writes)
            _empty, _killer, number, target = path.split("/", 3)
            self.at, self.target, self.seen, self.writes = int(number), target.replace("/", " /", 1), 0, []
            return ""

    def before(self, method: str, path: str, port: int) -> int | None:
        """Count a request and kill its process when it is the one.

        :returns: the request's line in the log; ``None`` when it is no write.
        :raises ProcessLookupError: for a write whose process was killed.
        """
        if method not in _WRITES or "dryRun=" in path or "/exec" in path:
            return None
        with self.lock:
            line, write = len(self.writes), f"{method} {path.partition('?')[0]}"
            self.writes.append(write)
            self.seen += write == self.target
            due = write == self.target and self.seen == self.at
        if due:
            os.kill(process_of(port), signal.SIGKILL)
            with self.lock:
                self.writes[line] += " (killed before)"
            raise ProcessLookupError(f"the process behind port {port} was killed")
        return line

    def answered(self, line: int, status: bytes) -> None:
        with self.lock:
            if status == b"409" and line < len(self.writes):
                self.writes[line] += " (409)"


def process_of(port: int) -> int:
    """The process whose end of a connection to this door has that port."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "01":
                inodes.add(f"socket:[{fields[9]}]")
    for directory in Path("/proc").glob("[0-9]*/fd"):
        if int(directory.parent.name) == os.getpid():
            continue
        try:
            if any(os.readlink(link) in inodes for link in directory.iterdir()):
                return int(directory.parent.name)
        except OSError:
            continue
    raise LookupError(f"no process behind port {port}")


def upstream(kubeconfig: str) -> tuple[str, int, ssl.SSLContext]:
    text = Path(kubeconfig).read_text()
    data = {key: base64.b64decode(value) for key, value in re.findall(r"(\S+)-data: (\S+)", text)}
    [(host, port)] = re.findall(r"server: https://([^:\s]+):(\d+)", text)
    context = ssl.create_default_context(cadata=data["certificate-authority"].decode())
    with tempfile.NamedTemporaryFile() as pair:
        pair.write(data["client-certificate"] + b"\n" + data["client-key"])
        pair.flush()
        context.load_cert_chain(pair.name)
    return host, int(port), context


class Connection:
    """One client's connection and the one behind it. One thread serves both: TLS lets one at a time read or write."""

    def __init__(
        self, client: socket.socket, port: int, killer: Killer, where: tuple[str, int, ssl.SSLContext]
    ) -> None:
        self.client, self.port, self.killer = client, port, killer
        host, api_port, context = where
        self.server = context.wrap_socket(socket.create_connection((host, api_port)), server_hostname=host)
        self.buffer = b""
        #: Line of the write that is on its way. One request at a time is, so a status line begins a chunk.
        self.asked: int | None = None
        #: After an upgrade there are no requests any more, only bytes.
        self.upgraded = False

    def serve(self) -> None:
        with contextlib.closing(self.client), contextlib.closing(self.server), contextlib.suppress(OSError):
            while True:
                ready = [self.server] if self.server.pending() else select.select([self.client, self.server], [], [])[0]
                if not all(self._answer() if end is self.server else self._ask() for end in ready):
                    return

    def _ask(self) -> bool:
        """:returns: whether there may be more."""
        chunk = self.client.recv(65536)
        self.buffer += chunk
        if self.upgraded:
            self._forward(self.buffer)
            self.buffer = b""
        else:
            while self._request():
                pass
        return bool(chunk)

    def _request(self) -> bool:
        """:returns: whether a whole request was there and is dealt with."""
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        length = int((re.search(rb"(?i)\r\ncontent-length: *(\d+)", head) or [b"", b"0"])[1])
        if not end or len(rest) < length:
            return False
        method, path = head.decode("latin-1").split(" ")[:2]
        if path.startswith("/killer/"):
            body = self.killer.control(path).encode()
            self.client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        else:
            self.asked = self.killer.before(method, path, self.port)
            self._forward(head + end + rest[:length])
            self.upgraded = re.search(rb"(?i)\r\nupgrade:", head) is not None
        self.buffer = rest[length:]
        return True

    def _forward(self, words: bytes) -> None:
        self.server.settimeout(None)
        self.server.sendall(words)

    def _answer(self) -> bool:
        """:returns: whether there may be more."""
        self.server.settimeout(0)
        try:
            chunk = self.server.recv(65536)
        except ssl.SSLWantReadError:  # a record that is not whole yet, or none of the answer's
            return True
        if self.asked is not None and chunk.startswith(b"HTTP/1.1 "):
            self.killer.answered(self.asked, chunk.split(b" ", 2)[1])
            self.asked = None
        self.client.sendall(chunk)
        return bool(chunk)


def main(kubeconfig: str, port: str) -> None:
    killer, where = Killer(), upstream(kubeconfig)
    with socket.create_server(("127.0.0.1", int(port))) as listener:
        while True:
            client, address = listener.accept()
            connection = Connection(client, address[1], killer, where)
            threading.Thread(target=connection.serve, daemon=True).start()


def ask(port: str, path: str) -> str:
    """For the tests: the server has no other program that speaks HTTP. Waits until the door is there."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
                return str(answer.read().decode())
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        sys.stdout.write(ask(*sys.argv[2:]))
    else:
        main(*sys.argv[1:])
