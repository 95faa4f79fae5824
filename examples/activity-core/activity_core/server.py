"""The HTTP interface, with nothing but the standard library."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from activity_core.store import Store

logger = logging.getLogger(__name__)
_LONGEST_BODY = 10_000


class Server(ThreadingHTTPServer):
    """Answers requests about a store."""

    daemon_threads = False

    def __init__(self, address: tuple[str, int], store: Store) -> None:
        """Listen; requests are answered by ``serve_forever``."""
        super().__init__(address, Handler)
        self.store = store
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def note(self, connection: socket.socket, is_open: bool) -> None:
        """Remember a connection for as long as it is open."""
        with self._lock:
            (self._open.add if is_open else self._open.discard)(connection)

    def finish(self) -> None:
        """Answer what was asked and end; nobody waits for the next request of an idle connection."""
        self.shutdown()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # Longer than the proxy keeps an idle connection (Traefik: 90 s).
    timeout = 95
    server: Server

    def setup(self) -> None:
        """Begin the connection."""
        super().setup()
        self.server.note(self.connection, True)

    def finish(self) -> None:
        """End the connection."""
        self.server.note(self.connection, False)
        super().finish()

    def do_GET(self) -> None:
        """Health and totals."""
        if self.path == "/health/live/":
            self._answer(200, {"status": "ok"})
        elif self.path == "/health/":
            self._health()
        elif self.path == "/totals":
            try:
                totals = [vars(total) for total in self.server.store.totals()]
            except Exception:
                self._broken()
            else:
                self._answer(200, totals)
        else:
            self._answer(404, {"error": "not found"})

    def do_POST(self) -> None:
        """Take an activity in: ``{"source": …, "name": …}``."""
        body = self._body()
        if body is None:
            return
        if self.path != "/activities":
            self._answer(404, {"error": "not found"})
            return
        source, name = (body.get(key) if isinstance(body, dict) else None for key in ("source", "name"))
        if not (isinstance(source, str) and isinstance(name, str) and 0 < len(source) <= 200 and 0 < len(name) <= 200):
            self._answer(400, {"error": "source and name must be texts of 1 to 200 characters"})
            return
        try:
            self.server.store.add(source, name)
        except Exception:
            self._broken()
        else:
            self._answer(201, {"status": "taken in"})

    def _health(self) -> None:
        try:
            self.server.store.ping()
        except Exception as error:
            # The cause goes to the log; the answer is public.
            logger.warning("Health check: the database does not answer: %s", error)
            self._answer(503, {"status": "error", "database": "unreachable"})
        else:
            self._answer(200, {"status": "ok", "database": "ok"})

    def _body(self) -> Any:
        """Return the request's JSON, or None when the refusal was sent."""
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= _LONGEST_BODY:
            self.close_connection = True
            self._answer(413, {"error": f"a body has a Content-Length of at most {_LONGEST_BODY}"})
            return None
        try:
            return json.loads(self.rfile.read(length))
        except ValueError:
            self._answer(400, {"error": "the body is no JSON"})
            return None

    def _broken(self) -> None:
        logger.exception("%s %s", self.command, self.path)
        self._answer(503, {"error": "the database does not answer"})

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Name the program, not its interpreter."""
        return "activity-core"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log one request, unless a probe made it and it went well."""
        if not (self.path.startswith("/health/") and str(int(code)) == "200"):
            logger.info('"%s" %s', self.requestline, int(code))

    def log_message(self, format: str, *args: Any) -> None:
        """Send everything else where the log goes."""
        logger.info(format, *args)
