"""Names and addresses of one checkout's lab, all derived from the checkout's path.

Two checkouts on one machine get two labs that share nothing but the caches: containers, network, volumes and
the swap file's path carry the prefix. The path of the swap file matters because ``/proc/swaps`` is one list for
the whole machine, and each container sees the others' files in it under the path they have inside.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ZONE = "lab.test"
SSH_USER = "operator"
SWAP_DIRECTORY = "/var/swap"
# Directories that a server has on a real file system: overlayfs can neither carry another overlayfs nor swap.
VOLUME_DIRECTORIES = {
    "rancher": "/var/lib/rancher",
    "kubelet": "/var/lib/kubelet",
    "containers": "/var/lib/containers",
    "swap": SWAP_DIRECTORY,
}
# Taken by the cluster inside (pods, services) and by podman's default network.
_RESERVED = tuple(ipaddress.ip_network(text) for text in ("10.42.0.0/16", "10.43.0.0/16", "10.88.0.0/16"))
_SERVICES_HOST = 2
_FIRST_NODE_HOST = 10


@dataclass(frozen=True)
class Names:
    """Every name of the lab that belongs to one checkout."""

    prefix: str

    @classmethod
    def of(cls, checkout: Path) -> Names:
        """Derive the names from the checkout's absolute path."""
        return cls(f"railiance-{_digest(checkout)[:8]}")

    @property
    def network(self) -> str:
        return f"{self.prefix}-net"

    @property
    def services(self) -> str:
        return f"{self.prefix}-services"

    def node(self, name: str) -> str:
        """Return the container of the server ``name`` (node1, node2 ...)."""
        return f"{self.prefix}-{name}"

    def volumes(self, name: str) -> dict[str, str]:
        """Return the volumes of the server ``name``: volume name -> directory on the server."""
        return {f"{self.prefix}-{name}-{key}": path for key, path in VOLUME_DIRECTORIES.items()}

    def swap_file(self, name: str) -> str:
        """Return the path of the swap file on the server ``name``."""
        return f"{SWAP_DIRECTORY}/{self.prefix}-{name}.swap"


def subnet_candidates(checkout: Path) -> Iterator[ipaddress.IPv4Network]:
    """Yield 10.x.y.0/24 networks, beginning with the checkout's own, never a reserved one."""
    start = int(_digest(checkout)[8:12], 16)
    for step in range(0x10000):
        number = (start + step) % 0x10000
        candidate = ipaddress.IPv4Network(((10 << 24) | (number << 8), 24))
        if not any(candidate.overlaps(reserved) for reserved in _RESERVED):
            yield candidate


def choose_subnet(checkout: Path, taken: Iterable[str]) -> ipaddress.IPv4Network:
    """Return the first candidate that overlaps none of the networks in ``taken`` (CIDR texts)."""
    busy = [ipaddress.IPv4Network(text, strict=False) for text in taken]
    for candidate in subnet_candidates(checkout):
        if not any(candidate.overlaps(other) for other in busy):
            return candidate
    raise ValueError("every 10.x.y.0/24 network is taken on this machine")


def services_address(subnet: ipaddress.IPv4Network) -> str:
    """Return the address of the services container in ``subnet``."""
    return str(subnet[_SERVICES_HOST])


def node_address(subnet: ipaddress.IPv4Network, name: str) -> str:
    """Return the address of the server ``name`` (``node<number>``, from 1) in ``subnet``."""
    number = int(name.removeprefix("node"))
    if not 1 <= number <= 200:
        raise ValueError(f"{name} is outside node1 ... node200")
    return str(subnet[_FIRST_NODE_HOST + number - 1])


def _digest(checkout: Path) -> str:
    return hashlib.sha256(str(checkout.resolve()).encode()).hexdigest()
