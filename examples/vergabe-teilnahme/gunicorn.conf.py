"""gunicorn: one process group per container, everything on stdout."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any

from gunicorn import glogging


class StdoutLogger(glogging.Logger):
    """Write to stdout, and leave the probes out of the access log."""

    def setup(self, cfg: Any) -> None:
        """Send gunicorn's own messages to stdout, where the application's go."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setStream(sys.stdout)

    def access(self, resp: Any, req: Any, environ: MutableMapping[str, Any], request_time: Any) -> None:
        """Log one request, unless a probe made it and it went well."""
        probed = environ.get("PATH_INFO", "").startswith("/health/")
        if not (probed and str(resp.status).startswith("200")):
            super().access(resp, req, environ, request_time)


def worker_exit(server: Any, worker: Any) -> None:
    """Close database pools: their threads would hold up the exit for seconds while the database is away."""
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        if hasattr(connection, "close_pool"):
            connection.close_pool()


wsgi_app = "config.wsgi:application"
bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
# Many: a connection that the proxy has opened and not used yet takes one for up to five seconds. A pool decides how
# many of them talk to the database at once; commands need none.
threads = int(os.environ.get("WEB_THREADS", "32"))
os.environ.setdefault("DATABASE_POOL_SIZE", "4")
worker_class = "gthread"
# Longer than the proxy keeps an idle connection (Traefik: 90 s), so that it is never the server that closes one just
# as a request arrives on it.
keepalive = 95
graceful_timeout = 25
# Heartbeats belong in memory: a slow disk must not look like a hung worker.
worker_tmp_dir = "/dev/shm"  # noqa: S108
control_socket_disable = True
logger_class = StdoutLogger
accesslog = "-"
access_log_format = '%({x-forwarded-for}i)s "%(r)s" %(s)s %(b)s %(M)sms'
