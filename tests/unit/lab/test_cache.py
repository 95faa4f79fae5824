"""The lab's cache: what counts as built, and what does not."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from labkit.cache import LISTING, Cache, Order, damage, file_sha256, listed, make_key, tree_sha256
from labkit.command import LabError

ORDER = Order("thing", {"version": "1", "flags": ["-a", "-b"]})


def write_two(target: Path) -> None:
    (target / "deep").mkdir()
    (target / "deep" / "data.txt").write_text("content\n")
    (target / "program").write_text("#!/bin/sh\n")
    (target / "program").chmod(0o755)


class Builder:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, target: Path) -> None:
        self.times += 1
        write_two(target)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_a_thing_is_built_once_and_found_afterwards(cache: Cache) -> None:
    build = Builder()
    first = cache.get(ORDER, build)
    second = cache.get(ORDER, build)
    assert first == second == cache.root / "thing" / ORDER.key
    assert build.times == 1
    assert (first / "deep" / "data.txt").read_text() == "content\n"
    assert sorted(listed(first)) == ["deep/data.txt", "program"]
    assert listed(first)["program"]["mode"] == 0o755


@pytest.mark.parametrize(
    "other",
    [
        Order("thing", {"version": "2", "flags": ["-a", "-b"]}),
        Order("thing", {"version": "1", "flags": ["-b", "-a"]}),
        Order("thing", {"version": "1", "flags": ["-a", "-b"], "needs": {"base": "0"}}),
        Order("other", {"version": "1", "flags": ["-a", "-b"]}),
    ],
)
def test_every_input_changes_the_key(other: Order) -> None:
    assert other.key != ORDER.key


def test_the_order_of_a_mapping_does_not_change_the_key() -> None:
    assert make_key({"a": 1, "b": 2}) == make_key({"b": 2, "a": 1})


def test_a_tree_hash_follows_names_contents_and_execute_bits(tmp_path: Path) -> None:
    seen = set()
    (tmp_path / "a").write_text("1")
    seen.add(tree_sha256(tmp_path))
    (tmp_path / "a").write_text("2")
    seen.add(tree_sha256(tmp_path))
    (tmp_path / "a").chmod(0o755)
    seen.add(tree_sha256(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    seen.add(tree_sha256(tmp_path))
    assert len(seen) == 4


def test_a_failed_build_leaves_nothing(cache: Cache) -> None:
    def fail(target: Path) -> None:
        (target / "half").write_text("half")
        raise LabError("the compiler said no")

    with pytest.raises(LabError, match="the compiler said no"):
        cache.get(ORDER, fail)
    assert not cache.has(ORDER)
    assert not cache.path(ORDER).exists()
    assert list((cache.root / "making").iterdir()) == []


def _build_for_ever(root: Path, begun: Path) -> None:
    def build(target: Path) -> None:
        write_two(target)
        begun.write_text("")
        while True:
            time.sleep(60)

    Cache(root).get(ORDER, build)


def test_a_killed_build_does_not_count_and_its_debris_goes(cache: Cache, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    process = multiprocessing.get_context("fork").Process(target=_build_for_ever, args=(cache.root, begun))
    process.start()
    deadline = time.monotonic() + 20
    while not begun.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not cache.has(ORDER)
    assert len(list((cache.root / "making").iterdir())) == 1

    build = Builder()
    cache.get(ORDER, build)
    assert build.times == 1
    assert list((cache.root / "making").iterdir()) == []


def _flip_one_byte(place: Path) -> None:
    path = place / "deep" / "data.txt"
    before = path.stat()
    path.write_text("c0ntent\n")
    # Neither size nor time of modification tell.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_flip_one_byte, "data.txt has another sha256"),
        (lambda place: (place / "program").write_text(""), "program has 0 bytes instead of 10"),
        (lambda place: (place / "program").chmod(0o644), "program has another mode"),
        (lambda place: (place / "program").unlink(), "program is missing"),
        (lambda place: (place / "more").write_text("?"), "more is not on the list"),
        (lambda place: (place / "link").symlink_to("program"), "neither a file nor a directory"),
        (lambda place: (place / LISTING).write_text("{"), "cannot be read"),
        (lambda place: (place / LISTING).unlink(), "cannot be read"),
    ],
)
def test_a_damaged_entry_is_noticed_and_built_again(cache: Cache, spoil, words) -> None:
    build = Builder()
    place = cache.get(ORDER, build)
    spoil(place)
    assert words in damage(place)
    said: list[str] = []
    again = cache.get(ORDER, build, said.append)
    assert build.times == 2
    assert damage(again) == ""
    assert any(words in line for line in said)


def test_files_nobody_touched_are_not_hashed_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    place = cache.get(ORDER, write_two)
    assert cache.find(ORDER) == place
    hashed: list[str] = []

    def count(path: Path) -> str:
        hashed.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr("labkit.cache.file_sha256", count)
    assert cache.find(ORDER) == place
    assert hashed == []
    # A further link changes the file's status, not its content.
    os.link(place / "program", cache.root / "link")
    assert cache.find(ORDER) == place
    assert hashed == ["program"]


def test_a_damaged_entry_is_not_found(cache: Cache) -> None:
    place = cache.get(ORDER, write_two)
    assert cache.find(ORDER) == place
    _flip_one_byte(place)
    assert cache.find(ORDER) is None
    assert not place.exists()


def test_an_empty_result_is_an_error(cache: Cache) -> None:
    with pytest.raises(LabError, match="ended well and produced no file"):
        cache.get(ORDER, lambda target: None)


def test_a_link_is_an_error(cache: Cache) -> None:
    with pytest.raises(LabError, match="neither a file nor a directory"):
        cache.get(ORDER, lambda target: (target / "link").symlink_to("/etc/hostname"))


def _build_slowly(root: Path, counter: Path) -> None:
    def build(target: Path) -> None:
        with counter.open("a") as handle:
            handle.write("built\n")
        time.sleep(0.3)
        write_two(target)

    Cache(root).get(ORDER, build)


def test_two_processes_build_one_thing_once(cache: Cache, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_build_slowly, args=(cache.root, counter)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert counter.read_text() == "built\n"


def test_pruning_removes_what_nobody_used_for_long(cache: Cache) -> None:
    old, young = Order("old", {}), Order("young", {})
    for order in (old, young):
        cache.get(order, write_two)
    past = time.time() - 40 * 86400
    os.utime(cache.path(old) / LISTING, (past, past))
    assert cache.prune(30) == 1
    assert not cache.has(old)
    assert cache.has(young)


def test_use_keeps_an_entry(cache: Cache) -> None:
    cache.get(ORDER, write_two)
    past = time.time() - 40 * 86400
    os.utime(cache.path(ORDER) / LISTING, (past, past))
    assert cache.find(ORDER)
    assert cache.prune(30) == 0
