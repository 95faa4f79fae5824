"""The few questions and orders that the lab has for podman."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import command, naming
from .naming import Names

# Which lab a container or volume belongs to, and from what it was made.
OWNER = "railiance.lab"
SPEC = "railiance.lab.spec"


@dataclass(frozen=True)
class Machine:
    """A container of the lab as podman sees it."""

    name: str
    state: str
    spec: str
    image: str
    started: str

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def unfinished(self) -> bool:
        """Whether it was never started, so its preparation may have been cut off."""
        return self.state in {"created", "configured"}


def machines(names: Names) -> dict[str, Machine]:
    """Return the containers of this checkout's lab, by name."""
    listed = command.output(["podman", "ps", "--all", "--quiet", f"--filter=label={OWNER}={names.prefix}"]).split()
    if not listed:
        return {}
    found: list[dict[str, Any]] = json.loads(command.output(["podman", "container", "inspect", *listed]))
    return {
        one["Name"]: Machine(
            name=one["Name"],
            state=one["State"]["Status"],
            spec=one["Config"]["Labels"].get(SPEC, ""),
            image=one["ImageName"],
            started=one["State"]["StartedAt"],
        )
        for one in found
    }


def create(names: Names, name: str, image: str, options: Sequence[str]) -> None:
    """Create (not start) a container that runs systemd as a machine of its own on the lab's network."""
    command.run(
        [
            "podman", "create", f"--name={name}", f"--label={OWNER}={names.prefix}",
            f"--label={SPEC}={spec(image, options)}", *_systemd_options(), f"--network={names.network}",
            # /etc/hosts is the machine's own: podman would copy this machine's names into it.
            "--no-hosts", *options, image,
        ]
    )  # fmt: skip


def fixed_address(address: str) -> list[str]:
    """Return podman's options for an address that stays.

    The hardware address stays with it: a new one after each start would leave the neighbours with a stale entry, and
    the machine unreachable for seconds.
    """
    octets = ":".join(f"{octet:02x}" for octet in ipaddress.IPv4Address(address).packed)
    return [f"--ip={address}", f"--mac-address=02:00:{octets}"]


def spec(image: str, options: Sequence[str]) -> str:
    """Return a short hash over what a container is made from."""
    return hashlib.sha256(repr((image, list(options), _systemd_options())).encode()).hexdigest()[:16]


def start(name: str) -> None:
    """Start a container that exists."""
    command.run(["podman", "start", name])


def remove(name: str) -> None:
    """Remove a container, running or not, and nothing when it does not exist."""
    command.run(["podman", "rm", "--force", "--time=0", "--ignore", name])


def execute(name: str, argv: Sequence[str], *, stdin: bytes | None = None, ok: Sequence[int] = (0,)) -> str:
    """Run ``argv`` as root in the running container and return what it printed."""
    interactive = ["--interactive"] if stdin is not None else []
    return command.run(["podman", "exec", *interactive, name, *argv], stdin=stdin, ok=ok).stdout


def network_subnet(names: Names) -> ipaddress.IPv4Network | None:
    """Return the subnet of the lab's network, None when there is no such network."""
    done = command.run(["podman", "network", "inspect", names.network], ok=(0, 125))
    if done.returncode:
        return None
    return ipaddress.IPv4Network(json.loads(done.stdout)[0]["subnets"][0]["subnet"])


def create_network(names: Names, checkout: Path) -> ipaddress.IPv4Network:
    """Create the lab's network on a free subnet and return it. It has no resolver of podman's: port 53 is the lab's."""
    subnet = naming.choose_subnet(checkout, _taken_networks())
    device = _default_route()
    mtu = [f"--opt=mtu={Path('/sys/class/net', device, 'mtu').read_text().strip()}"] if device else []
    command.run(
        ["podman", "network", "create", "--disable-dns", f"--subnet={subnet}", f"--label={OWNER}={names.prefix}",
         *mtu, names.network]
    )  # fmt: skip
    return subnet


def create_volume(names: Names, volume: str) -> None:
    """Create the volume unless it exists."""
    if not command.succeeds(["podman", "volume", "exists", volume]):
        command.run(["podman", "volume", "create", f"--label={OWNER}={names.prefix}", volume])


def volumes(names: Names) -> dict[str, Path]:
    """Return the volumes of this checkout's lab: name -> directory on this machine."""
    listed = command.output(["podman", "volume", "ls", "--quiet", f"--filter=label={OWNER}={names.prefix}"]).split()
    if not listed:
        return {}
    found: list[Mapping[str, Any]] = json.loads(command.output(["podman", "volume", "inspect", *listed]))
    return {one["Name"]: Path(one["Mountpoint"]) for one in found}


def _systemd_options() -> list[str]:
    def limit(which: int, wanted: int) -> str:
        # podman's own defaults are above what this machine may allow, and then the container does not start.
        hard = resource.getrlimit(which)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        return f"{value}:{value}"

    return [
        "--runtime=runc", "--privileged", "--cgroupns=private", "--restart=always",
        # What podman's own --systemd does, without its mount of this machine's systemd cgroups (cgroup v1): with it all
        # containers' systemds manage one tree, and one that stops takes the others' groups away.
        "--systemd=false", "--env=container=podman", "--stop-signal=SIGRTMIN+3",
        "--tmpfs=/run:rw,exec,nosuid,nodev,mode=755",
        f"--ulimit=nofile={limit(resource.RLIMIT_NOFILE, 20000)}",
        f"--ulimit=nproc={limit(resource.RLIMIT_NPROC, 32768)}",
    ]  # fmt: skip


def _taken_networks() -> list[str]:
    """Return every IPv4 network that is routed on this machine or promised to a podman network."""
    routes: list[dict[str, Any]] = json.loads(command.output(["ip", "-json", "-4", "route"]))
    taken = [route["dst"] for route in routes if route["dst"] != "default"]
    names = command.output(["podman", "network", "ls", "--quiet"]).split()
    networks: list[dict[str, Any]] = (
        json.loads(command.output(["podman", "network", "inspect", *names])) if names else []
    )
    taken += [subnet["subnet"] for network in networks for subnet in network.get("subnets") or []]
    return [text for text in taken if ":" not in text]


def _default_route() -> str | None:
    routes: list[dict[str, Any]] = json.loads(command.output(["ip", "-json", "-4", "route", "show", "default"]))
    return str(routes[0]["dev"]) if routes else None
