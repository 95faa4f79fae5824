# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server must have before anything is changed on it. Private to this collection.

Every function returns its gaps; nothing here raises for one, so that a reader gets all of them at once.
"""

from __future__ import annotations

import fnmatch
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._artifact import Bundle
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError


@dataclass(frozen=True)
class Gap:
    """One thing that is missing.

    :param what: one sentence that names the object and what is wrong with it.
    :param then: the exact next step, one sentence.
    """

    what: str
    then: str

    def __str__(self) -> str:
        return f"{self.what} {self.then}".rstrip()

    def as_dict(self) -> dict[str, str]:
        return {"what": self.what, "then": self.then}


@dataclass(frozen=True)
class Server:
    """The files of a server that the checks read; tests point ``root`` at a folder of their own."""

    root: str = "/"

    def path(self, name: str) -> str:
        return os.path.join(self.root, name.lstrip("/"))

    def read(self, name: str) -> str:
        try:
            return Path(self.path(name)).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    @property
    def installed(self) -> bool:
        """Whether a cluster is there already: what only a first installation needs is then not asked for.

        Its unit alone counts as well: a lost program is put back while k3s still runs.
        """
        traces = ("/usr/local/bin/k3s", "/etc/systemd/system/k3s.service")
        return any(os.path.lexists(self.path(name)) for name in traces)


# -- the server ------------------------------------------------------------------------------------------------
def check_platform(server: Server, platforms: Mapping[str, Sequence[str]]) -> list[Gap]:
    """:param platforms: distribution's ID to its supported versions, ``{"debian": ["12", "13"]}``."""
    fields = dict(
        line.split("=", 1) for line in server.read("/etc/os-release").splitlines() if "=" in line and line[0] != "#"
    )
    name, version = (fields.get(key, "").strip("\"'") for key in ("ID", "VERSION_ID"))
    if version in platforms.get(name, ()):
        return []
    supported = ", ".join(f"{key.capitalize()} {'/'.join(values)}" for key, values in platforms.items())
    found = fields.get("PRETTY_NAME", "").strip("\"'") or "an unknown system"
    return [Gap(f"The server runs {found}, which is not supported.", f"Install one of {supported}.")]


def check_architecture(machine: str, supported: Sequence[str]) -> list[Gap]:
    if machine in supported:
        return []
    return [
        Gap(f"The server's architecture {machine} is not supported.", f"Take a server with {' or '.join(supported)}.")
    ]


