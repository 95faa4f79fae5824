# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A swap file: what there is, what is missing, and the steps between. Private to this collection."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.railiance.stack.plugins.module_utils._artifact import replacing
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step

_MIB = 1 << 20
_SIGNATURE = b"SWAPSPACE2"

#: Runs a command, returns exit code, standard output and standard error.
Runner = Callable[[list[str]], "tuple[int, str, str]"]


@dataclass(frozen=True)
class Files:
    """Where the kernel and the system keep what this reads and writes."""

    swaps: str = "/proc/swaps"
    meminfo: str = "/proc/meminfo"
    fstab: str = "/etc/fstab"
    swappiness: str = "/proc/sys/vm/swappiness"


@dataclass(frozen=True)
class Wanted:
    """:param swappiness: ``None`` leaves it alone. :param sysctl_file: where it is persisted."""

    path: str
    size_mib: int
    swappiness: int | None = None
    sysctl_file: str = "/etc/sysctl.d/90-railiance-swap.conf"


@dataclass(frozen=True)
class Current:
    """:param used_kib: swap in use of this file, ``None`` when it is not active."""

    size: int | None
    sparse: bool = False
    mode: int = 0
    regular: bool = True
    formatted: bool = False
    used_kib: int | None = None

    @property
    def active(self) -> bool:
        return self.used_kib is not None


