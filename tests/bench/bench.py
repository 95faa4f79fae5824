"""Paired timings: ours and an alternative on the same machine, in the same minutes, in alternating order.

Usage: bench.py [TOPIC …]

A topic is a file beside this one. It offers ``topic() -> contextmanager`` that prepares the world, yields the
:class:`Pair` objects and cleans up. Seconds depend on the machine and on what else runs there; the ratio of a pair does
not, so the ratio is what a goal is set for. Results go to standard output and into the topic's table in
docs/benchmarks.md.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

# The topics find the collection and what the tests share, too.
sys.path[:0] = [str(Path(__file__).parents[2] / ".collections"), str(Path(__file__).parents[1])]

from server import JSON_ANSWER, ROOT

RESULTS = ROOT / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Pair:
    """Two commands that reach the same state.

    :param name: what is measured, in a reader's words.
    :param ours, theirs: command lines; both must succeed in every run.
    :param theirs_is: what the alternative is, with its version where that matters.
    :param goal: the ratio ours / theirs that must not be exceeded; ``None`` where there is only something to look at.
    :param within: the seconds that ours may take more, where the alternative does less around the same work.
    :param limit: seconds that ours may take.
    :param tasks_only: of a playbook only the seconds of its tasks count, not those that ansible-playbook needs around
        them.
    :param before: puts the world back before each run of either side; not timed.
    :param runs: how often each side runs, after one run that does not count.
    """

    name: str
    ours: list[str]
    theirs: list[str]
    theirs_is: str
    goal: float | None = None
    within: float | None = None
    limit: float | None = None
    tasks_only: bool = False
    before: Callable[[], None] = field(default=lambda: None)
    runs: int = 7


@dataclass(frozen=True)
class Side:
    """Seconds of each run, and the largest resident set of any process in MiB."""

    seconds: list[float]
    memory: float

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def timed(command: list[str], tasks_only: bool = False) -> tuple[float, float]:
    """Run to the end; seconds and MiB of the largest process.

    :param tasks_only: when the command is ansible-playbook, the seconds are those of its tasks.
    :raises SystemExit: with the command's output when it fails: a failed run measures nothing.
    """
    tasks_only = tasks_only and "ansible-playbook" in command
    # A tool that talks a lot would measure the pipe; its words are wanted only when it fails.
    shape = JSON_ANSWER if tasks_only else {}
    with open(os.memfd_create("said"), "w+b") as said:
        start = time.monotonic()
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={**os.environ, **shape}
        )
        _pid, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said.read().decode(errors='replace')}")
        if tasks_only:
            said.seek(0)
            seconds = seconds_of_tasks(said.read().decode())
    return seconds, usage.ru_maxrss / 1024


def seconds_of_tasks(answer: str) -> float:
    """Sum over the tasks in the answer of the callback ansible.posix.json."""
    plays = json.JSONDecoder().raw_decode(answer[answer.index("{") :])[0]["plays"]
    spans = [task["task"]["duration"] for play in plays for task in play["tasks"]]
    moments = [[datetime.fromisoformat(span[end]) for end in ("start", "end")] for span in spans]
    return sum((end - start).total_seconds() for start, end in moments)


def measure(pair: Pair) -> tuple[Side, Side]:
    """Both sides in turn; which one begins alternates, so that a machine growing slower favours neither."""
    runs: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    for turn in range(pair.runs + 1):
        for side in ("ours", "theirs") if turn % 2 else ("theirs", "ours"):
            pair.before()
            result = timed(getattr(pair, side), pair.tasks_only)
            if turn:
                runs[side].append(result)
            print(f"  {pair.name}: {side} {result[0]:.2f} s{'' if turn else ' (warming up)'}", file=sys.stderr)
    ours, theirs = (Side([s for s, _m in runs[side]], max(m for _s, m in runs[side])) for side in ("ours", "theirs"))
    return ours, theirs


def ratio(ours: Side, theirs: Side) -> tuple[float, float, float]:
    """Median of the paired ratios, and their range."""
    ratios = [mine / other for mine, other in zip(ours.seconds, theirs.seconds, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def row(pair: Pair, ours: Side, theirs: Side) -> tuple[str, bool]:
    """A line of the table, and whether the goal is met."""
    middle, low, high = ratio(ours, theirs)
    more = statistics.median(mine - other for mine, other in zip(ours.seconds, theirs.seconds, strict=True))
    goals = [
        (text, value <= limit)
        for text, value, limit in (
            (f"≤ {pair.goal:.2f}" if pair.goal is not None else "", middle, pair.goal),
            (f"≤ +{pair.within:.2f} s ({more:+.2f} s)" if pair.within is not None else "", more, pair.within),
            (f"≤ {pair.limit:.2f} s" if pair.limit is not None else "", ours.median, pair.limit),
        )
        if limit is not None
    ]
    met = all(holds for _text, holds in goals)
    goal = ", ".join(f"{text} {'met' if holds else 'MISSED'}" for text, holds in goals)
    cells = [
        pair.name,
        f"{ours.median:.2f} s",
        f"{theirs.median:.2f} s",
        pair.theirs_is,
        f"{middle:.2f} ({low:.2f}–{high:.2f})",
        goal,
        f"{ours.memory:.0f} / {theirs.memory:.0f}",
        str(pair.runs),
    ]
    return f"| {' | '.join(cells)} |", met


HEAD = """| what | ours | alternative | which is | ratio (range) | goal | MiB | runs |
| --- | ---: | ---: | --- | ---: | --- | ---: | ---: |"""


def write(topic: str, table: str) -> None:
    """Replace the topic's section of docs/benchmarks.md, or add it."""
    text = RESULTS.read_text()
    section = f"## {topic}\n\n{table}\n"
    found = re.search(rf"^## {re.escape(topic)}\n\n(?:\|.*\n)*", text, re.MULTILINE)
    text = text[: found.start()] + section + text[found.end() :] if found else f"{text.rstrip()}\n\n{section}"
    RESULTS.write_text(text)


def topics() -> list[str]:
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem != "bench")


def main(wanted: list[str]) -> int:
    unknown = sorted(set(wanted) - set(topics()))
    if unknown:
        sys.exit(f"No such topic: {', '.join(unknown)}. There are: {', '.join(topics()) or 'none yet'}.")
    # The topics import Pair from here: the module that runs and the one they see are the same.
    sys.modules["bench"] = sys.modules[__name__]
    missed = 0
    for name in wanted or topics():
        offered: Callable[[], contextlib.AbstractContextManager[Iterable[Pair]]] = importlib.import_module(name).topic
        print(f"{name}:", file=sys.stderr)
        rows = []
        with offered() as pairs:
            for pair in pairs:
                line, met = row(pair, *measure(pair))
                rows.append(line)
                missed += not met
        table = "\n".join([HEAD, *rows])
        print(f"\n{name}\n{table}\n", flush=True)
        write(name, table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
