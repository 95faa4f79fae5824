# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in an application's container in place of its command: steps one after the other, every line marked.

Its text is carried into the container, so it needs nothing but Python. Private to this collection; the other side is
``_runner``.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from typing import Any, NoReturn

#: Seconds that a step gets to end when it is told to, and a companion to say its last word.
_TO_END = 8.0


class Stopped(Exception):
    """The pod is told to end, or the time is over."""


class Runner:
    """:param spec: ``{steps, directory, timeout}``; what a step is stands in ``_runner.Command``."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._lock = threading.Lock()
        self._steps: dict[str, Step] = {}

    def run(self) -> int:
        rc = 0
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGALRM, self._stop)
        signal.setitimer(signal.ITIMER_REAL, self._spec["timeout"])
        try:
            for step in self._spec["steps"]:
                if self._wanted(step["when"]):
                    rc = self._run_step(step)
                    if rc not in step["ok"]:
                        break
            else:
                rc = 0
            self._no_more_signals()
        except Stopped as reason:
            self.say("runner", reason)
            rc = 124 if str(reason) == "timeout" else 143
            self._companions("stop")
        finally:
            for one in self._steps.values():
                if not one.companion:
                    one.end()
            self._companions("end")
        rc = rc if 0 <= rc < 256 else 1
        self.say("runner", "end", rc)
        return rc

    def say(self, *words: object) -> None:
        with self._lock:
            sys.stdout.write(" ".join(str(word) for word in words) + "\n")
            sys.stdout.flush()

    def _wanted(self, when: dict[str, Any] | None) -> bool:
        if not when:
            return True
        step = self._steps.get(when["step"])
        return step is not None and step.rc in when["rc"] and when["said"] in "".join(step.lines)

    def _run_step(self, spec: dict[str, Any]) -> int:
        step = Step(spec, self.say)
        self._steps[step.name] = step
        try:
            step.start(self._spec["directory"] or None)
        except OSError as error:
            self.say(step.name, "err", error)
            step.finished(127)
            return 127
        return step.answer() if step.companion else step.wait()

    def _companions(self, word: str) -> None:
        for step in self._steps.values():
            if step.companion:
                step.tell(word)

    def _stop(self, number: int, frame: object) -> NoReturn:
        self._no_more_signals()
        raise Stopped("timeout" if number == signal.SIGALRM else "stopped")

    def _no_more_signals(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Step:
    """One command and what it said."""

    def __init__(self, spec: dict[str, Any], say: Any) -> None:
        self.name: str = spec["name"]
        self.companion: str = spec["companion"]
        self.rc: int | None = None
        self.lines: list[str] = []
        self._spec = spec
        self._say = say
        self._answered = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._pumps: list[threading.Thread] = []

    def start(self, directory: str | None) -> None:
        self._process = subprocess.Popen(
            self._spec["argv"],
            cwd=directory,
            env={**os.environ, **self._spec["env"]},
            stdin=subprocess.PIPE if self.companion else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        for kind, stream in (("out", self._process.stdout), ("err", self._process.stderr)):
            pump = threading.Thread(target=self._pump, args=(kind, stream), daemon=True)
            pump.start()
            self._pumps.append(pump)

    def _pump(self, kind: str, stream: Any) -> None:
        for line in stream:
            self.lines.append(line)
            self._say(self.name, kind, line.rstrip("\n"))
            if self.companion and (self.rc == 0 or line.startswith(self.companion)):
                self._answered.set()
        if kind == "out":
            self._answered.set()

    def answer(self) -> int:
        """The companion's answer is there (0), or it has ended already."""
        self._answered.wait()
        if not any(line.startswith(self.companion) for line in self.lines):
            return self.wait()
        self.rc = 0
        return 0

    def wait(self) -> int:
        if self._process is None:
            return 127
        rc = self._process.wait()
        for pump in self._pumps:
            pump.join(_TO_END)
        self.finished(rc)
        return rc

    def finished(self, rc: int) -> None:
        self.rc = rc
        self._process = None
        self._say(self.name, "rc", rc)

    def tell(self, word: str) -> None:
        """One word to a companion, and what it says to it."""
        process = self._process
        if process is None or process.stdin is None:
            return
        self._answered.clear()
        try:
            process.stdin.write(word + "\n")
            process.stdin.flush()
        except OSError:  # it has ended: there is nobody to tell
            self._answered.set()
        if word == "end":
            self.end()
        else:
            self._answered.wait(_TO_END)

    def end(self) -> None:
        """Whatever it does, it ends now: asked first (a companion was asked by a word), then forced."""
        process = self._process
        if process is None:
            return
        if not self.companion:
            self._signal(process, signal.SIGTERM)
        try:
            process.wait(_TO_END)
        except subprocess.TimeoutExpired:
            self._signal(process, signal.SIGKILL)
        self.wait()

    @staticmethod
    def _signal(process: subprocess.Popen[str], number: int) -> None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return


def main() -> None:
    spec = json.loads(sys.argv[1])
    if spec["wait"]:
        select.select([sys.stdin], [], [], spec["wait"])
    if spec["stdin"]:
        os.environ.update(json.loads(sys.stdin.readline()))
    raise SystemExit(Runner(spec).run())


if __name__ == "__main__":
    main()
