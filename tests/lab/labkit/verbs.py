"""What the commands of the lab do, given a checkout and a cache: up, down, status, shell, image."""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import apps, command, host, machines, mounts, naming, podman, server, services, ssh, state
from .command import LabError
from .naming import SSH_USER, ZONE, Names
from .state import State

Say = Callable[[str], None]


def image(cache: Path, say: Say) -> str:
    """Return the reference of the server image, building it when missing."""
    host.prepare(say)
    return machines.server_image(cache, say)


def up(
    checkout: Path, cache: Path, say: Say, *,
    coredns: Path, bundle: Path | None, nodes: int | None = None, fresh: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Bring the lab of ``checkout`` up, or do nothing when it is; return what lab.json says.

    ``coredns``: the name server's program. ``bundle``: the bundle directory, None to leave what is there; running
    servers see a new one at the same place. ``nodes``: how many servers, by default as many as there are and
    at least one. ``fresh``: throw the servers away first and keep everything else.
    """
    here = State(checkout.resolve())
    names = Names.of(here.checkout)
    with here.locked():
        host.prepare(say)
        existing = _nodes(names)
        wanted = [f"node{number}" for number in range(1, (nodes or max(len(existing), 1)) + 1)]
        if fresh:
            for node in existing:
                say(f"remove {node}")
                server.remove(names, node)
        subnet = podman.network_subnet(names) or podman.create_network(names, here.checkout)
        addresses = {node: naming.node_address(subnet, node) for node in wanted}
        ssh.ensure(here, addresses)
        if _place_bundle(here, bundle):
            say("the bundle in place has changed")
        services.ensure(
            here, names, lambda: machines.services_image(cache, say), machines.services_reference(),
            coredns.resolve(), naming.services_address(subnet), addresses, say,
        )  # fmt: skip
        for node in wanted:
            server.ensure(
                here, names, node, subnet, lambda: machines.server_image(cache, say), machines.server_reference(), say
            )
        repositories = apps.repositories(here)
        for repository in repositories:
            if server.place(names.node(wanted[0]), repository):
                say(f"put {repository.name} at {repository.path}, commit {repository.commit[:12]}")
        facts = _facts(here, names, subnet, addresses, repositories)
        state.write(here.facts, json.dumps(facts, indent=2) + "\n")
    return facts


def down(checkout: Path, say: Say) -> None:
    """Remove this checkout's containers, volumes and network, and what .lab knew about them."""
    here = State(checkout.resolve())
    names = Names.of(here.checkout)
    with here.locked():
        # First, so that nobody takes a lab that is half gone for one that is up.
        here.facts.unlink(missing_ok=True)
        for name in podman.machines(names):
            say(f"remove {name}")
            podman.remove(name)
        for volume, directory in podman.volumes(names).items():
            server.remove_volume(volume, directory)
        if podman.network_subnet(names):
            say(f"remove {names.network}")
            command.run(["podman", "network", "rm", names.network])
        for path in (here.ca, here.acme_ca):
            path.unlink(missing_ok=True)
        for directory in (here.ssh, here.services, here.bundle, here.releases, here.checksums, here.apps):
            if directory.exists():
                shutil.rmtree(directory)


def status(checkout: Path) -> str:
    """Return the lab's state as a short table."""
    here = State(checkout.resolve())
    names = Names.of(here.checkout)
    found = podman.machines(names)
    subnet = podman.network_subnet(names)
    facts = here.read_facts()
    if not found or subnet is None:
        return f"{names.prefix}: not up"
    now = datetime.datetime.now(datetime.UTC)
    rows = [("machine", "address", "state", "since")]
    for name, machine in sorted(found.items(), key=lambda item: (item[0] != names.services, item[0])):
        short = name.removeprefix(f"{names.prefix}-")
        address = naming.services_address(subnet) if short == "services" else naming.node_address(subnet, short)
        rows.append((short, address, machine.state, age(machine.started, now) if machine.running else "-"))
    lines = [names.prefix, *table(rows), ""]
    if facts is None:
        return "\n".join([*lines, "lab.json is missing: the last `up` did not finish, run it again."])
    held = sum(1 for path in here.bundle.rglob("*") if path.is_file()) if here.bundle.exists() else 0
    places = [
        ("bundle", f"{held} files at {facts['bundle_dir']}" if held else "none yet"),
        ("downloads", facts["release_url"]),
        ("ACME directory", facts["acme_directory"]),
        ("shell", f"ssh -F {ssh.configuration(here)} node1"),
        *((name, f"{app['path']} at {app['commit'][:12]}") for name, app in facts["apps"].items()),
    ]
    return "\n".join(lines + table(places))


def shell(checkout: Path, words: Sequence[str], node: str = "node1") -> None:
    """Become an SSH session on ``node``, or the command ``words`` there. Does not return."""
    here = State(checkout.resolve())
    facts = here.read_facts()
    if facts is None:
        raise LabError("The lab is not up: `python3 tests/lab/lab.py up`.")
    if node not in facts["nodes"]:
        raise LabError(f"There is no server {node}; there are {', '.join(facts['nodes'])}.")
    # argparse leaves the separator in front of the words it separates.
    ssh.replace_process(here, node, words[1:] if words[:1] == ["--"] else words)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def age(started: str, now: datetime.datetime) -> str:
    """Return how long ago podman's timestamp ``started`` was: "41 s", "12 min", "3 h", "2 d"."""
    # podman writes nine digits of a second, Python reads six.
    seconds = int((now - datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", started))).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{max(seconds, 0)} s"


def _nodes(names: Names) -> list[str]:
    """Return the servers that exist, by number."""
    found = [name.removeprefix(f"{names.prefix}-") for name in podman.machines(names) if name != names.services]
    return sorted(found, key=lambda node: int(node.removeprefix("node")))


def _place_bundle(here: State, bundle: Path | None) -> bool:
    """Let servers see ``bundle``, or what they saw before when there is None; return whether that has changed."""
    here.bundle.mkdir(mode=0o755, parents=True, exist_ok=True)
    here.releases.mkdir(mode=0o755, parents=True, exist_ok=True)
    if bundle is None:
        return False
    files = mounts.bundle_files(bundle)
    changed = mounts.place(files, here.bundle)
    if changed or not any(here.releases.iterdir()):
        version = ""
        if "k3s" in files:
            # "k3s version v1.35.4+k3s1 (…)"
            version = command.output([str(files["k3s"]), "--version"]).split()[2]
        mounts.place(mounts.release_files(files, version, here.checksums), here.releases)
    return changed


def _facts(
    here: State, names: Names, subnet: ipaddress.IPv4Network, nodes: Mapping[str, str],
    repositories: Sequence[apps.Repository],
) -> dict[str, Any]:  # fmt: skip
    first = next(iter(nodes))
    beside = naming.services_address(subnet)
    return {
        "prefix": names.prefix,
        "zone": ZONE,
        "node_name": first,
        "node_address": nodes[first],
        "nodes": {
            name: {"address": address, "container": names.node(name), "swap_file": names.swap_file(name)}
            for name, address in nodes.items()
        },
        "swap_file": names.swap_file(first),
        "services_address": beside,
        "ssh_user": SSH_USER,
        "ssh_key": str(ssh.private_key(here)),
        "ssh_config": str(ssh.configuration(here)),
        "known_hosts": str(ssh.known_hosts(here)),
        "ca_file": str(here.ca),
        "acme_directory": services.acme_directory(),
        "acme_ca_file": str(here.acme_ca),
        "bundle_dir": server.BUNDLE_DIRECTORY,
        "release_url": f"http://{beside}:{services.RELEASES_PORT}",
        "apps": {one.name: {"path": one.path, "commit": one.commit} for one in repositories},
    }
