"""An application that asks PostgreSQL in two ways: ``/kept`` over connections kept open, ``/fresh`` over a new one.

``serve`` runs in a pod. ``ask ADDRESS STOP`` is the load beside it: it asks both ways until the file STOP exists and
prints one line of JSON. Neither repeats a request that failed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_KEPT = 4
_PAUSE = 0.02


def serve() -> None:
    import psycopg  # the load runs without it

    def connect() -> psycopg.Connection:
        return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, connect_timeout=5)

    kept: queue.Queue[psycopg.Connection] = queue.Queue()
    for _number in range(_KEPT):
        kept.put(connect())

    def ask_kept() -> None:
        connection = kept.get()
        try:
            connection.execute("select current_user")
        finally:
            kept.put(connection)

    def ask_fresh() -> None:
        with connect() as connection:
            connection.execute("select current_user")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                {"/kept": ask_kept, "/fresh": ask_fresh}.get(self.path, lambda: None)()
                status, body = 200, b"ok"
            except psycopg.Error as error:
                status, body = 500, " ".join(str(error).split()).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """The load keeps the record."""

    server = ThreadingHTTPServer(("", 8000), Handler)
    signal.signal(signal.SIGTERM, lambda *_signal: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


def ask(address: str, stop: str) -> None:
    """Two threads a way."""
    told: dict[str, list[tuple[float, str]]] = {"kept": [], "fresh": []}

    def load(way: str) -> None:
        while not os.path.exists(stop):
            at = time.time()
            try:
                with contextlib.closing(http.client.HTTPConnection(address, timeout=10)) as connection:
                    connection.request("GET", f"/{way}")
                    answer = connection.getresponse()
                    words = answer.read().decode()
                    told[way].append((at, "" if answer.status == 200 else words))
            except (OSError, http.client.HTTPException) as error:
                told[way].append((at, repr(error)))
            time.sleep(_PAUSE)

    threads = [threading.Thread(target=load, args=(way,)) for way in ("kept", "kept", "fresh", "fresh")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    summary = {}
    for way, requests in told.items():
        failed = [(at, words) for at, words in requests if words]
        summary[way] = {
            "requests": len(requests),
            "failed": len(failed),
            "span": round(failed[-1][0] - failed[0][0], 1) if failed else 0.0,
            "words": sorted({words for _at, words in failed})[:3],
        }
    print(json.dumps(summary))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        ask(*sys.argv[2:])
