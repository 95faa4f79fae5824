"""Development and tests: SQLite unless DATABASE_URL says otherwise, no HTTPS, demo data allowed."""

from __future__ import annotations

import os

from . import env
from .base import *
from .base import BASE_DIR

DEBUG = env.flag("DEBUG", default=True)
SECRET_KEY = "django-insecure-nur-fuer-die-entwicklung"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
DATABASES = {"default": env.database(os.environ.get("DATABASE_URL") or f"sqlite:///{BASE_DIR / 'db.sqlite3'}")}
DEMO_DATA_ALLOWED = True
