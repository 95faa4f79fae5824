"""Ausschreibungen (public tenders), their Vergabearten (procedures) and Unterlagen (documents)."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import PurePath
from typing import ClassVar

from django.conf import settings
from django.core.validators import FileExtensionValidator, MinValueValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone

SOON = timedelta(days=14)
DOCUMENTS = ["docx", "odt", "pdf", "pptx", "txt"]
TABLES = ["csv", "ods", "xlsx"]
GAEB = ["d83", "d84", "x83", "x84"]
FILE_TYPES = [*DOCUMENTS, *TABLES, *GAEB, "jpg", "png", "xml", "zip"]


class Vergabeart(models.Model):
    """A procurement procedure; reference data that ``seed_vergabearten`` maintains."""

    schluessel = models.SlugField("Schlüssel", unique=True)
    bezeichnung = models.CharField("Bezeichnung", max_length=120)
    rechtsgrundlage = models.CharField("Rechtsgrundlage", max_length=60)
    oberschwelle = models.BooleanField("oberhalb des EU-Schwellenwerts", default=False)

    class Meta:
        ordering = ["-oberschwelle", "bezeichnung"]
        verbose_name = "Vergabeart"
        verbose_name_plural = "Vergabearten"

    def __str__(self) -> str:
        return f"{self.bezeichnung} ({self.rechtsgrundlage})"


class Status(models.TextChoices):
    """Where our participation stands."""

    PRUEFUNG = "pruefung", "In Prüfung"
    BEARBEITUNG = "bearbeitung", "Angebot in Bearbeitung"
    ABGEGEBEN = "abgegeben", "Angebot abgegeben"
    ZUSCHLAG = "zuschlag", "Zuschlag erhalten"
    ABSAGE = "absage", "Absage erhalten"
    VERZICHT = "verzicht", "Keine Teilnahme"


# Something is still to be done before the deadline.
OPEN = (Status.PRUEFUNG, Status.BEARBEITUNG)


class AusschreibungQuerySet(models.QuerySet["Ausschreibung"]):
    """The questions the pages ask."""

    def offen(self) -> AusschreibungQuerySet:
        """Still to be decided or worked on, and the deadline has not passed."""
        return self.filter(status__in=OPEN, angebotsfrist__gte=timezone.now())

    def gefiltert(self, suche: str = "", status: str = "") -> AusschreibungQuerySet:
        """Narrow by words in title, contracting authority or number, and by status; an unknown status is ignored."""
        found = self
        for word in suche.split():
            found = found.filter(
                models.Q(titel__icontains=word)
                | models.Q(auftraggeber__icontains=word)
                | models.Q(vergabenummer__icontains=word)
            )
        return found.filter(status=status) if status in Status.values else found


class Ausschreibung(models.Model):
    """A public tender that we may take part in."""

    titel = models.CharField("Titel", max_length=200)
    auftraggeber = models.CharField("Auftraggeber", max_length=200)
    vergabenummer = models.CharField("Vergabenummer", max_length=60, blank=True)
    vergabeart = models.ForeignKey(
        Vergabeart, models.PROTECT, verbose_name="Vergabeart", related_name="ausschreibungen", null=True, blank=True
    )
    status = models.CharField("Status", max_length=20, choices=Status, default=Status.PRUEFUNG)
    angebotsfrist = models.DateTimeField("Angebotsfrist")
    entscheidung_bis = models.DateField(
        "Entscheidung bis", null=True, blank=True, help_text="Bis wann wir über die Teilnahme entscheiden."
    )
    auftragswert = models.DecimalField(
        "Geschätzter Auftragswert",
        max_digits=12,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Netto, in Euro.",
    )
    link = models.URLField("Link zur Bekanntmachung", blank=True)
    notiz = models.TextField("Notiz", blank=True)
    angelegt_am = models.DateTimeField("angelegt am", auto_now_add=True)
    geaendert_am = models.DateTimeField("geändert am", auto_now=True)

    objects: ClassVar[models.Manager[Ausschreibung]] = AusschreibungQuerySet.as_manager()

    class Meta:
        ordering = ["angebotsfrist", "pk"]
        verbose_name = "Ausschreibung"
        verbose_name_plural = "Ausschreibungen"
        indexes = [models.Index(fields=["status", "angebotsfrist"], name="ausschreibung_status_frist")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(auftragswert__isnull=True) | models.Q(auftragswert__gte=0),
                name="ausschreibung_auftragswert_nicht_negativ",
                violation_error_message="Der Auftragswert darf nicht negativ sein.",
            )
        ]

    def __str__(self) -> str:
        return self.titel

    def get_absolute_url(self) -> str:
        """Return the address of the detail page."""
        return reverse("ausschreibungen:detail", args=[self.pk])

    @property
    def abgelaufen(self) -> bool:
        """Whether the deadline has passed."""
        return self.angebotsfrist < timezone.now()

    @property
    def eilig(self) -> bool:
        """Whether something is to be done within the next two weeks."""
        return self.status in OPEN and not self.abgelaufen and self.angebotsfrist < timezone.now() + SOON


def storage_name(unterlage: Unterlage, filename: str) -> str:
    """Return a name nobody can guess or collide with; the original one is kept in ``bezeichnung``."""
    return f"unterlagen/{unterlage.ausschreibung_id}/{uuid.uuid4().hex}{PurePath(filename).suffix.lower()}"


class Unterlage(models.Model):
    """A document that belongs to a tender; its file lies on the media volume."""

    ausschreibung = models.ForeignKey(
        Ausschreibung, models.CASCADE, verbose_name="Ausschreibung", related_name="unterlagen"
    )
    bezeichnung = models.CharField("Bezeichnung", max_length=200)
    datei = models.FileField(
        "Datei", upload_to=storage_name, max_length=200, validators=[FileExtensionValidator(FILE_TYPES)]
    )
    hochgeladen_am = models.DateTimeField("hochgeladen am", auto_now_add=True)
    hochgeladen_von = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name="hochgeladen von",
        related_name="unterlagen",
        null=True,
        blank=True,
    )

    class Meta:
        ordering = ["bezeichnung", "pk"]
        verbose_name = "Unterlage"
        verbose_name_plural = "Unterlagen"

    def __str__(self) -> str:
        return self.bezeichnung
