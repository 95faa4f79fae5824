"""Serve: ``python -m state_hub``."""

from __future__ import annotations

import logging
import sys

import uvicorn

from state_hub.app import create_app
from state_hub.settings import Settings, SettingsError


class WithoutProbes(logging.Filter):
    """Leave probes that went well out of the access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Look at uvicorn's (client, method, path, version, status)."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        return not (len(arguments) == 5 and str(arguments[2]).startswith("/health/") and arguments[4] == 200)


def main() -> int:
    """Return the exit code."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    logging.basicConfig(level=settings.log_level, stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("uvicorn.access").addFilter(WithoutProbes())
    uvicorn.run(
        create_app(settings),
        host="0.0.0.0",  # noqa: S104  in a container
        port=settings.port,
        log_level=settings.log_level.lower(),
        # Longer than the proxy keeps an idle connection (Traefik: 90 s).
        timeout_keep_alive=95,
        timeout_graceful_shutdown=25,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
