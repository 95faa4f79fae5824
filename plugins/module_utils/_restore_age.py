# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that only the holder of a key can read: the programs age and age-keygen. Private to this collection."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from ansible_collections.railiance.stack.plugins.module_utils._command import LocalRunner, Runner
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError

CHUNK = 1 << 16
_RECIPIENT = re.compile(r"^(age1[0-9a-z]{20,}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( .*)?)$")
_PUBLIC = re.compile(r"^# public key: (age1[0-9a-z]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Key:
    """A private key, in a file or in memory alone.

    :param text: what such a file would hold; empty when ``path`` names one.
    """

    path: str = ""
    text: str = ""


def check_recipients(recipients: Iterable[str]) -> None:
    """:raises StackError: for what is no public key; a private one is not repeated."""
    for recipient in recipients:
        if recipient.startswith("AGE-SECRET-KEY-"):
            raise StackError("recipients holds a private key.", "Give the public key, which begins with age1.")
        if not _RECIPIENT.match(recipient):
            raise StackError(
                f"recipients: '{recipient}' is no public key of age.", "Give keys that begin with age1 or ssh-ed25519."
            )


class Age:
    """
    :param run: runs ``age-keygen``.
    :param program: how ``age`` is called.
    """

    def __init__(self, run: Runner | None = None, program: tuple[str, ...] = ("age",)) -> None:
        self._run = run or LocalRunner(timeout=30)
        self._program = program

    def check_installed(self) -> None:
        """:raises StackError: when it is not."""
        if shutil.which("age") is None or shutil.which("age-keygen") is None:
            raise StackError(
                "age is not installed on this host.", "Role railiance.stack.restore_point installs the package age."
            )

    def generate(self) -> tuple[Key, str]:
        """A new key in memory, and its public key."""
        ran = self._run(["age-keygen"])
        public = _PUBLIC.search(ran.stdout)
        if ran.rc != 0 or public is None:
            raise StackError(f"age-keygen made no key: {ran.reason}.", "Run age-keygen on the host and look.")
        return Key(text=ran.stdout), public[1]

    def public_keys(self, path: str) -> list[str]:
        """The public keys to the private ones in a file."""
        ran = self._run(["age-keygen", "-y", path])
        keys = [line.strip() for line in ran.stdout.splitlines() if line.startswith("age1")]
        if ran.rc != 0 or not keys:
            raise StackError(f"{path} holds no key of age: {ran.reason}.", "Name a file that age-keygen wrote.")
        return keys

    @contextlib.contextmanager
    def encrypting(self, recipients: list[str], path: str) -> Iterator[IO[bytes]]:
        """What is written in the block stands encrypted in a new file of mode 0600, synced, at its end.

        :raises StackError: when the file cannot be written.
        """
        command = [*self._program, "--encrypt", *(word for recipient in recipients for word in ("-r", recipient))]
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as target:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=target, stderr=subprocess.PIPE)
            with process:
                if process.stdin is None or process.stderr is None:  # both were asked for
                    raise StackError("age has no streams.")
                broken = False
                try:
                    yield process.stdin
                    process.stdin.close()
                except BrokenPipeError:
                    broken = True
                except BaseException:
                    process.kill()
                    raise
                said = process.stderr.read().decode(errors="replace").strip()
            if process.returncode != 0 or broken:
                raise _not_written(path, said)
            try:
                os.fsync(target.fileno())
            except OSError as error:
                raise _not_written(path, str(error.strerror)) from error

    def decrypting(self, path: str, key: Key) -> Iterator[bytes]:
        """The content of a file, piece by piece.

        :raises NeedsOperator: when the key does not open it.
        :raises StackError: when the file is damaged.
        """
        with _opened(key) as (name, handles):
            process = subprocess.Popen(
                [*self._program, "--decrypt", "-i", name, path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=handles,
            )
        with process:
            if process.stdout is None or process.stderr is None:
                raise StackError("age has no streams.")
            try:
                while chunk := process.stdout.read(CHUNK):
                    yield chunk
                said = process.stderr.read().decode(errors="replace").strip()
            except GeneratorExit:
                process.kill()
                raise
        if process.returncode != 0:
            if "no identity matched" in said:
                raise NeedsOperator(
                    f"The key {key.path} does not open {path}.",
                    "Put the private key of one of the restore point's recipients there, mode 0600.",
                )
            raise StackError(f"{path} cannot be decrypted: {_last(said)}.", "Choose another restore point.")


@contextlib.contextmanager
def _opened(key: Key) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A name under which a child process can read the key; one in memory comes through a pipe."""
    if key.path:
        yield key.path, ()
        return
    reader, writer = os.pipe()
    try:
        os.write(writer, key.text.encode())
        os.close(writer)
        yield f"/dev/fd/{reader}", (reader,)
    finally:
        os.close(reader)


def _not_written(path: str, said: str) -> StackError:
    if "no space left" in said.lower():
        folder = os.path.dirname(path)
        return StackError(
            f"{folder} ran full while the restore point was written.",
            "Make room there, or name another directory. Nothing was left behind.",
        )
    return StackError(f"{path} could not be written: {_last(said)}.", "Check space and permissions of its directory.")


def _last(said: str) -> str:
    """What age said, without its advice on where to report bugs."""
    lines = [line.removeprefix("age: ").removeprefix("error: ") for line in said.splitlines() if "report" not in line]
    return (lines[0] if lines else "it said nothing").rstrip(".")
