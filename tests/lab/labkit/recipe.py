"""What a part of the bundle is: a name, everything that decides its content, the parts it needs, how it is made."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from .cache import Order
from .command import LabError
from .debian import HOST_TRUST

LAB = Path(__file__).resolve().parents[1]
# Where a build step in a container finds what it may read and what never becomes part of an image.
BUILD_FILES = "/run/build"

# The programs of builds under way, so that an interrupt reaches them.
_running: set[subprocess.Popen[bytes]] = set()


def stop_programs() -> None:
    """Tell the programs of all builds under way to end."""
    for process in list(_running):
        process.terminate()


@dataclass
class Work:
    """One build under way: the empty directory ``target`` to fill, a ``scratch`` directory that vanishes afterwards,
    the directories of the parts it ``needs`` by name, and a log."""

    name: str
    target: Path
    scratch: Path
    needs: Mapping[str, Path]
    log: Path
    root: Path
    say: Callable[[str], None]

    def run(self, argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        """Run ``argv`` with its output in the log; ``env`` is added to the environment. Raises LabError."""
        with self.log.open("ab") as log:
            log.write(f"$ {shlex.join(argv)}\n".encode())
            log.flush()
            try:
                process = subprocess.Popen(
                    list(argv),
                    cwd=cwd or self.scratch,
                    env={**os.environ, **(env or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            except FileNotFoundError as missing:
                raise LabError(f"{self.name}: the program {argv[0]} is not installed on this machine.") from missing
        _running.add(process)
        try:
            code = process.wait()
        finally:
            _running.discard(process)
        if code:
            tail = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise LabError(f"{self.name}: `{argv[0]}` ended with code {code}; the last lines of {self.log}:\n{tail}")

    def output(self, argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        """Run ``argv`` and return what it printed; its errors go to the log. Raises LabError."""
        printed = self.scratch / ".output"
        # Through the shell only for its redirection: every word is quoted.
        self.run(["sh", "-c", f"{shlex.join(argv)} >{shlex.quote(str(printed))}"], cwd=cwd, env=env)
        return printed.read_text(encoding="utf-8")

    def build_files(self) -> Path:
        """Return a directory with this machine's certificates (trust.crt) and an apt.conf that uses them there."""
        directory = self.scratch / "build-files"
        directory.mkdir(exist_ok=True)
        shutil.copyfile(HOST_TRUST, directory / "trust.crt")
        (directory / "apt.conf").write_text(f'Acquire::https::CAInfo "{BUILD_FILES}/trust.crt";\n', encoding="ascii")
        return directory


@dataclass(frozen=True)
class Part:
    """One thing that is built once: ``inputs`` must name everything that decides its content and that is not a part
    in ``needs``. ``lane`` tells which parts wait for each other: two compilations at once help nobody."""

    name: str
    inputs: Mapping[str, Any]
    make: Callable[[Work], None]
    needs: tuple[Part, ...] = field(default=())
    lane: str = "other"

    @cached_property
    def order(self) -> Order:
        """What the cache is asked for: the inputs and the keys of all parts it needs."""
        return Order(self.name, {**self.inputs, "needs": {part.name: part.order.key for part in self.needs}})
