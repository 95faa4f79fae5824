"""The container's own health check: exit 0 when /health/ answers 200."""

from __future__ import annotations

import http.client
import os
import sys


def main() -> int:
    """Return the exit code and print the cause when it is not 0."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "8000")), timeout=5)
    try:
        connection.request("GET", "/health/")
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer: {error}")
        return 1
    finally:
        connection.close()
    if response.status != 200:
        print(f"HTTP {response.status}: {body[:200]}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
