"""Remove a document's file once its row is gone for good, whichever way it was deleted."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from .models import Unterlage


@receiver(post_delete, sender=Unterlage)
def remove_file(instance: Unterlage, **kwargs: Any) -> None:
    """Delete the file after commit: a rolled back deletion must not lose it."""
    if name := instance.datei.name:
        transaction.on_commit(lambda: instance.datei.storage.delete(name))
