"""Demo data for development, with a login that everybody knows."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from ausschreibungen.models import Ausschreibung, Status, Vergabeart

USERNAME = PASSWORD = "demo"

# Number, title, contracting authority, procedure, status, days until the deadline, value.
TENDERS = (
    ("DEMO-001", "Fachverfahren für die Gewerbeanmeldung", "Stadt Musterhausen", "offenes-verfahren",
     Status.BEARBEITUNG, 9, Decimal(480000)),
    ("DEMO-002", "Betrieb der Schul-IT", "Landkreis Beispielberg", "oeffentliche-ausschreibung",
     Status.PRUEFUNG, 26, Decimal(145000)),
    ("DEMO-003", "Relaunch des Bürgerportals", "Gemeinde Neudorf", "verhandlungsvergabe",
     Status.ABGEGEBEN, -4, Decimal(78500)),
    ("DEMO-004", "Rahmenvertrag Softwareentwicklung", "Landesamt für Statistik", "verhandlungsverfahren",
     Status.ZUSCHLAG, -60, Decimal(1200000)),
    ("DEMO-005", "Migration der Fachdatenbank", "Universität Musterstadt", "beschraenkte-ohne-tnw",
     Status.VERZICHT, -21, None),
)  # fmt: skip


class Command(BaseCommand):
    """Create a user and a few tenders; refused where the settings do not allow demo data."""

    help = "Legt Beispieldaten und den Zugang demo/demo an. Nur für die Entwicklung."

    def handle(self, *args: Any, **options: Any) -> None:
        """Create what is missing.

        Raises:
            CommandError: with the production settings.
        """
        if not settings.DEMO_DATA_ALLOWED:
            raise CommandError("seed_demo legt einen allgemein bekannten Zugang an und läuft nicht in Produktion.")
        with transaction.atomic():
            call_command("seed_vergabearten", stdout=self.stdout)
            users = get_user_model().objects
            if not users.filter(username=USERNAME).exists():
                users.create_superuser(USERNAME, "demo@example.org", PASSWORD)
            procedures = {art.schluessel: art for art in Vergabeart.objects.all()}
            for number, title, authority, procedure, status, days, value in TENDERS:
                deadline = (timezone.localtime() + timedelta(days=days)).replace(
                    hour=12, minute=0, second=0, microsecond=0
                )
                Ausschreibung.objects.get_or_create(
                    vergabenummer=number,
                    defaults={
                        "titel": title,
                        "auftraggeber": authority,
                        "vergabeart": procedures[procedure],
                        "status": status,
                        "angebotsfrist": deadline,
                        "entscheidung_bis": deadline.date() - timedelta(days=7),
                        "auftragswert": value,
                    },
                )
        self.stdout.write(f"Beispieldaten vorhanden; Anmeldung mit {USERNAME}/{PASSWORD}.")
