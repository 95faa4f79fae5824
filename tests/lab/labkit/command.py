"""Run host programs and say what went wrong in the words of the program itself."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence


class LabError(Exception):
    """What the lab cannot do, in words for its user: the object, the cause, the next step."""


class CommandError(LabError):
    """A program ended with a code other than 0.

    ``argv`` (list of str), ``rc`` (int), ``stdout`` and ``stderr`` (str) are those of the program.
    """

    def __init__(self, argv: Sequence[str], rc: int, stdout: str, stderr: str) -> None:
        self.argv = list(argv)
        self.rc = rc
        self.stdout = stdout
        self.stderr = stderr
        said = "\n".join((stderr.strip() or stdout.strip()).splitlines()[-20:])
        super().__init__(f"`{shlex.join(self.argv)}` ended with code {rc}:\n{said or '(it printed nothing)'}")


def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    ok: Sequence[int] | None = (0,),
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``argv`` and return its result, text decoded as UTF-8.

    ``ok`` lists the exit codes that are answers, None means that each is; every other one raises CommandError.
    A program that is still running after ``timeout`` seconds raises LabError.
    """
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            env=env,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise LabError(f"`{shlex.join(argv)}` was still running after {late.timeout:.0f} s") from late
    except FileNotFoundError as missing:
        raise LabError(f"The program {argv[0]} is not installed on this machine.") from missing
    stdout = done.stdout.decode("utf-8", "replace")
    stderr = done.stderr.decode("utf-8", "replace")
    if ok is not None and done.returncode not in ok:
        raise CommandError(argv, done.returncode, stdout, stderr)
    return subprocess.CompletedProcess(list(argv), done.returncode, stdout, stderr)


def output(argv: Sequence[str], **options: object) -> str:
    """Return what ``argv`` printed, without the last line break. Options as for :func:`run`."""
    return run(argv, **options).stdout.rstrip("\n")  # type: ignore[arg-type]


def succeeds(argv: Sequence[str]) -> bool:
    """Return whether ``argv`` ended with 0: for questions a program answers by its exit code."""
    return subprocess.run(list(argv), stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
