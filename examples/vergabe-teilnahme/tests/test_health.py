"""Health for probes, the container's own check, and what the proxy means for both."""

from __future__ import annotations

import json
import socket

import pytest
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from config import healthcheck

from .conftest import RunProduction

ASK = """
import django, sys
django.setup()
from django.test import Client
headers = dict(pair.split("=") for pair in sys.argv[2:])
answer = Client().get(sys.argv[1], headers={"host": "vergabe.example.org", **headers})
from django.db import connection
connection.close_pool()  # as gunicorn's worker does
print("ANSWER", answer.status_code, answer.headers.get("Location", ""), answer.content.decode())
"""


@pytest.mark.django_db
def test_healthy(client: Client) -> None:
    answer = client.get("/health/")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "database": "ok"}
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("pool", [None, "2"])
def test_database_down(production: RunProduction, pool: str | None) -> None:
    done = production("-c", ASK, "/health/", DATABASE_POOL_SIZE=pool)
    answer = next(line for line in done.stdout.splitlines() if line.startswith("ANSWER"))
    assert answer.split()[1] == "503", done.stderr
    assert json.loads(answer[answer.index("{") :]) == {"status": "error", "database": "unreachable"}
    assert "WARNING config.health Health check: the database does not answer" in done.stdout
    assert "streng-geheim" not in done.stdout + done.stderr


def test_alive_without_database(production: RunProduction) -> None:
    assert "ANSWER 200" in production("-c", ASK, "/health/live/").stdout


def test_http_is_redirected_except_for_probes(production: RunProduction) -> None:
    assert "ANSWER 301 https://vergabe.example.org/admin/" in production("-c", ASK, "/admin/").stdout
    assert "ANSWER 200" in production("-c", ASK, "/health/live/").stdout


def test_proxy_header_counts_as_https(production: RunProduction) -> None:
    done = production("-c", ASK, "/", "x-forwarded-proto=https")
    assert "ANSWER 302 /ausschreibungen/dashboard/" in done.stdout


def test_proxy_header_is_not_trusted_by_default(production: RunProduction) -> None:
    done = production("-c", ASK, "/", "x-forwarded-proto=https", SECURE_PROXY_SSL_HEADER=None)
    assert "ANSWER 301 https://" in done.stdout


def test_unknown_host_is_refused(production: RunProduction) -> None:
    assert "ANSWER 400" in production("-c", ASK, "/health/live/", "host=10.42.0.7").stdout


@pytest.mark.parametrize(
    ("allowed", "host"),
    [("", "localhost"), ("*", "localhost"), (".example.org", "www.example.org"), ("a.example.org,b", "a.example.org")],
)
def test_host_header_of_the_container_check(allowed: str, host: str) -> None:
    assert healthcheck.host_header(allowed) == host


@pytest.mark.django_db(transaction=True)
def test_container_check_accepts_a_healthy_server(live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", live_server.url.rpartition(":")[2])
    monkeypatch.setenv("ALLOWED_HOSTS", "localhost")
    assert healthcheck.main() == 0


@pytest.mark.django_db(transaction=True)
def test_container_check_reports_a_refusal(
    live_server: LiveServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", live_server.url.rpartition(":")[2])
    monkeypatch.setenv("ALLOWED_HOSTS", "foreign.example.org")
    assert healthcheck.main() == 1
    assert capsys.readouterr().out.startswith("HTTP 400")


def test_container_check_reports_silence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, but not listening
        monkeypatch.setenv("PORT", str(bound.getsockname()[1]))
        assert healthcheck.main() == 1
    assert capsys.readouterr().out.startswith("no answer: ")
