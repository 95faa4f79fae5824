"""The admin's view of the data."""

from __future__ import annotations

from django.contrib import admin

from .models import Ausschreibung, Unterlage, Vergabeart


@admin.register(Vergabeart)
class VergabeartAdmin(admin.ModelAdmin):
    """Procedures."""

    list_display = ["bezeichnung", "rechtsgrundlage", "oberschwelle"]
    list_filter = ["oberschwelle"]
    search_fields = ["bezeichnung", "rechtsgrundlage"]


@admin.register(Ausschreibung)
class AusschreibungAdmin(admin.ModelAdmin):
    """Tenders."""

    list_display = ["titel", "auftraggeber", "status", "angebotsfrist"]
    list_filter = ["status", "vergabeart"]
    search_fields = ["titel", "auftraggeber", "vergabenummer"]
    date_hierarchy = "angebotsfrist"
    list_select_related = ["vergabeart"]


@admin.register(Unterlage)
class UnterlageAdmin(admin.ModelAdmin):
    """Documents; they are uploaded on the tender's page, where the media volume is checked."""

    list_display = ["bezeichnung", "ausschreibung", "hochgeladen_von", "hochgeladen_am"]
    readonly_fields = ["ausschreibung", "datei", "hochgeladen_von", "hochgeladen_am"]

    def has_add_permission(self, request: object) -> bool:
        """Never here."""
        return False
