from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from state_hub.app import create_app
from state_hub.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[1]
WRITER = {"Authorization": "Bearer token-of-the-tests"}


def alembic(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alembic", *words],
        cwd=ROOT,
        env={"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/hub.sqlite3"


@pytest.fixture
def client(url: str) -> Iterator[TestClient]:
    done = alembic(url, "upgrade", "head")
    assert done.returncode == 0, done.stderr
    with TestClient(create_app(Settings(url, api_token="token-of-the-tests", max_value_bytes=100))) as client:
        yield client


def test_a_state_is_written_read_changed_and_removed_with_its_history(client: TestClient) -> None:
    assert client.put("/states/door", json="open", headers=WRITER).status_code == 201
    assert client.put("/states/door", json={"is": "shut"}, headers=WRITER).json() == {"key": "door", "revision": 2}
    assert client.put("/states/door", json={"is": "shut"}, headers=WRITER).json()["revision"] == 2
    assert client.get("/states/door").json()["value"] == {"is": "shut"}
    assert client.get("/states", params={"prefix": "do"}).json() == ["door"]
    assert client.delete("/states/door", headers=WRITER).status_code == 204
    assert client.get("/states/door").status_code == 404
    assert [one["value"] for one in client.get("/states/door/changes").json()] == [None, {"is": "shut"}, "open"]
    assert client.put("/states/door", json="new", headers=WRITER).json()["revision"] == 4


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_writing_needs_the_token(client: TestClient, headers: dict[str, str]) -> None:
    assert client.put("/states/door", json=1, headers=headers).status_code == 401
    assert client.get("/states").json() == []


def test_a_hub_without_a_token_is_read_only(url: str) -> None:
    alembic(url, "upgrade", "head")
    with TestClient(create_app(Settings(url))) as client:
        assert client.put("/states/door", json=1, headers={"Authorization": "Bearer "}).status_code == 401


def test_long_values_and_odd_keys_are_refused(client: TestClient) -> None:
    assert client.put("/states/door", json="x" * 101, headers=WRITER).status_code == 413
    assert client.put("/states/Door", json=1, headers=WRITER).status_code == 422


def test_health_asks_the_database(client: TestClient) -> None:
    assert client.get("/health/").json() == {"status": "ok", "database": "ok"}
    with TestClient(create_app(Settings("postgresql+psycopg://nobody@127.0.0.1:1/none"))) as cut_off:
        assert cut_off.get("/health/").status_code == 503
        assert cut_off.get("/health/live/").status_code == 200


def test_migrations_go_up_and_down_and_keep_what_is_there(url: str) -> None:
    assert alembic(url, "upgrade", "0001").returncode == 0
    assert alembic(url, "current", "--check-heads").returncode != 0
    assert alembic(url, "upgrade", "head").returncode == 0
    assert alembic(url, "current", "--check-heads").returncode == 0
    assert "No new upgrade operations detected" in alembic(url, "check").stdout
    assert alembic(url, "downgrade", "base").returncode == 0


def test_settings_come_from_environment_and_file(tmp_path: Path) -> None:
    file = tmp_path / "hub.toml"
    file.write_text('[hub]\ntitle = "House"\nmax_value_bytes = 10\n')
    settings = Settings.from_environment({"DATABASE_URL": "postgresql://h/d", "STATE_HUB_CONFIG": str(file)})
    assert (settings.database_url, settings.title, settings.max_value_bytes) == (
        "postgresql+psycopg://h/d",
        "House",
        10,
    )
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        Settings.from_environment({})
    with pytest.raises(SettingsError, match="STATE_HUB_CONFIG"):
        Settings.from_environment({"DATABASE_URL": "x", "STATE_HUB_CONFIG": "/nowhere.toml"})
