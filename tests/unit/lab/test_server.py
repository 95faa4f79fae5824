"""What the lab's containers are made with, how they are reached, and what is said about them."""

from __future__ import annotations

import datetime
import ipaddress
import subprocess
from pathlib import Path

import pytest
from labkit import podman, server, ssh, state, verbs
from labkit.command import CommandError, LabError
from labkit.naming import Names
from labkit.state import State

SUBNET = ipaddress.IPv4Network("10.1.2.0/24")


def test_a_server_asks_the_labs_resolver_and_no_search_domain(tmp_path: Path) -> None:
    options = server.options(State(tmp_path), Names.of(tmp_path), "node1", SUBNET)
    assert "--dns=10.1.2.2" in options
    assert "--dns-search=." in options


def test_a_server_sees_the_bundle_read_only(tmp_path: Path) -> None:
    options = server.options(State(tmp_path), Names.of(tmp_path), "node1", SUBNET)
    assert f"--volume={tmp_path}/.lab/bundle:/opt/railiance/bundle:ro" in options


def test_the_hardware_address_stays_with_the_address() -> None:
    assert podman.fixed_address("10.1.2.10") == ["--ip=10.1.2.10", "--mac-address=02:00:0a:01:02:0a"]


def test_what_a_container_is_made_from_decides_its_spec() -> None:
    assert podman.spec("image:a", ["--x"]) == podman.spec("image:a", ["--x"])
    assert len({podman.spec("image:a", ["--x"]), podman.spec("image:b", ["--x"]), podman.spec("image:a", [])}) == 3


def test_a_file_that_is_no_active_swap_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\0" * 4096)
    server.swap_off(path)
    with pytest.raises(CommandError, match="No such file"):
        server.swap_off(tmp_path / "missing")


def test_keys_are_made_once_and_hosts_are_pinned_under_every_name(tmp_path: Path) -> None:
    here = State(tmp_path)
    ssh.ensure(here, {"node1": "10.1.2.10"})
    before = {path.name: path.read_bytes() for path in here.ssh.iterdir()}
    ssh.ensure(here, {"node1": "10.1.2.10"})
    assert {path.name: path.read_bytes() for path in here.ssh.iterdir()} == before
    assert here.ssh.stat().st_mode & 0o777 == 0o700
    for name in ("node1", "node1.lab.test", "10.1.2.10"):
        found = subprocess.run(
            ["ssh-keygen", "-F", name, "-f", str(ssh.known_hosts(here))], check=False, capture_output=True, text=True
        )
        assert ssh.public_key(ssh.host_key(here, "node1")).split()[1] in found.stdout
    asked = subprocess.run(
        ["ssh", "-G", "-F", str(ssh.configuration(here)), "node1"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert {"hostname 10.1.2.10", "user operator", "stricthostkeychecking true"} <= set(asked)


def test_half_a_key_pair_is_made_again(tmp_path: Path) -> None:
    here = State(tmp_path)
    ssh.ensure(here, {"node1": "10.1.2.10"})
    ssh.private_key(here).with_name("id_ed25519.pub").unlink()
    ssh.ensure(here, {"node1": "10.1.2.10"})
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(ssh.private_key(here))], check=True, capture_output=True, text=True
    ).stdout.split()
    assert derived[1] == ssh.public_key(ssh.private_key(here)).split()[1]


def test_a_file_is_written_once_and_its_mode_kept(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    assert state.write(path, "one", 0o600)
    assert not state.write(path, "one", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert state.write(path, "one", 0o600)
    assert [one.name for one in path.parent.iterdir()] == ["secret"]


def test_ages_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
    said = [verbs.age(f"2026-01-01T{start}.123456789Z", now) for start in ("11:59:18", "11:58:00", "08:00:00")]
    assert said == ["41 s", "119 s", "3 h"]
    assert verbs.age("2025-12-29T12:00:00.1+00:00", now) == "2 d"


def test_columns_are_aligned() -> None:
    assert verbs.table([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc  d"]


def test_a_shell_needs_a_lab_and_a_server_of_it(tmp_path: Path) -> None:
    here = State(tmp_path)
    with pytest.raises(LabError, match="not up"):
        verbs.shell(tmp_path, [])
    state.write(here.facts, '{"nodes": {"node1": {}}}')
    with pytest.raises(LabError, match="no server node2; there are node1"):
        verbs.shell(tmp_path, [], node="node2")
