"""Run named stages one after the other, show progress, and end with a table of their times.

Usage: stages.py TITLE NAME=COMMAND [NAME=COMMAND …]

A stage is a shell command run from the root of the checkout. The first one that fails ends the run; the table then
says which, and its exit code becomes ours. Standard library only: this runs before the development environment exists.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def run(command: str) -> int:
    """Run one stage in a process group of its own, so that an interrupt reaches all of it exactly once."""
    process = subprocess.Popen(["bash", "-euo", "pipefail", "-c", command], cwd=ROOT, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
        return 130


def main(arguments: list[str]) -> int:
    title, *pairs = arguments
    stages = [tuple(pair.split("=", 1)) for pair in pairs]
    rows: list[tuple[str, str, float]] = []
    begin, code = time.monotonic(), 0
    for number, (name, command) in enumerate(stages, 1):
        left = ", ".join(n for n, _command in stages[number:]) or "nothing"
        print(f"\n=== {title} {number}/{len(stages)}: {name} (elapsed {clock(time.monotonic() - begin)}, then: {left})")
        sys.stdout.flush()
        start = time.monotonic()
        code = run(command)
        rows.append((name, "ok" if code == 0 else f"FAILED ({code})", time.monotonic() - start))
        if code:
            break
    print(f"\n{title}: {'all stages hold' if code == 0 else f'stage {rows[-1][0]} failed'}")
    for name, outcome, seconds in rows:
        print(f"  {name:<24} {clock(seconds):>6}  {outcome}")
    for name, _command in stages[len(rows) :]:
        print(f"  {name:<24} {'':>6}  not run")
    print(f"  {'total':<24} {clock(time.monotonic() - begin):>6}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
