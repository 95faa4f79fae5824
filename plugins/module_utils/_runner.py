# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands run one after the other in an application's container, each with its own output. Private to this collection.

A container's log mixes standard output and error. A few lines of Python, started in place of the application's
command, run the steps without a shell and mark every line with its step and stream: readable for people, exact for us.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

#: Read-only for PostgreSQL, whatever the program tries: libpq (psycopg) takes it from the environment.
READ_ONLY = {"PGOPTIONS": "-c default_transaction_read_only=on"}

RUNNER = r"""
import json, os, signal, subprocess, sys, threading
spec = json.loads(sys.argv[1])
if spec["stdin"]:
    os.environ.update(json.loads(sys.stdin.readline()))
lock, done, running = threading.Lock(), {}, []
def stop(number, frame):
    for process in running:
        process.terminate()
signal.signal(signal.SIGTERM, stop)
def say(*words):
    with lock:
        print(*words, flush=True)
def finish(rc):
    say("runner", "end", rc)
    sys.exit(rc)
def pump(name, kind, stream, lines):
    for line in stream:
        lines.append(line)
        say(name, kind, line.rstrip("\n"))
for step in spec["steps"]:
    when = step["when"]
    if when and (when["step"] not in done or done[when["step"]][0] not in when["rc"]
                 or when["said"] not in done[when["step"]][1]):
        continue
    try:
        process = subprocess.Popen(step["argv"], cwd=spec["directory"] or None, env={**os.environ, **step["env"]},
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   encoding="utf-8", errors="replace")
    except OSError as error:
        say(step["name"], "err", error)
        say(step["name"], "rc", 127)
        finish(127)
    running.append(process)
    lines = []
    pumps = [threading.Thread(target=pump, args=(step["name"], kind, stream, lines))
             for kind, stream in (("out", process.stdout), ("err", process.stderr))]
    for thread in pumps:
        thread.start()
    for thread in pumps:
        thread.join()
    rc = process.wait()
    running.remove(process)
    done[step["name"]] = rc, "".join(lines)
    say(step["name"], "rc", rc)
    if rc not in step["ok"]:
        finish(rc if 0 < rc < 256 else 1)
finish(0)
"""


_END = re.compile(r"^runner end (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class When:
    """Run a step only after another one ended with one of these codes and said this."""

    step: str
    rc: tuple[int, ...]
    said: str


@dataclass(frozen=True)
class Command:
    """One step.

    :param name: a word that marks its lines.
    :param ok: exit codes after which the next step may run.
    :param env: plain environment of this step alone.
    """

    name: str
    argv: tuple[str, ...]
    ok: tuple[int, ...] = (0,)
    env: dict[str, str] = field(default_factory=dict)
    when: When | None = None


@dataclass(frozen=True)
class Ran:
    """What became of a step."""

    rc: int
    stdout: str
    stderr: str


def runner_argv(python: str, commands: list[Command], directory: str = "", stdin: bool = False) -> list[str]:
    """The command line that runs the steps.

    :param stdin: whether one line of JSON with secret environment is read first.
    """
    steps = [
        {
            "name": command.name,
            "argv": list(command.argv),
            "ok": list(command.ok),
            "env": command.env,
            "when": {"step": when.step, "rc": list(when.rc), "said": when.said} if (when := command.when) else None,
        }
        for command in commands
    ]
    spec = {"steps": steps, "directory": directory, "stdin": stdin}
    return [python, "-u", "-c", RUNNER, json.dumps(spec)]


def last_word(log: str) -> int | None:
    """The exit code once the runner is through."""
    match = _END.search(log) if log.endswith("\n") else None
    return int(match[1]) if match else None


def parse(log: str, commands: list[Command]) -> tuple[dict[str, Ran], str]:
    """The steps that ran, and the lines that none of them said (the runner's own troubles).

    A step that did not end (the container was killed) has the exit code -1.
    """
    names = "|".join(re.escape(command.name) for command in commands)
    marked = re.compile(rf"^({names}) (out|err|rc) ?(.*)$")
    parts: dict[str, dict[str, Any]] = {}
    stray: list[str] = []
    for line in log.split("\n"):
        if _END.match(line):
            continue
        match = marked.match(line)
        if not match:
            stray.append(line)
            continue
        name, kind, text = match.groups()
        part = parts.setdefault(name, {"rc": -1, "out": [], "err": []})
        if kind == "rc":
            part["rc"] = int(text)
        else:
            part[kind].append(text)
    ran = {name: Ran(part["rc"], "\n".join(part["out"]), "\n".join(part["err"])) for name, part in parts.items()}
    return ran, "\n".join(stray).strip()
