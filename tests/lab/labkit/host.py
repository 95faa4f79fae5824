"""What the machine under the lab must have: packages, rights and kernel limits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from . import command
from .command import LabError

PACKAGES = (
    "aardvark-dns", "buildah", "conmon", "debootstrap", "git", "iproute2", "iptables", "netavark", "openssh-client",
    "openssl", "podman", "runc", "skopeo",
)  # fmt: skip
# containerd, kubelet and systemd of every server count against one user of this machine.
_KERNEL_MINIMUM = {"fs.inotify.max_user_instances": 1024, "fs.inotify.max_user_watches": 524288}


def prepare(say: Callable[[str], None]) -> None:
    """Install the packages that are missing and raise the kernel limits that are too low."""
    if os.geteuid() != 0:
        raise LabError("The lab starts privileged containers and needs root: run the command again with sudo.")
    missing = missing_packages()
    if missing:
        say(f"install {' '.join(missing)}")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command.run(["apt-get", "update", "--quiet"], env=environment)
        command.run(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing], env=environment)
    for name, minimum in _KERNEL_MINIMUM.items():
        setting = Path("/proc/sys", *name.split("."))
        if int(setting.read_text()) < minimum:
            setting.write_text(f"{minimum}\n")


def missing_packages() -> list[str]:
    """Return which of PACKAGES this machine does not have."""
    if not shutil.which("dpkg-query"):
        raise LabError(
            f"This machine is no Debian or Ubuntu. The lab needs these packages of it: {', '.join(PACKAGES)}."
        )
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *PACKAGES]
    listed = command.run(query, ok=(0, 1))
    installed = {line.split()[0] for line in listed.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in PACKAGES if package not in installed]