@dataclass
class SwapFile:
    """Plans and carries out.

    :param run: runs ``fallocate``, ``mkswap``, ``swapon`` and ``swapoff``.
    """

    wanted: Wanted
    run: Runner
    files: Files = field(default_factory=Files)

    def plan(self) -> Plan:
        """:raises StackError: when the file cannot be made: no space, no directory, no memory to swap off into."""
        wanted, current = self.wanted, self.look()
        size = wanted.size_mib * _MIB
        plan = Plan()
        right = current.regular and current.size == size and not current.sparse
        if not right:
            self._refuse_without_room(current, size)
            if current.active:
                plan.add(Step("run", f"swapoff {wanted.path}", "active", "inactive", self._off, "its size is wrong"))
            plan.add(
                Step(
                    "create" if current.size is None else "update",
                    wanted.path,
                    None if current.size is None else {"size_mib": current.size / _MIB},
                    {"size_mib": wanted.size_mib, "mode": "0600"},
                    self._create,
                )
            )
        elif current.mode != 0o600:
            before = {"mode": f"{current.mode:04o}"}
            plan.add(Step("update", wanted.path, before, {"mode": "0600"}, lambda: os.chmod(wanted.path, 0o600)))
        if not right or not (current.active or current.formatted):
            plan.add(Step("run", f"mkswap {wanted.path}", "no swap area", "swap area", self._format))
        if not right or not current.active:
            plan.add(Step("run", f"swapon {wanted.path}", "inactive", "active", self._on))
        self._plan_fstab(plan)
        self._plan_swappiness(plan)
        return plan

    # -- looking -----------------------------------------------------------------------------------------------
    def look(self) -> Current:
        path = self.wanted.path
        used = self._used().get(path)
        try:
            info = os.lstat(path)
        except FileNotFoundError:
            return Current(None, used_kib=used)
        except OSError as error:
            raise StackError(f"{path} cannot be looked at: {error.strerror}.", "Correct swap_path.") from error
        if stat.S_ISDIR(info.st_mode):
            raise StackError(f"{path} is a directory.", "Name the swap file itself in swap_path.")
        if not stat.S_ISREG(info.st_mode):
            return Current(info.st_size, regular=False, used_kib=used)
        page = os.sysconf("SC_PAGESIZE")
        with open(path, "rb") as file:
            file.seek(page - len(_SIGNATURE))
            formatted = file.read(len(_SIGNATURE)) == _SIGNATURE
        return Current(
            info.st_size,
            sparse=info.st_blocks * 512 < info.st_size,
            mode=stat.S_IMODE(info.st_mode),
            formatted=formatted,
            used_kib=used,
        )

    def _used(self) -> dict[str, int]:
        """Active swap areas, path to KiB in use; the kernel writes blanks in a path as ``\\040``."""
        areas: dict[str, int] = {}
        for line in Path(self.files.swaps).read_text().splitlines()[1:]:
            fields = line.split()
            if len(fields) >= 4:
                areas[_unescape(fields[0])] = int(fields[3])
        return areas

    def _refuse_without_room(self, current: Current, size: int) -> None:
        folder = os.path.dirname(self.wanted.path)
        try:
            space = os.statvfs(folder)
        except OSError as error:
            raise StackError(
                f"The folder {folder} of the swap file cannot be used: {error.strerror}.", "Correct swap_path."
            ) from error
        free = space.f_bavail * space.f_frsize + (current.size or 0)
        if free < size:
            raise StackError(
                f"{self.wanted.path} needs {self.wanted.size_mib} MiB, but {folder} has only {free // _MIB} MiB free.",
                "Free space there, or lower swap_size_mb.",
            )
        if current.used_kib:
            match = re.search(r"^MemAvailable:\s+(\d+) kB", Path(self.files.meminfo).read_text(), re.MULTILINE)
            available = int(match[1]) if match else 0
            if current.used_kib > available:
                raise StackError(
                    f"{self.wanted.path} must be switched off to change its size, but {current.used_kib // 1024} MiB "
                    f"of it are in use and only {available // 1024} MiB of memory are available.",
                    "Stop what needs the memory and run again.",
                )

    # -- doing -------------------------------------------------------------------------------------------------
    def _command(self, argv: list[str], hint: str) -> None:
        rc, out, err = self.run(argv)
        if rc:
            said = (err or out).strip().splitlines()
            raise StackError(
                f"{' '.join(argv)} failed ({rc}): {said[-1] if said else 'no message'}.", hint, rc=rc, stderr=err
            )

    def _off(self) -> None:
        self._command(["swapoff", self.wanted.path], "Look at memory and swap with: free -m")

    def _create(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.wanted.path)
        os.close(os.open(self.wanted.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        rc, _out, _err = self.run(["fallocate", "--length", f"{self.wanted.size_mib}MiB", self.wanted.path])
        if rc:
            self._fill()

    def _fill(self) -> None:
        """For file systems without fallocate, or whose preallocated blocks the kernel does not swap to."""
        block = bytes(_MIB)
        try:
            with open(self.wanted.path, "r+b") as file:
                for _mib in range(self.wanted.size_mib):
                    file.write(block)
                file.truncate()
                os.fsync(file.fileno())
        except OSError as error:
            raise StackError(f"{self.wanted.path} cannot be written: {error.strerror}.", "Free space there.") from error

    def _format(self) -> None:
        self._command(["mkswap", self.wanted.path], "")

    def _on(self) -> None:
        rc, _out, _err = self.run(["swapon", self.wanted.path])
        if not rc:
            return
        # Some file systems hand out blocks by fallocate that swapon takes for holes; written blocks it accepts.
        self._fill()
        self._format()
        self._command(
            ["swapon", self.wanted.path],
            f"The file system of {os.path.dirname(self.wanted.path)} may not carry swap files "
            "(overlayfs never does, btrfs and ZFS only in special cases): set swap_path to one that does.",
        )

    # -- files -------------------------------------------------------------------------------------------------
    def _plan_fstab(self, plan: Plan) -> None:
        path = self.wanted.path
        entry = f"{_escape(path)} none swap sw 0 0"
        before = _read(self.files.fstab)
        mine = [line for line in before.splitlines() if _fstab_path(line) == path]
        if len(mine) == 1 and mine[0].split()[2:3] == ["swap"] and "noauto" not in _options(mine[0]):
            return
        kept = [line for line in before.splitlines() if _fstab_path(line) != path]
        after = "\n".join([*kept, entry]) + "\n"
        plan.add(
            Step(
                "update",
                self.files.fstab,
                "\n".join(mine),
                entry,
                lambda: _write(self.files.fstab, after),
            )
        )

    def _plan_swappiness(self, plan: Plan) -> None:
        if self.wanted.swappiness is None:
            return
        value, file = str(self.wanted.swappiness), self.wanted.sysctl_file
        text = f"# Managed by Ansible, role railiance.stack.swap\nvm.swappiness = {value}\n"
        before = _read(file)
        if before != text:
            plan.add(Step("update" if before else "create", file, before, text, lambda: _write(file, text)))
        live = _read(self.files.swappiness).strip()
        if live != value:
            plan.add(
                Step(
                    "update",
                    "vm.swappiness",
                    live,
                    value,
                    lambda: Path(self.files.swappiness).write_text(value),
                )
            )


def _escape(path: str) -> str:
    return path.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _fstab_path(line: str) -> str | None:
    fields = line.split()
    return _unescape(fields[0]) if len(fields) >= 3 and not line.lstrip().startswith("#") else None


def _options(line: str) -> list[str]:
    return "".join(line.split()[3:4]).split(",")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StackError(f"{path} cannot be read: {error.strerror}.", "Run with become.") from error


def _write(path: str, text: str) -> None:
    with replacing(path, 0o644) as file:
        file.write(text.encode())
