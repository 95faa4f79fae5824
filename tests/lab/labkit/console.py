"""Say what the lab is doing: the part, the time it takes, what is left, and a table of it all at the end.

On a terminal one line at the bottom is kept up to date; elsewhere (CI, a log file) the same words come as plain lines,
with a reminder every half minute while something long is running. Threads may share one console.

    console = Console(["helm", "images", "bundle"])
    with console.step("helm"):
        ...
        console.say("downloading")
    print(console.table())
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

_REDRAW = 0.2
_REMINDER = 30.0


def clock(seconds: float) -> str:
    """Return a duration as people read it: ``4.2 s`` below ten seconds, ``0:42``, ``12:05``, ``1:02:03``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


@dataclass(frozen=True)
class Row:
    """One finished step: its name, ``ok``, ``found`` or ``failed``, how long it took, and a remark."""

    name: str
    outcome: str
    seconds: float
    note: str = ""


class Console:
    """The progress of one command. ``plan`` names the steps to come; more may be added while it runs."""

    def __init__(self, plan: Iterable[str] = (), *, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._tty = self._stream.isatty()
        self._lock = threading.RLock()
        self._begin = time.monotonic()
        self._left = list(plan)
        self._running: dict[str, float] = {}
        self._notes: dict[str, str] = {}
        self._rows: list[Row] = []
        self._drawn = False
        self._closed = threading.Event()
        self._ticker: threading.Thread | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the console was made."""
        return time.monotonic() - self._begin

    def plan(self, names: Iterable[str]) -> None:
        """Add steps to what is left."""
        with self._lock:
            self._left.extend(names)

    def say(self, text: str) -> None:
        """Print one line, with the time since the beginning."""
        with self._lock:
            self._wipe()
            print(f"[{clock(self.elapsed):>6}] {text}", file=self._stream, flush=True)
            self._draw()

    def note(self, name: str, text: str) -> None:
        """Remark on a step; the last remark stands beside it in the table."""
        with self._lock:
            self._notes[name] = text

    def found(self, name: str, note: str = "") -> None:
        """Record a step that had nothing to do."""
        with self._lock:
            if name in self._left:
                self._left.remove(name)
            self._rows.append(Row(name, "found", 0.0, note))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run the body as the step ``name``: announced, timed, entered in the table. Exceptions pass through."""
        start = time.monotonic()
        with self._lock:
            if name in self._left:
                self._left.remove(name)
            self._running[name] = start
            if not self._tty:
                self.say(f"{name} … ({self._remaining()})")
            self._tick()
        outcome = "failed"
        try:
            yield
            outcome = "ok"
        finally:
            seconds = time.monotonic() - start
            with self._lock:
                del self._running[name]
                note = self._notes.pop(name, "")
                self._rows.append(Row(name, outcome, seconds, note))
                self.say(f"{name}: {outcome}, {clock(seconds)}{f' ({note})' if note else ''}")

    def table(self) -> str:
        """Return all steps with their times, what was not reached, and the total."""
        with self._lock:
            rows = [(row.name, clock(row.seconds) if row.seconds else "", row.outcome, row.note) for row in self._rows]
            rows += [(name, "", "not reached", "") for name in self._left]
            rows.append(("total", clock(self.elapsed), "", ""))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join(
            f"  {name:<{widths[0]}}  {seconds:>{widths[1]}}  {outcome:<{widths[2]}}  {note}".rstrip()
            for name, seconds, outcome, note in rows
        )

    def close(self) -> None:
        """End the progress line. Nothing more is drawn afterwards; `say` and `table` keep working."""
        self._closed.set()
        with self._lock:
            self._wipe()
            ticker = self._ticker
        if ticker is not None:
            ticker.join()

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def _remaining(self) -> str:
        if not self._left:
            return "the last"
        shown = ", ".join(self._left[:4])
        more = f" and {len(self._left) - 4} more" if len(self._left) > 4 else ""
        return f"then {len(self._left)}: {shown}{more}"

    def _line(self) -> str:
        now = time.monotonic()
        running = " + ".join(f"{name} {clock(now - start)}" for name, start in self._running.items())
        return f"[{clock(self.elapsed):>6}] {running} ({self._remaining()})"

    def _tick(self) -> None:
        if self._ticker is None and not self._closed.is_set():
            self._ticker = threading.Thread(target=self._keep_current, daemon=True)
            self._ticker.start()

    def _keep_current(self) -> None:
        while not self._closed.wait(_REDRAW if self._tty else _REMINDER):
            with self._lock:
                if self._tty:
                    self._draw()
                elif self._running:
                    print(self._line(), file=self._stream, flush=True)

    def _draw(self) -> None:
        if not self._tty or not self._running or self._closed.is_set():
            return
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[2K{self._line()[:width]}", end="", file=self._stream, flush=True)
        self._drawn = True

    def _wipe(self) -> None:
        if self._drawn:
            print("\r\x1b[2K", end="", file=self._stream, flush=True)
            self._drawn = False
