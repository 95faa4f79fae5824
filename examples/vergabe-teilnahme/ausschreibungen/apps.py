"""The application's name in the admin."""

from __future__ import annotations

from django.apps import AppConfig


class AusschreibungenConfig(AppConfig):
    """Ausschreibungen, Vergabearten, Unterlagen."""

    name = "ausschreibungen"
    verbose_name = "Ausschreibungen"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the signal handlers."""
        from . import signals  # noqa: F401