def check_memory(server: Server, wanted_mb: int) -> list[Gap]:
    """The kernel keeps some of what was bought, so a tenth less is still enough."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", server.read("/proc/meminfo"), re.MULTILINE)
    found_mb = int(match[1]) // 1024 if match else 0
    if found_mb >= wanted_mb * 0.9:
        return []
    return [
        Gap(
            f"The server has {found_mb} MiB of memory, {wanted_mb} MiB are needed.",
            "Take a larger server; preflight_memory_min_mb says what is asked for.",
        )
    ]


def check_disk(server: Server, paths: Sequence[str], wanted_gb: int) -> list[Gap]:
    """Free space for a first installation; a server that runs already only must not be full."""
    gaps = []
    seen: set[int] = set()
    needed = 1 if server.installed else wanted_gb
    for path in paths:
        here = server.path(path)
        while not os.path.isdir(here):
            here = os.path.dirname(here)
        device = os.stat(here).st_dev
        if device in seen:
            continue
        seen.add(device)
        space = os.statvfs(here)
        free_gb = space.f_bavail * space.f_frsize / (1 << 30)
        if free_gb < needed:
            gaps.append(
                Gap(
                    f"The file system of {path} has {free_gb:.1f} GiB free, {needed} GiB are needed.",
                    "Free space there, or take a larger disk.",
                )
            )
    return gaps


def check_ports(server: Server, ports: Sequence[int]) -> list[Gap]:
    """Ports the cluster will serve, before there is a cluster."""
    if server.installed:
        return []
    listening: set[int] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in server.read(table).splitlines()[1:]:
            fields = line.split()
            if len(fields) > 3 and fields[3] == "0A":
                listening.add(int(fields[1].rpartition(":")[2], 16))
    return [
        Gap(
            f"Port {port} of the server is taken by another program.",
            f"See which with: ss -ltnp 'sport = :{port}', and stop it.",
        )
        for port in ports
        if port in listening
    ]


def check_root(uid: int) -> list[Gap]:
    return [] if uid == 0 else [Gap("The run has no root rights on the server.", "Give the login sudo, or add -K.")]


def check_user(exists: Callable[[str], bool], user: str) -> list[Gap]:
    if not user or exists(user):
        return []
    return [Gap(f"The user {user} of stack_user does not exist on the server.", "Name your login there.")]


# -- the bundle ------------------------------------------------------------------------------------------------
def check_bundle(directory: str, patterns: Sequence[str]) -> list[Gap]:
    """Names only: contents are verified when they are used."""
    if not directory:
        return []
    try:
        bundle = Bundle(directory)
    except StackError as error:
        return [Gap(error.message, error.hint)]
    again = f"Make the bundle again, then check with: (cd {directory} && sha256sum -c SHA256SUMS)"
    gaps = [
        Gap(f"Bundle file {bundle.path(name)} is listed in SHA256SUMS but is {state}.", again)
        for name in sorted(bundle.sums)
        if (state := _file_state(bundle.path(name)))
    ]
    for pattern in patterns:
        if not fnmatch.filter(bundle.sums, pattern):
            gaps.append(Gap(f"The bundle {directory} lists no {pattern} in SHA256SUMS.", again))
    return gaps


def _file_state(path: str) -> str:
    try:
        return "" if os.path.getsize(path) else "empty"
    except OSError:
        return "missing"


# -- the network -----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Address:
    """One address that the installation will use.

    :param what: what a message calls it.
    :param ca: PEM certificates trusted in addition to the system's.
    :param answer: any answer will do, also one that asks for credentials.
    """

    url: str
    what: str
    ca: str = ""
    answer: bool = False


def check_addresses(
    addresses: Sequence[Address], fetch: Callable[[Address], None], *, installed: bool = False
) -> list[Gap]:
    """Ask all at the same time. A server that runs already is not stopped by a stranger's outage.

    :param fetch: raises :class:`StackError` when there is no answer.
    """
    if installed or not addresses:
        return []

    def ask(address: Address) -> Gap | None:
        try:
            fetch(address)
        except StackError as error:
            return Gap(f"{address.what}: {error.message}", error.hint)
        return None

    with ThreadPoolExecutor(max_workers=8) as pool:
        return [gap for gap in pool.map(ask, addresses) if gap]


def check_names(names: Sequence[str], resolve: Callable[[str], Any], own_address: str) -> list[Gap]:
    """Public names must be known before certificates are asked for."""

    def ask(name: str) -> Gap | None:
        try:
            resolve(name)
        except socket.gaierror as error:
            return Gap(
                f"The name {name} does not resolve on the server ({error.strerror}).",
                f"Create its DNS record: {name}. A {own_address or '<public address of the server>'}",
            )
        except UnicodeError:
            return Gap(f"{name} is no host name.", "Correct it in the inventory.")
        return None

    if not names:
        return []
    with ThreadPoolExecutor(max_workers=8) as pool:
        return [gap for gap in pool.map(ask, names) if gap]


def own_address() -> str:
    """The address the server sends from; nothing is sent. Empty without a route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def report(gaps: Sequence[Gap], where: str) -> str:
    """All gaps as one message."""
    count = "One thing is" if len(gaps) == 1 else f"{len(gaps)} things are"
    return f"{count} missing before anything can be changed on {where}:\n" + "\n".join(f"- {gap}" for gap in gaps)
