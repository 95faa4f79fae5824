"""The lab's progress, with a terminal and without."""

from __future__ import annotations

import io

import pytest
from labkit.console import Console, clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (41.6, "0:42"), (725, "12:05"), (3723, "1:02:03")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_plain_lines_without_a_terminal() -> None:
    stream = io.StringIO()
    with Console(["one", "two"], stream=stream) as console:
        with console.step("one"):
            console.note("one", "12 MB")
        console.found("two")
    lines = stream.getvalue().splitlines()
    assert lines == ["[ 0.0 s] one … (then 1: two)", "[ 0.0 s] one: ok, 0.0 s (12 MB)"]
    assert "\x1b" not in stream.getvalue()


def test_the_table_tells_what_was_done_found_and_not_reached() -> None:
    console = Console(["one", "two", "three"], stream=io.StringIO())
    console.found("two", "3 MB")

    def fail() -> None:
        with console.step("one"):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    rows = [line.split()[0:1] + line.split()[-2:] for line in console.table().splitlines()]
    assert rows[0] == ["two", "3", "MB"]
    assert rows[1][0] == "one"
    assert rows[1][-1] == "failed"
    assert rows[2] == ["three", "not", "reached"]
    assert rows[3][0] == "total"


def test_a_terminal_gets_one_line_that_is_wiped_at_the_end() -> None:
    stream = Terminal()
    with Console(["one"], stream=stream) as console, console.step("one"):
        console.say("hello")
    assert "hello\n" in stream.getvalue()
    assert "\r\x1b[2K[ 0.0 s] one" in stream.getvalue()
    assert stream.getvalue().endswith("one: ok, 0.0 s\n")
