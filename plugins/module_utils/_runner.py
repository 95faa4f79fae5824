# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands run one after the other in an application's container, each with its own output. Private to this collection.

A container's log mixes standard output and error. ``_pod_runner``, started in place of the application's command, runs
the steps without a shell and marks every line with its step and stream: readable for people, exact for us.
"""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils import _pod_runner

_END = re.compile(r"^runner end (\d+)$", re.MULTILINE)
_STOPPED = re.compile(r"^runner (timeout|stopped)$", re.MULTILINE)


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
    :param companion: it stays while later steps run: they begin when it has said a line that begins with this. It is
        told ``stop`` when they are stopped, and ``end`` at the end.
    :param shown: the command line as people see it, where ``argv`` carries a whole program.
    """

    name: str
    argv: tuple[str, ...]
    ok: tuple[int, ...] = (0,)
    env: dict[str, str] = field(default_factory=dict)
    when: When | None = None
    companion: str = ""
    shown: tuple[str, ...] = ()

    @property
    def line(self) -> list[str]:
        return list(self.shown or self.argv)


@dataclass(frozen=True)
class Ran:
    """What became of a step."""

    rc: int
    stdout: str
    stderr: str


def runner_argv(
    python: str,
    commands: list[Command],
    directory: str = "",
    stdin: bool = False,
    timeout: float = 0,
    wait: float = 0,
) -> list[str]:
    """The command line that runs the steps.

    :param stdin: whether one line of JSON with secret environment is read first.
    :param wait: seconds at most that it waits for somebody who listens and says so by a line on its standard input.
    :param timeout: seconds after which it stops them by itself and ends with 124; 0 for never.
    """
    steps = [
        {
            "name": command.name,
            "argv": list(command.argv),
            "ok": list(command.ok),
            "env": command.env,
            "when": {"step": when.step, "rc": list(when.rc), "said": when.said} if (when := command.when) else None,
            "companion": command.companion,
        }
        for command in commands
    ]
    spec = {"steps": steps, "directory": directory, "stdin": stdin, "timeout": timeout, "wait": wait}
    return [python, "-u", "-c", inspect.getsource(_pod_runner), json.dumps(spec)]


def last_word(log: str) -> int | None:
    """The exit code once the runner is through."""
    match = _END.search(log) if log.endswith("\n") else None
    return int(match[1]) if match else None


def stopped(log: str) -> str:
    """Why the runner ended the steps: ``timeout``, ``stopped`` (the pod was told to end), or empty: it did not."""
    match = _STOPPED.search(log)
    return match[1] if match else ""


def parse(log: str, commands: list[Command]) -> tuple[dict[str, Ran], str]:
    """The steps that ran, and the lines that none of them said (the runner's own troubles).

    A step that did not end (the container was killed) has the exit code -1.
    """
    names = "|".join(re.escape(command.name) for command in commands)
    marked = re.compile(rf"^({names}) (out|err|rc) ?(.*)$")
    parts: dict[str, dict[str, Any]] = {}
    stray: list[str] = []
    for line in log.split("\n"):
        if _END.match(line) or _STOPPED.match(line):
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
