"""Reference data: the procedures of German procurement law."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.core.management.base import BaseCommand
from django.db import transaction

from ausschreibungen.models import Vergabeart


class _Entry(NamedTuple):
    schluessel: str
    bezeichnung: str
    rechtsgrundlage: str
    oberschwelle: bool


ENTRIES = (
    _Entry("offenes-verfahren", "Offenes Verfahren", "§ 15 VgV", True),
    _Entry("nicht-offenes-verfahren", "Nicht offenes Verfahren", "§ 16 VgV", True),
    _Entry("verhandlungsverfahren", "Verhandlungsverfahren", "§ 17 VgV", True),
    _Entry("wettbewerblicher-dialog", "Wettbewerblicher Dialog", "§ 18 VgV", True),
    _Entry("innovationspartnerschaft", "Innovationspartnerschaft", "§ 19 VgV", True),
    _Entry("oeffentliche-ausschreibung", "Öffentliche Ausschreibung", "§ 9 UVgO", False),
    _Entry("beschraenkte-mit-tnw", "Beschränkte Ausschreibung mit Teilnahmewettbewerb", "§ 10 UVgO", False),
    _Entry("beschraenkte-ohne-tnw", "Beschränkte Ausschreibung ohne Teilnahmewettbewerb", "§ 11 UVgO", False),
    _Entry("verhandlungsvergabe", "Verhandlungsvergabe", "§ 12 UVgO", False),
    _Entry("direktauftrag", "Direktauftrag", "§ 14 UVgO", False),
)


class Command(BaseCommand):
    """Create what is missing, mend what differs, delete nothing: safe to run again, in production too."""

    help = "Legt die Vergabearten an und gleicht vorhandene ab. Kann beliebig oft laufen, auch in Produktion."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        """Compare with the database and write only the difference."""
        present = {art.schluessel: art for art in Vergabeart.objects.select_for_update()}
        created = changed = 0
        for entry in ENTRIES:
            art = present.get(entry.schluessel)
            wanted = entry._asdict()
            if art is None:
                # Two pods may seed at once; the unique key decides, the loser changes nothing.
                _, new = Vergabeart.objects.get_or_create(schluessel=entry.schluessel, defaults=wanted)
                created += new
            elif any(getattr(art, name) != value for name, value in wanted.items()):
                Vergabeart.objects.filter(pk=art.pk).update(**wanted)
                changed += 1
        unchanged = len(ENTRIES) - created - changed
        self.stdout.write(f"Vergabearten: {created} angelegt, {changed} geändert, {unchanged} unverändert.")
