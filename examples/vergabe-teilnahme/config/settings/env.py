"""Read settings from the environment; a wrong value is named, its content never shown."""

from __future__ import annotations

import os
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


def required(name: str) -> str:
    """Return a variable that must be set and not empty.

    Raises:
        ImproperlyConfigured: when it is missing or empty.
    """
    value = os.environ.get(name, "")
    if not value:
        raise ImproperlyConfigured(f"{name} must be set in the environment.")
    return value


def items(name: str) -> list[str]:
    """Return the parts of a comma-separated variable, without blanks; unset gives an empty list."""
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]


def flag(name: str, *, default: bool) -> bool:
    """Return a yes/no variable.

    Raises:
        ImproperlyConfigured: when the value is neither (a typing error must not switch something off).
    """
    value = os.environ.get(name)
    if value is None:
        return default
    if value.strip().lower() in _TRUE:
        return True
    if value.strip().lower() in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false.")


def integer(name: str, *, default: int) -> int:
    """Return a whole number, zero or more.

    Raises:
        ImproperlyConfigured: when the value is not such a number.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        return default
    if not value.isdecimal():
        raise ImproperlyConfigured(f"{name} must be a whole number, 0 or more.")
    return int(value)


def database(url: str) -> dict[str, Any]:
    """Turn a database URL into an entry of ``DATABASES``.

    PostgreSQL connections stay open (``CONN_MAX_AGE`` seconds, default 600) or come from a pool of
    ``DATABASE_POOL_SIZE`` connections per process, and are checked before use.

    Raises:
        ImproperlyConfigured: when the URL cannot be parsed; the message never repeats it, as it holds a password.
    """
    try:
        config: dict[str, Any] = dict(dj_database_url.parse(url))
    except ValueError:
        raise ImproperlyConfigured(
            "DATABASE_URL is not a valid database URL; user name and password must be percent-encoded."
        ) from None
    if config["ENGINE"] != "django.db.backends.postgresql":
        return config
    # Fail soon enough for a probe instead of waiting for the operating system's timeouts.
    options: dict[str, Any] = {"connect_timeout": 3, "tcp_user_timeout": 10_000, **config.get("OPTIONS", {})}
    pool_size = integer("DATABASE_POOL_SIZE", default=0)
    if pool_size:
        # Of fixed size: what is open already does not notice a new password.
        options["pool"] = {"min_size": pool_size, "max_size": pool_size, "timeout": 3}
    # Django rejects a pool together with persistent connections.
    config["CONN_MAX_AGE"] = 0 if pool_size else integer("CONN_MAX_AGE", default=600)
    config["CONN_HEALTH_CHECKS"] = True
    config["OPTIONS"] = options
    return config
