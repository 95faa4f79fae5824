from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from activity_core.__main__ import count_until, main
from activity_core.server import Server
from activity_core.store import Total


class MemoryStore:
    """The store without a database; ``broken`` takes it away."""

    def __init__(self) -> None:
        self.broken = False
        self.new: list[tuple[str, str]] = []
        self.counted: Counter[tuple[str, str]] = Counter()

    def ping(self) -> None:
        if self.broken:
            raise OSError("gone")

    def add(self, source: str, name: str) -> None:
        self.ping()
        self.new.append((source, name))

    def count(self) -> int:
        self.ping()
        added = len(self.new)
        self.counted.update(self.new)
        self.new.clear()
        return added

    def totals(self) -> list[Total]:
        self.ping()
        return [Total(*key, count) for key, count in self.counted.most_common()]

    def prune(self, days: int) -> int:
        return 0


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def port(store: MemoryStore) -> Iterator[int]:
    server = Server(("127.0.0.1", 0), store)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def ask(port: int, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path, body, {"Connection": "close"})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


def test_activities_are_taken_in_and_added_up(port: int, store: MemoryStore) -> None:
    for name in ("login", "login", "logout"):
        assert ask(port, "POST", "/activities", json.dumps({"source": "shop", "name": name}))[0] == 201
    assert ask(port, "GET", "/totals") == (200, [])
    assert store.count() == 3
    assert ask(port, "GET", "/totals")[1][0] == {"source": "shop", "name": "login", "count": 2}


@pytest.mark.parametrize(
    ("body", "status"),
    [("{", 400), ("[]", 400), ("{}", 400), ('{"source": "", "name": "x"}', 400), ("x" * 10_001, 413)],
)
def test_what_is_no_activity_is_refused(port: int, store: MemoryStore, body: str, status: int) -> None:
    assert ask(port, "POST", "/activities", body)[0] == status
    assert store.new == []


def test_unknown_paths_are_not_found(port: int) -> None:
    assert (ask(port, "GET", "/")[0], ask(port, "POST", "/", "{}")[0]) == (404, 404)


def test_without_the_database_the_process_lives_and_is_not_ready(port: int, store: MemoryStore) -> None:
    assert ask(port, "GET", "/health/")[0] == 200
    store.broken = True
    assert ask(port, "GET", "/health/")[0] == 503
    assert ask(port, "GET", "/health/live/")[0] == 200
    assert ask(port, "POST", "/activities", '{"source": "a", "name": "b"}')[0] == 503


def test_the_worker_survives_a_database_that_is_away(store: MemoryStore) -> None:
    store.broken = True
    store.new.append(("a", "b"))
    stop = threading.Event()
    worker = threading.Thread(target=count_until, args=(stop, store, 0.005))
    worker.start()
    assert not stop.wait(0.05)
    store.broken = False
    for _ in range(1000):
        if store.counted:
            break
        stop.wait(0.005)
    stop.set()
    worker.join()
    assert store.counted == {("a", "b"): 1}


def test_without_an_address_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert main([]) == 1
    assert "DATABASE_URL is missing" in capsys.readouterr().err


def test_an_idle_connection_does_not_hold_up_the_end(store: MemoryStore) -> None:
    server = Server(("127.0.0.1", 0), store)
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    kept = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    kept.request("GET", "/health/live/")
    assert kept.getresponse().read() == b'{"status": "ok"}'
    end = threading.Thread(target=server.finish, daemon=True)
    end.start()
    end.join(5)
    assert not end.is_alive()
    kept.close()
