"""Forms for entering tenders and uploading documents."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, cast

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat

from .models import FILE_TYPES, Ausschreibung, Unterlage


class AusschreibungForm(forms.ModelForm):
    """Create or change a tender."""

    class Meta:
        model = Ausschreibung
        fields = [
            "titel",
            "auftraggeber",
            "vergabenummer",
            "vergabeart",
            "status",
            "angebotsfrist",
            "entscheidung_bis",
            "auftragswert",
            "link",
            "notiz",
        ]
        # Browsers' own date fields expect ISO values whatever the page's language.
        widgets = {
            "angebotsfrist": forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
            "entscheidung_bis": forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
            "notiz": forms.Textarea({"rows": 4}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Say in German what Django's translation does not cover yet."""
        super().__init__(*args, **kwargs)
        cast(forms.ModelChoiceField, self.fields["vergabeart"]).empty_label = "– bitte wählen –"

    def clean(self) -> dict[str, Any]:
        """A decision after the deadline would come too late."""
        data = super().clean() or {}
        deadline, decision = data.get("angebotsfrist"), data.get("entscheidung_bis")
        if deadline and decision and decision > deadline.date():
            self.add_error("entscheidung_bis", "Die Entscheidung muss spätestens am Tag der Angebotsfrist fallen.")
        return data


class StatusForm(forms.ModelForm):
    """Change the status alone."""

    class Meta:
        model = Ausschreibung
        fields = ["status"]


class UnterlageForm(forms.ModelForm):
    """Upload a document; without a name it gets the file's."""

    class Meta:
        model = Unterlage
        fields = ["datei", "bezeichnung"]
        widgets = {"datei": forms.FileInput({"accept": ",".join(f".{ending}" for ending in FILE_TYPES)})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make the name optional in the form."""
        super().__init__(*args, **kwargs)
        self.fields["bezeichnung"].required = False
        self.fields["bezeichnung"].help_text = "Leer lassen, um den Dateinamen zu übernehmen."

    def clean_datei(self) -> UploadedFile:
        """Refuse files above the limit."""
        upload: UploadedFile = self.cleaned_data["datei"]
        if upload.size is not None and upload.size > settings.UPLOAD_MAX_BYTES:
            limit = filesizeformat(settings.UPLOAD_MAX_BYTES)
            raise ValidationError(f"Die Datei ist zu groß: erlaubt sind höchstens {limit}.")
        return upload

    def clean(self) -> dict[str, Any]:
        """Fill in the name."""
        data = super().clean() or {}
        upload = data.get("datei")
        if upload is not None and not data.get("bezeichnung"):
            data["bezeichnung"] = PurePath(upload.name).name[:200]
        return data
