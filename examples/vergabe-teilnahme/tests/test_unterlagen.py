"""Documents on the optional media volume."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from ausschreibungen.models import Ausschreibung, Unterlage

OFF = "Das Hochladen von Unterlagen ist abgeschaltet"


def stored(media: Path) -> list[Path]:
    """Return the files on the volume."""
    return [path for path in media.rglob("*") if path.is_file()]


def upload(client: Client, ausschreibung: Ausschreibung, name: str = "Eignung.PDF", content: bytes = b"%PDF-") -> str:
    """Upload a file and return the page that follows."""
    answer = client.post(
        f"{ausschreibung.get_absolute_url()}unterlagen/", {"datei": SimpleUploadedFile(name, content)}, follow=True
    )
    return answer.content.decode()


@pytest.fixture
def no_media(settings: Settings) -> None:
    """Switch uploads off, whatever the environment says."""
    settings.MEDIA_ROOT = ""
    settings.UPLOADS_ENABLED = False


def test_upload_download_delete(
    redaktion: Client,
    ausschreibung: Ausschreibung,
    media: Path,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    assert "Die Unterlage „Eignung.PDF“ wurde hochgeladen." in upload(redaktion, ausschreibung)
    unterlage = Unterlage.objects.get()
    assert [path.suffix for path in stored(media)] == [".pdf"]
    assert unterlage.hochgeladen_von is not None

    answer = redaktion.get(f"/ausschreibungen/unterlagen/{unterlage.pk}/")
    assert b"".join(answer) == b"%PDF-"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"

    with django_capture_on_commit_callbacks(execute=True):
        redaktion.post(f"/ausschreibungen/unterlagen/{unterlage.pk}/loeschen/")
    assert not Unterlage.objects.exists()
    assert stored(media) == []


def test_deleting_the_tender_removes_its_files(
    redaktion: Client,
    ausschreibung: Ausschreibung,
    media: Path,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    upload(redaktion, ausschreibung)
    with django_capture_on_commit_callbacks(execute=True):
        redaktion.post(f"{ausschreibung.get_absolute_url()}loeschen/")
    assert stored(media) == []


def test_without_volume_nothing_is_accepted(redaktion: Client, ausschreibung: Ausschreibung, no_media: None) -> None:
    page = redaktion.get(ausschreibung.get_absolute_url()).content.decode()
    assert OFF in page
    assert 'type="file"' not in page
    assert OFF in upload(redaktion, ausschreibung)
    assert not Unterlage.objects.exists()


def test_with_volume_the_form_is_offered(redaktion: Client, ausschreibung: Ausschreibung, media: Path) -> None:
    page = redaktion.get(ausschreibung.get_absolute_url()).content.decode()
    assert OFF not in page
    assert 'type="file"' in page


def test_unwritable_volume_is_explained(
    redaktion: Client, ausschreibung: Ausschreibung, media: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (media / "unterlagen").write_text("a file where the directory belongs")
    assert "Die Unterlage konnte nicht gespeichert werden" in upload(redaktion, ausschreibung)
    assert not Unterlage.objects.exists()
    assert "Cannot store an upload below MEDIA_ROOT" in caplog.text


def test_foreign_file_types_are_refused(redaktion: Client, ausschreibung: Ausschreibung, media: Path) -> None:
    assert "Dateiendung „html“ ist nicht erlaubt" in upload(redaktion, ausschreibung, "seite.html", b"<script>")
    assert stored(media) == []


def test_large_files_are_refused(
    redaktion: Client, ausschreibung: Ausschreibung, media: Path, settings: Settings
) -> None:
    settings.UPLOAD_MAX_BYTES = 4
    assert "Die Datei ist zu groß" in upload(redaktion, ausschreibung)
    assert stored(media) == []


def test_visitors_neither_upload_nor_download(redaktion: Client, ausschreibung: Ausschreibung, media: Path) -> None:
    upload(redaktion, ausschreibung)
    path = f"/ausschreibungen/unterlagen/{Unterlage.objects.get().pk}/"
    redaktion.logout()
    assert redaktion.get(path).headers["Location"] == f"/anmelden/?next={path}"
    assert 'type="file"' not in redaktion.get(ausschreibung.get_absolute_url()).content.decode()
    upload(redaktion, ausschreibung)
    assert Unterlage.objects.count() == 1


def test_lost_file_is_not_found(redaktion: Client, ausschreibung: Ausschreibung, media: Path) -> None:
    upload(redaktion, ausschreibung)
    stored(media)[0].unlink()
    assert redaktion.get(f"/ausschreibungen/unterlagen/{Unterlage.objects.get().pk}/").status_code == 404
