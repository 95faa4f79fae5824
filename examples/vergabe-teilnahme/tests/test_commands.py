"""The seeds: one for everywhere, one for development."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from ausschreibungen.models import Ausschreibung, Vergabeart

from .conftest import RunProduction


def seed(name: str) -> str:
    """Run a command and return what it says."""
    out = StringIO()
    call_command(name, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_reference_data_is_idempotent() -> None:
    assert seed("seed_vergabearten") == "Vergabearten: 10 angelegt, 0 geändert, 0 unverändert.\n"
    before = list(Vergabeart.objects.values())
    assert seed("seed_vergabearten") == "Vergabearten: 0 angelegt, 0 geändert, 10 unverändert.\n"
    assert list(Vergabeart.objects.values()) == before


@pytest.mark.django_db
def test_reference_data_is_mended_and_additions_are_kept() -> None:
    seed("seed_vergabearten")
    Vergabeart.objects.filter(schluessel="direktauftrag").update(rechtsgrundlage="falsch")
    Vergabeart.objects.create(schluessel="eigene", bezeichnung="Eigene", rechtsgrundlage="-")
    assert seed("seed_vergabearten") == "Vergabearten: 0 angelegt, 1 geändert, 9 unverändert.\n"
    assert Vergabeart.objects.get(schluessel="direktauftrag").rechtsgrundlage == "§ 14 UVgO"
    assert Vergabeart.objects.filter(schluessel="eigene").exists()


@pytest.mark.django_db
def test_demo_data_is_idempotent() -> None:
    seed("seed_demo")
    before = list(Ausschreibung.objects.values()), list(User.objects.values())
    seed("seed_demo")
    assert (list(Ausschreibung.objects.values()), list(User.objects.values())) == before
    assert User.objects.get(username="demo").check_password("demo")
    assert Ausschreibung.objects.filter(vergabeart__isnull=False).count() == 5


def test_demo_data_is_refused_in_production(production: RunProduction) -> None:
    done = production("manage.py", "seed_demo")
    assert done.returncode == 1
    # Refused before the (unreachable) database is asked for anything.
    assert done.stderr == (
        "CommandError: seed_demo legt einen allgemein bekannten Zugang an und läuft nicht in Produktion.\n"
    )
