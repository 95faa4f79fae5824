"""What visitors and editors see."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from ausschreibungen.models import Ausschreibung, Status

HTMX = {"HX-Request": "true"}


def text(answer: Any) -> str:
    """Return the page's text."""
    return str(answer.content.decode())


def entry(**changes: str) -> dict[str, str]:
    """Return a filled-in form."""
    return {
        "titel": "Betrieb der Schul-IT",
        "auftraggeber": "Landkreis Beispielberg",
        "status": "pruefung",
        "angebotsfrist": "2031-05-20T12:00",
        "entscheidung_bis": "2031-05-06",
        **changes,
    }


def test_start_leads_to_the_overview(client: Client) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/ausschreibungen/dashboard/")


def test_overview(client: Client, ausschreibung: Ausschreibung) -> None:
    answer = client.get("/ausschreibungen/dashboard/")
    assert answer.status_code == 200
    assert "<title>Übersicht</title>" in text(answer)
    assert '<html lang="de">' in text(answer)
    assert [count for status, count in answer.context["zahlen"] if status == Status.PRUEFUNG] == [1]
    assert list(answer.context["naechste"]) == [ausschreibung]


def test_overview_leaves_out_what_is_over(client: Client, ausschreibung: Ausschreibung) -> None:
    Ausschreibung.objects.update(angebotsfrist=timezone.now() - timedelta(minutes=1))
    assert "Zurzeit steht keine Angebotsfrist an." in text(client.get("/ausschreibungen/dashboard/"))


@pytest.mark.django_db
def test_admin_login_is_german(client: Client) -> None:
    answer = client.get("/admin/login/")
    assert answer.status_code == 200
    assert "Anmelden" in text(answer)
    assert "Benutzername" in text(answer)


def test_favicon(client: Client) -> None:
    assert client.get("/favicon.ico").headers["Location"] == "/static/ausschreibungen/symbol.svg"


@pytest.mark.parametrize("path", ["/admin/login/", "/ausschreibungen/", "/anmelden/"])
@pytest.mark.django_db
def test_no_inline_script_or_style(client: Client, path: str) -> None:
    answer = client.get(path)
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text(answer))


def test_list_as_page_and_as_partial(client: Client, ausschreibung: Ausschreibung) -> None:
    page = client.get("/ausschreibungen/")
    partial = client.get("/ausschreibungen/", headers=HTMX)
    assert "<title>Ausschreibungen</title>" in text(page)
    assert "<html" not in text(partial)
    assert text(partial).strip().startswith('<section id="treffer"')
    for answer in (page, partial):
        assert ausschreibung.titel in text(answer)
        assert "HX-Request" in answer.headers["Vary"]


def test_restored_history_gets_the_page(client: Client, ausschreibung: Ausschreibung) -> None:
    answer = client.get("/ausschreibungen/", headers={**HTMX, "HX-History-Restore-Request": "true"})
    assert "<html" in text(answer)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"suche": "bürgerportals"}, True),
        ({"suche": "stadt 2026-17"}, True),
        ({"suche": "stadt fremd"}, False),
        ({"status": "pruefung"}, True),
        ({"status": "zuschlag"}, False),
        ({"status": "gibt-es-nicht"}, True),
    ],
)
def test_filter(client: Client, ausschreibung: Ausschreibung, query: dict[str, str], found: bool) -> None:
    answer = client.get("/ausschreibungen/", query, headers=HTMX)
    assert (ausschreibung.titel in text(answer)) is found
    assert ("Keine Ausschreibung entspricht der Suche." in text(answer)) is not found


def test_second_page_keeps_the_search(client: Client, ausschreibung: Ausschreibung) -> None:
    Ausschreibung.objects.bulk_create(
        Ausschreibung(titel=f"Los {n}", auftraggeber="Stadt", angebotsfrist=timezone.now()) for n in range(25)
    )
    answer = client.get("/ausschreibungen/", {"suche": "stadt"})
    assert "26 Ausschreibungen gefunden" in text(answer)
    assert "?suche=stadt&amp;page=2" in text(answer)


@pytest.mark.parametrize("action", ["bearbeiten", "loeschen"])
def test_visitors_read_but_do_not_write(client: Client, ausschreibung: Ausschreibung, action: str) -> None:
    page = ausschreibung.get_absolute_url()
    assert client.get(page).status_code == 200
    for path in (f"{page}{action}/", "/ausschreibungen/neu/"):
        answer = client.post(path, entry())
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/anmelden/?next={path}")
    assert list(Ausschreibung.objects.values_list("titel", flat=True)) == [ausschreibung.titel]


