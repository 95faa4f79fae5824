# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where restore points are kept: a dump and its record side by side. Private to this collection.

A restore point is there when its record is, and the record is written last.
"""

from __future__ import annotations

import calendar
import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._artifact import hash_file, replacing
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError

MODE = 0o700
_DUMP, _RECORD, _PARTIAL = ".dump.age", ".json", ".partial"
_STAMP = r"-\d{8}T\d{6}Z-[0-9a-f]{6}"
_NAME = re.compile(rf"^[a-z0-9][a-z0-9.-]*{_STAMP}$")
_TIMESTAMP = "%Y-%m-%dT%H:%M:%SZ"
_MIB = 1 << 20


@dataclass(frozen=True)
class Record:
    """What is known of a restore point; no secrets.

    :param size: of the encrypted file; ``dump_size`` is that of the dump in it.
    :param table_bytes: what the tables took in the database.
    :param images: which images ran at that time, container to image.
    :param tables: name to ``{rows, checksum}``.
    """

    name: str
    app: str
    namespace: str
    cluster: str
    cluster_namespace: str
    database: str
    server_version: str
    created: str
    reason: str
    size: int
    sha256: str
    dump_size: int
    table_bytes: int
    recipients: list[str]
    images: dict[str, str] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def rows(self) -> dict[str, int]:
        return {name: table["rows"] for name, table in self.tables.items()}

    @property
    def checksums(self) -> dict[str, str]:
        return {name: table["checksum"] for name, table in self.tables.items()}


def new_name(app: str, now: float) -> str:
    """``<app>-<UTC timestamp>-<six hex digits>``."""
    return f"{app}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}-{secrets.token_hex(3)}"


def timestamp(now: float) -> str:
    return time.strftime(_TIMESTAMP, time.gmtime(now))


class Store:
    """One directory of restore points, of one or more applications."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name + _DUMP)

    def partial(self, name: str) -> str:
        return os.path.join(self.directory, f".{name}{_PARTIAL}")

    # -- reading -----------------------------------------------------------------------------------------------
    @property
    def mode(self) -> int | None:
        """Mode of the directory, ``None`` when it does not exist."""
        try:
            return os.stat(self.directory).st_mode & 0o7777
        except FileNotFoundError:
            return None

    def records(self, app: str = "") -> list[Record]:
        """The restore points, oldest first.

        :param app: only those of this application.
        """
        found = []
        for path in sorted(Path(self.directory).glob(f"*{_RECORD}")):
            try:
                record = Record(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError) as error:
                raise StackError(
                    f"{path} is no record of a restore point: {error}.", "Move it out of the directory."
                ) from error
            if app in ("", record.app):
                found.append(record)
        return sorted(found, key=lambda record: (record.created, record.name))

    def find(self, name: str, app: str) -> Record | None:
        """:raises StackError: for what cannot be a name, or is another application's."""
        if not _NAME.match(name):
            raise StackError(f"'{name}' is no name of a restore point.", self._choices(app))
        record = next((record for record in self.records() if record.name == name), None)
        if record is not None and record.app != app:
            raise StackError(
                f"The restore point {name} belongs to application '{record.app}', not to '{app}'.", self._choices(app)
            )
        return record

    def get(self, name: str, app: str) -> Record:
        """:raises StackError: when there is none."""
        record = self.find(name, app)
        if record is None:
            raise StackError(f"There is no restore point {name} in {self.directory}.", self._choices(app))
        return record

    def _choices(self, app: str) -> str:
        names = [record.name for record in self.records(app)]
        return f"There are: {', '.join(reversed(names))}." if names else f"Application '{app}' has none here."

    def problem(self, record: Record) -> str:
        """What is wrong with the file, as far as a look at its size can tell; empty when nothing is."""
        try:
            size = os.stat(self.path(record.name)).st_size
        except FileNotFoundError:
            return "its file is missing"
        return "" if size == record.size else f"its file has {size} bytes, {record.size} were recorded"

    def check(self, record: Record) -> None:
        """:raises StackError: when the file is not the one that was recorded."""
        path = self.path(record.name)
        if problem := self.problem(record):
            raise StackError(f"The restore point {record.name} cannot be used: {problem}.", self._choices(record.app))
        actual = hash_file(path)
        if actual != record.sha256:
            raise StackError(
                f"{path} is damaged: its sha256 is {actual}, {record.sha256} was recorded.",
                "Choose another restore point, or bring the file back from a copy.",
                expected=record.sha256,
                actual=actual,
            )

    def overview(self, app: str, now: float, verify: bool = False) -> list[dict[str, Any]]:
        """The restore points in words and numbers, newest first.

        :param verify: whether each file is compared with its checksum.
        """
        return [self._shown(record, now, verify) for record in reversed(self.records(app))]

    def _shown(self, record: Record, now: float, verify: bool) -> dict[str, Any]:
        problem = self.problem(record)
        if verify and not problem and hash_file(self.path(record.name)) != record.sha256:
            problem = "its file is damaged"
        created = calendar.timegm(time.strptime(record.created, _TIMESTAMP))
        return {
            "name": record.name,
            "app": record.app,
            "database": record.database,
            "created": record.created,
            "age": int(now - created),
            "size": record.size,
            "reason": record.reason,
            "server_version": record.server_version,
            "tables": record.rows,
            "recipients": record.recipients,
            "problem": problem,
        }

    # -- room --------------------------------------------------------------------------------------------------
    def expected_size(self, app: str, database: str, table_bytes: int) -> int:
        """How large a dump will be: as the last one was, or else as large as the tables."""
        earlier = [r for r in self.records(app) if r.database == database and r.table_bytes > 0]
        if not earlier:
            return table_bytes
        return int(earlier[-1].size * max(1.0, table_bytes / earlier[-1].table_bytes) * 1.2)

    def check_room(self, expected: int, keep_free: int) -> None:
        """:raises StackError: when there is too little space."""
        status = os.statvfs(self.directory)
        free = status.f_bavail * status.f_frsize
        if free < expected + keep_free:
            raise StackError(
                f"{self.directory} has {_mib(free)} MiB free; a restore point may take {_mib(expected)} MiB, and "
                f"{_mib(keep_free)} MiB must stay free.",
                "Make room there, keep fewer restore points (keep), name another directory, or lower min_free.",
                free=free,
                expected=expected,
            )

    # -- writing -----------------------------------------------------------------------------------------------
    def prepare(self) -> None:
        os.makedirs(self.directory, mode=MODE, exist_ok=True)
        os.chmod(self.directory, MODE)

    @contextlib.contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Alone in this directory; whoever dies gives it free.

        :raises StackError: when somebody else does not.
        """
        deadline = time.monotonic() + timeout
        with open(os.path.join(self.directory, ".lock"), "w", opener=_private) as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if error.errno not in (errno.EAGAIN, errno.EACCES):
                        raise
                if time.monotonic() >= deadline:
                    raise StackError(
                        f"Another run is still at work in {self.directory}.", "Wait for it to end, then run again."
                    )
                time.sleep(0.5)
            yield

    def clean(self, app: str) -> None:
        """Remove what runs that were killed have left; only for who holds the lock."""
        ours = re.compile(rf"^\.?({re.escape(app)}{_STAMP})({re.escape(_DUMP)}|{re.escape(_PARTIAL)})$")
        names = {record.name for record in self.records(app)}
        for entry in os.listdir(self.directory):
            match = ours.match(entry)
            if match and (match[2] == _PARTIAL or match[1] not in names):
                os.unlink(os.path.join(self.directory, entry))

    def discard(self, name: str) -> None:
        """Remove an unfinished restore point."""
        for path in (self.partial(name), self.path(name)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def keep(self, record: Record) -> None:
        """The finished file gets its name, then the record is written: from here on it counts."""
        os.replace(self.partial(record.name), self.path(record.name))
        with replacing(self._record(record.name), 0o600) as file:
            file.write(json.dumps(dataclasses.asdict(record), indent=2, sort_keys=True).encode() + b"\n")
        self._sync()

    def remove(self, name: str) -> None:
        """The record goes first."""
        for path in (self._record(name), self.path(name)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        self._sync()

    def _record(self, name: str) -> str:
        return os.path.join(self.directory, name + _RECORD)

    def _sync(self) -> None:
        handle = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _mib(size: int) -> int:
    return -(-size // _MIB)
