from __future__ import annotations

import socket
from pathlib import Path

import pytest
from ansible_collections.railiance.stack.plugins.module_utils import _preflight as preflight
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._preflight import Address, Gap, Server

PLATFORMS = {"debian": ["12", "13"], "ubuntu": ["22.04", "24.04"]}


@pytest.fixture
def server(tmp_path: Path) -> Server:
    for folder in ("etc", "proc/net", "usr/local/bin", "var/lib"):
        (tmp_path / folder).mkdir(parents=True)
    return Server(str(tmp_path))


def write(server: Server, name: str, text: str) -> None:
    path = Path(server.path(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def texts(gaps: list[Gap]) -> list[str]:
    return [str(gap) for gap in gaps]


@pytest.mark.parametrize(
    ("release", "ok"),
    [
        ('ID=debian\nVERSION_ID="13"\n', True),
        ("ID=ubuntu\nVERSION_ID='24.04'\n", True),
        ('ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\n', False),
        ("ID=fedora\nVERSION_ID=42\nPRETTY_NAME=Fedora\n", False),
        ("", False),
    ],
)
def test_platforms(server: Server, release: str, ok: bool):
    write(server, "/etc/os-release", release)
    assert (preflight.check_platform(server, PLATFORMS) == []) is ok


def test_an_unsupported_system_is_named_with_those_that_are(server: Server):
    write(server, "/etc/os-release", 'ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\n')
    assert texts(preflight.check_platform(server, PLATFORMS)) == [
        "The server runs Debian GNU/Linux 11 (bullseye), which is not supported. "
        "Install one of Debian 12/13, Ubuntu 22.04/24.04."
    ]


@pytest.mark.parametrize(("kib", "ok"), [(2097152, True), (1990000, True), (1800000, False), (1048576, False)])
def test_memory_is_accepted_with_what_the_kernel_keeps(server: Server, kib: int, ok: bool):
    write(server, "/proc/meminfo", f"MemTotal:        {kib} kB\nMemFree: 1 kB\n")
    assert (preflight.check_memory(server, 2048) == []) is ok


def test_too_little_memory_is_named(server: Server):
    write(server, "/proc/meminfo", "MemTotal: 1048576 kB\n")
    assert texts(preflight.check_memory(server, 2048)) == [
        "The server has 1024 MiB of memory, 2048 MiB are needed. "
        "Take a larger server; preflight_memory_min_mb says what is asked for."
    ]


def test_an_architecture_without_releases_is_named():
    assert preflight.check_architecture("x86_64", ["x86_64"]) == []
    assert texts(preflight.check_architecture("riscv64", ["x86_64", "aarch64"])) == [
        "The server's architecture riscv64 is not supported. Take a server with x86_64 or aarch64."
    ]


def test_space_is_asked_for_once_a_file_system_and_less_when_installed(server: Server):
    assert preflight.check_disk(server, ["/", "/var/lib/rancher"], 0) == []
    gaps = preflight.check_disk(server, ["/", "/var/lib/rancher"], 1 << 30)
    assert len(gaps) == 1
    assert gaps[0].what.startswith("The file system of / has ")
    write(server, "/usr/local/bin/k3s", "")
    assert preflight.check_disk(server, ["/"], 1 << 30) == []


LISTENING = """  sl  local_address rem_address   st tx_queue
   0: 00000000:0050 00000000:0000 0A 00000000:00000000
   1: 0100007F:1F90 0100007F:01BB 01 00000000:00000000
"""


@pytest.mark.parametrize("trace", ["/usr/local/bin/k3s", "/etc/systemd/system/k3s.service"])
def test_a_taken_port_is_named_before_the_first_installation_only(server: Server, trace: str):
    write(server, "/proc/net/tcp", LISTENING)
    write(server, "/proc/net/tcp6", LISTENING.replace("0050", "192B"))
    assert texts(preflight.check_ports(server, [80, 443, 6443])) == [
        "Port 80 of the server is taken by another program. See which with: ss -ltnp 'sport = :80', and stop it.",
        "Port 6443 of the server is taken by another program. See which with: ss -ltnp 'sport = :6443', and stop it.",
    ]
    write(server, trace, "")
    assert preflight.check_ports(server, [80, 443, 6443]) == []


def test_root_and_the_operators_login():
    assert preflight.check_root(0) == []
    assert len(preflight.check_root(1000)) == 1
    assert preflight.check_user(lambda _: True, "operator") == []
    assert texts(preflight.check_user(lambda _: False, "operator")) == [
        "The user operator of stack_user does not exist on the server. Name your login there."
    ]


def test_a_bundle_is_complete_by_name(tmp_path: Path):
    (tmp_path / "images").mkdir()
    (tmp_path / "k3s").write_text("content is not looked at")
    (tmp_path / "images" / "a.tar").write_text("")
    names = ["k3s", "images/a.tar", "cnpg-1.30.0.yaml"]
    (tmp_path / "SHA256SUMS").write_text("".join(f"{'a' * 64}  {name}\n" for name in names))
    gaps = preflight.check_bundle(str(tmp_path), ["k3s", "helm-*.tar.gz", "cnpg-*.yaml"])
    assert [gap.what for gap in gaps] == [
        f"Bundle file {tmp_path}/cnpg-1.30.0.yaml is listed in SHA256SUMS but is missing.",
        f"Bundle file {tmp_path}/images/a.tar is listed in SHA256SUMS but is empty.",
        f"The bundle {tmp_path} lists no helm-*.tar.gz in SHA256SUMS.",
    ]
    assert preflight.check_bundle("", ["k3s"]) == []
    assert preflight.check_bundle("/nowhere", ["k3s"])[0].what.startswith("The bundle /nowhere has no readable")


def test_all_addresses_are_asked_and_each_failure_is_named():
    def fetch(address: Address) -> None:
        if "bad" in address.url:
            raise StackError(f"{address.url} cannot be downloaded.", "Check it.")

    addresses = [Address("https://bad", "k3s"), Address("https://good", "Helm"), Address("https://bad2", "ACME")]
    assert texts(preflight.check_addresses(addresses, fetch)) == [
        "k3s: https://bad cannot be downloaded. Check it.",
        "ACME: https://bad2 cannot be downloaded. Check it.",
    ]
    assert preflight.check_addresses(addresses, fetch, installed=True) == []


def test_a_name_without_a_record_gets_the_record_to_create():
    def resolve(name: str) -> None:
        if name.startswith("gitea"):
            raise socket.gaierror(-2, "Name or service not known")

    assert texts(preflight.check_names(["gitea.example.org", "a.example.org"], resolve, "203.0.113.10")) == [
        "The name gitea.example.org does not resolve on the server (Name or service not known). "
        "Create its DNS record: gitea.example.org. A 203.0.113.10"
    ]


def test_the_report_names_everything_at_once():
    gaps = [Gap("A is missing.", "Bring A."), Gap("B is missing.", "")]
    assert preflight.report(gaps, "node1") == (
        "2 things are missing before anything can be changed on node1:\n- A is missing. Bring A.\n- B is missing."
    )
    assert preflight.report(gaps[:1], "node1").startswith("One thing is missing")
