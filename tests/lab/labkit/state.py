"""The directory `.lab` of a checkout: what the lab knows about itself between two commands."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class State:
    """Paths below ``<checkout>/.lab``. Everything here is made by the lab and may be deleted after `down`."""

    checkout: Path

    @property
    def root(self) -> Path:
        return self.checkout / ".lab"

    @property
    def facts(self) -> Path:
        """lab.json: the addresses and files that inventories and tests read."""
        return self.root / "lab.json"

    @property
    def ca(self) -> Path:
        """The roots that Pebble issues under, the current one first."""
        return self.root / "ca.crt"

    @property
    def acme_ca(self) -> Path:
        """The authority of Pebble's own TLS endpoint."""
        return self.root / "acme-ca.crt"

    @property
    def ssh(self) -> Path:
        return self.root / "ssh"

    @property
    def services(self) -> Path:
        """Configuration of the services, mounted at /etc/lab there."""
        return self.root / "services"

    @property
    def bundle(self) -> Path:
        """The bundle as the servers see it. Containers hold this directory, so it is filled, never replaced."""
        return self.root / "bundle"

    @property
    def releases(self) -> Path:
        """The same files under upstream's download paths."""
        return self.root / "releases"

    @property
    def checksums(self) -> Path:
        """The checksum files that upstream publishes beside its programs."""
        return self.root / "checksums"

    @property
    def apps(self) -> Path:
        """Git repositories made of the example applications."""
        return self.root / "apps"

    def read_facts(self) -> dict[str, Any] | None:
        """Return the content of lab.json, None when the lab is not up."""
        try:
            facts: dict[str, Any] = json.loads(self.facts.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return facts

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the checkout's lab: two commands that change it run one after the other."""
        self.root.mkdir(mode=0o755, exist_ok=True)
        with (self.root / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def write(path: Path, content: str, mode: int = 0o644) -> bool:
    """Write ``content`` unless it is there already; return whether something changed.

    The file is replaced in one step, so a reader never sees half of it.
    """
    with contextlib.suppress(FileNotFoundError):
        if path.read_text(encoding="utf-8") == content and path.stat().st_mode & 0o777 == mode:
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(content)
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True
