"""The schema's history."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

APP = "ausschreibungen"


def migrate(name: str) -> Any:
    """Migrate to a state and return its Ausschreibung model."""
    executor = MigrationExecutor(connection)
    state = executor.migrate([(APP, name)])
    return state.apps.get_model(APP, "Ausschreibung")


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_decision_dates_are_filled_in_and_the_way_back_works() -> None:
    latest = [name for app, name in MigrationExecutor(connection).loader.graph.leaf_nodes() if app == APP][0]
    try:
        old = migrate("0003_ausschreibung_entscheidung_bis")
        # 23:30 UTC is already the next day in Berlin.
        deadline = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)
        empty = old.objects.create(titel="a", auftraggeber="b", angebotsfrist=deadline).pk
        chosen = old.objects.create(
            titel="c", auftraggeber="d", angebotsfrist=deadline, entscheidung_bis=date(2026, 1, 2)
        ).pk

        new = migrate("0004_entscheidung_bis_vorbelegen")
        assert new.objects.get(pk=empty).entscheidung_bis == date(2026, 3, 17)
        assert new.objects.get(pk=chosen).entscheidung_bis == date(2026, 1, 2)

        first = migrate("0001_initial")
        assert first.objects.filter(pk__in=[empty, chosen]).count() == 2
    finally:
        migrate(latest)
