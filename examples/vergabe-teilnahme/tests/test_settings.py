"""Production refuses what is unsafe, and reads the rest from the environment."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.settings import env

from .conftest import RunProduction

SETUP = "import django; django.setup(); from django.conf import settings; "


def test_production_starts(production: RunProduction) -> None:
    done = production("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"DEBUG": "True"}, "DEBUG must not be switched on with the production settings."),
        ({"DEBUG": "maybe"}, "DEBUG must be true or false."),
        ({"SECRET_KEY": None}, "SECRET_KEY must be set in the environment."),
        ({"SECRET_KEY": ""}, "SECRET_KEY must be set in the environment."),
        ({"ALLOWED_HOSTS": None}, "ALLOWED_HOSTS must be set in the environment."),
        ({"DATABASE_URL": None}, "DATABASE_URL must be set in the environment."),
        ({"DATABASE_URL": "sqlite:///db.sqlite3"}, "DATABASE_URL must name a PostgreSQL database"),
        ({"SECURE_PROXY_SSL_HEADER": "X-Forwarded-Proto"}, "SECURE_PROXY_SSL_HEADER must be a header and a value"),
        ({"CONN_MAX_AGE": "-5"}, "CONN_MAX_AGE must be a whole number, 0 or more."),
    ],
)
def test_production_refuses(production: RunProduction, changes: dict[str, str | None], message: str) -> None:
    done = production("-c", SETUP, **changes)
    assert done.returncode == 1
    assert f"ImproperlyConfigured: {message}" in done.stderr


def test_lists_and_fallback_keys(production: RunProduction) -> None:
    done = production(
        "-c",
        SETUP + "print(settings.ALLOWED_HOSTS, settings.SECRET_KEY_FALLBACKS, settings.SECURE_PROXY_SSL_HEADER)",
        ALLOWED_HOSTS="a.example.org, b.example.org,",
        SECRET_KEY_FALLBACKS="old,older",
    )
    assert done.stdout.strip() == (
        "['a.example.org', 'b.example.org'] ['old', 'older'] ('HTTP_X_FORWARDED_PROTO', 'https')"
    )


def test_media_is_optional(production: RunProduction) -> None:
    show = SETUP + "print(settings.UPLOADS_ENABLED)"
    assert production("-c", show).stdout.strip() == "False"
    assert production("-c", show, MEDIA_ROOT="/srv/media").stdout.strip() == "True"


def test_every_printable_character_survives_in_a_password() -> None:
    password = string.digits + string.ascii_letters + string.punctuation
    config = env.database(f"postgresql://app:{quote(password, safe='')}@apps-pg-rw.databases:5432/app_db")
    assert config["PASSWORD"] == password
    assert (config["USER"], config["HOST"], config["PORT"], config["NAME"]) == (
        "app",
        "apps-pg-rw.databases",
        5432,
        "app_db",
    )


def test_broken_url_is_not_repeated() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        env.database("postgresql://app:ge/heim@host:5432/db")
    assert "must be percent-encoded" in str(caught.value)
    assert "heim" not in str(caught.value)


def test_persistent_connections_or_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONN_MAX_AGE", raising=False)
    monkeypatch.delenv("DATABASE_POOL_SIZE", raising=False)
    url = "postgresql://app:x@host/db"
    assert env.database(url)["CONN_MAX_AGE"] == 600
    monkeypatch.setenv("CONN_MAX_AGE", "30")
    assert env.database(url)["CONN_MAX_AGE"] == 30
    assert "pool" not in env.database(url)["OPTIONS"]
    monkeypatch.setenv("DATABASE_POOL_SIZE", "4")
    assert env.database(url)["CONN_MAX_AGE"] == 0
    assert env.database(url)["OPTIONS"]["pool"]["max_size"] == 4


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("off", False), ("", False)])
def test_flags(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("SOME_FLAG", text)
    assert env.flag("SOME_FLAG", default=not value) is value
