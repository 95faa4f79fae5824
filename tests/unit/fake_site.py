"""A web server on this machine that stands for an application's pods, its Service and its site."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers with the server's ``statuses`` by path, 200 for others; ``seen`` has path and host of each request,
    ``schemes`` how visitors came, as the proxy tells.
    """

    def do_GET(self):
        self.server.seen.append((self.path, self.headers["Host"]))
        self.server.schemes.append(self.headers["X-Forwarded-Proto"])
        self.send_response(self.server.statuses.get(self.path, 200))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


@contextlib.contextmanager
def serving():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as here:
        here.seen, here.schemes, here.statuses = [], [], {}
        threading.Thread(target=here.serve_forever, daemon=True).start()
        yield here
        here.shutdown()
