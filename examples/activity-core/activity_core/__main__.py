"""Serve and count: ``python -m activity_core``. Forget what is old: ``python -m activity_core prune DAYS``."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from activity_core.server import Server
from activity_core.store import PostgresStore, Store

logger = logging.getLogger("activity_core")


def count_until(stop: threading.Event, store: Store, seconds: float) -> None:
    """Add up new activities again and again; a database that is away is tried again."""
    while not stop.wait(seconds):
        try:
            added = store.count()
        except Exception:
            logger.exception("Counting failed and is tried again in %s s", seconds)
        else:
            if added:
                logger.info("Added %s activities to the totals", added)


def serve(store: PostgresStore, port: int, seconds: float) -> None:
    """Serve until the process is told to stop, and finish what was begun."""
    store.prepare()
    stop = threading.Event()
    # Before anything serves: the first process of a container does not notice a signal that it has no handler for.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    worker = threading.Thread(target=count_until, args=(stop, store, seconds), name="count")
    server = Server(("0.0.0.0", port), store)  # noqa: S104  in a container
    threading.Thread(target=server.serve_forever, name="serve", daemon=True).start()
    worker.start()
    logger.info("Listening on port %s", port)
    stop.wait()
    server.finish()
    worker.join()
    store.close()
    logger.info("Stopped")


def main(arguments: list[str]) -> int:
    """Return the exit code."""
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO").upper(),
        stream=sys.stdout,
        format="%(levelname)s %(name)s %(message)s",
    )
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        print("DATABASE_URL is missing: postgresql://user:password@host:5432/database", file=sys.stderr)
        return 1
    store = PostgresStore(url)
    if arguments[:1] == ["prune"] and len(arguments) == 2 and arguments[1].isdecimal():
        logger.info("Forgot %s activities", store.prune(int(arguments[1])))
        store.close()
    elif not arguments:
        serve(store, int(os.environ.get("PORT", "8000")), float(os.environ.get("COUNT_SECONDS", "5")))
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
