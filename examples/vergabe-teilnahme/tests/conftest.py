"""Shared fixtures, and a way to run code under the production settings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from ausschreibungen.models import Ausschreibung

ROOT = Path(__file__).resolve().parent.parent

# Port 1 is closed: nothing under the production settings reaches a database.
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "config.settings.production",
    "SECRET_KEY": "k" * 30 + "0123456789abcdefghij",
    "ALLOWED_HOSTS": "vergabe.example.org",
    "CSRF_TRUSTED_ORIGINS": "https://vergabe.example.org",
    "DATABASE_URL": "postgresql://vergabe:streng-geheim@127.0.0.1:1/vergabe",
    "SECURE_PROXY_SSL_HEADER": "HTTP_X_FORWARDED_PROTO,https",
}

RunProduction = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def production() -> RunProduction:
    """Run ``python *args`` in an environment of production settings; None removes a variable."""

    def run(*args: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], **PRODUCTION, **changes}
        return subprocess.run(
            [sys.executable, *args],
            cwd=ROOT,
            env={name: value for name, value in environment.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def ausschreibung(db: None) -> Ausschreibung:
    """One tender, due in thirty days."""
    return Ausschreibung.objects.create(
        titel="Relaunch des Bürgerportals",
        auftraggeber="Stadt Musterhausen",
        vergabenummer="2026-17",
        angebotsfrist=timezone.now() + timedelta(days=30),
    )


@pytest.fixture
def redaktion(client: Client, db: None) -> Client:
    """A client that is logged in."""
    client.force_login(User.objects.create_user("redaktion"))
    return client


@pytest.fixture
def media(settings: Settings, tmp_path: Path) -> Path:
    """Switch uploads on, with a directory of the test's own."""
    settings.MEDIA_ROOT = str(tmp_path)
    settings.UPLOADS_ENABLED = True
    return tmp_path