def test_log_in_and_out(client: Client, db: None) -> None:
    User.objects.create_user("redaktion", password="ein langes Kennwort")
    answer = client.post(
        "/anmelden/", {"username": "redaktion", "password": "ein langes Kennwort", "next": "/ausschreibungen/neu/"}
    )
    assert answer.headers["Location"] == "/ausschreibungen/neu/"
    assert client.get("/ausschreibungen/neu/").status_code == 200
    assert client.post("/abmelden/").headers["Location"] == "/ausschreibungen/dashboard/"
    assert client.get("/ausschreibungen/neu/").status_code == 302


def test_create_change_delete(redaktion: Client) -> None:
    page = redaktion.post("/ausschreibungen/neu/", entry(), follow=True)
    assert "Die Ausschreibung „Betrieb der Schul-IT“ wurde angelegt." in text(page)
    made = Ausschreibung.objects.get()
    assert timezone.localtime(made.angebotsfrist).isoformat() == "2031-05-20T12:00:00+02:00"

    form = redaktion.get(f"/ausschreibungen/{made.pk}/bearbeiten/")
    assert 'value="2031-05-20T12:00"' in text(form)
    assert "– bitte wählen –" in text(form)
    page = redaktion.post(f"/ausschreibungen/{made.pk}/bearbeiten/", entry(titel="Schul-IT"), follow=True)
    assert "Die Änderungen an „Schul-IT“ wurden gespeichert." in text(page)

    page = redaktion.post(f"/ausschreibungen/{made.pk}/loeschen/", follow=True)
    assert "Die Ausschreibung „Schul-IT“ wurde gelöscht." in text(page)
    assert not Ausschreibung.objects.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"titel": ""}, "Dieses Feld ist zwingend erforderlich."),
        ({"auftragswert": "-1"}, "größer oder gleich 0"),
        ({"entscheidung_bis": "2031-05-21"}, "spätestens am Tag der Angebotsfrist"),
    ],
)
def test_mistakes_are_explained(redaktion: Client, changes: dict[str, str], message: str) -> None:
    answer = redaktion.post("/ausschreibungen/neu/", entry(**changes))
    assert answer.status_code == 200
    assert message in text(answer)
    assert 'aria-invalid="true"' in text(answer)
    assert not Ausschreibung.objects.exists()


def test_status_by_htmx(redaktion: Client, ausschreibung: Ausschreibung) -> None:
    answer = redaktion.post(f"/ausschreibungen/{ausschreibung.pk}/status/", {"status": "abgegeben"}, headers=HTMX)
    assert text(answer).strip().startswith("<form")
    assert "gespeichert" in text(answer)
    ausschreibung.refresh_from_db()
    assert ausschreibung.status == Status.ABGEGEBEN


def test_status_is_offered_on_both_pages(redaktion: Client, ausschreibung: Ausschreibung) -> None:
    for path in ("/ausschreibungen/", ausschreibung.get_absolute_url()):
        page = text(redaktion.get(path))
        assert '<option value="pruefung" selected>In Prüfung</option>' in page
        assert '<option value="zuschlag">Zuschlag erhalten</option>' in page


def test_status_without_script(redaktion: Client, ausschreibung: Ausschreibung) -> None:
    answer = redaktion.post(f"/ausschreibungen/{ausschreibung.pk}/status/", {"status": "verzicht"})
    assert answer.headers["Location"] == ausschreibung.get_absolute_url()


def test_unknown_status_changes_nothing(redaktion: Client, ausschreibung: Ausschreibung) -> None:
    answer = redaktion.post(f"/ausschreibungen/{ausschreibung.pk}/status/", {"status": "gewonnen"}, headers=HTMX)
    assert answer.status_code == 422
    ausschreibung.refresh_from_db()
    assert ausschreibung.status == Status.PRUEFUNG


def test_expired_session_leads_htmx_to_the_login(client: Client, ausschreibung: Ausschreibung) -> None:
    answer = client.post(
        f"/ausschreibungen/{ausschreibung.pk}/status/",
        {"status": "abgegeben"},
        headers={**HTMX, "HX-Current-URL": "https://vergabe.example.org/ausschreibungen/?suche=x"},
    )
    assert answer.status_code == 204
    assert answer.headers["HX-Redirect"] == "/anmelden/?next=/ausschreibungen/%3Fsuche%3Dx"
