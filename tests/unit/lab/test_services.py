"""The configuration of the name server and of Pebble, and the roots that the lab trusts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from labkit import services
from labkit.command import LabError
from labkit.state import State


def pem(text: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----"


def test_the_zone_leads_every_other_name_to_the_first_server() -> None:
    lines = services.zone("10.1.2.2", {"node1": "10.1.2.10", "node2": "10.1.2.11"}).splitlines()
    assert "@ IN SOA ns.lab.test. hostmaster.lab.test. 1 7200 3600 1209600 60" in lines
    assert "@ IN NS ns.lab.test." in lines
    assert {"ns IN A 10.1.2.2", "pebble IN A 10.1.2.2", "releases IN A 10.1.2.2"} <= set(lines)
    assert {"* IN A 10.1.2.10", "@ IN A 10.1.2.10", "node1 IN A 10.1.2.10", "node2 IN A 10.1.2.11"} <= set(lines)


def test_names_outside_the_zone_are_forwarded() -> None:
    text = services.corefile(["192.0.2.53", "192.0.2.54"])
    assert "lab.test:53 {\n    file /etc/lab/lab.test.zone\n" in text
    assert "forward . 192.0.2.53 192.0.2.54\n" in text


def test_pebble_validates_where_the_server_answers() -> None:
    settings = json.loads(services.pebble_configuration())["pebble"]
    assert (settings["httpPort"], settings["tlsPort"]) == (80, 443)
    assert settings["listenAddress"].endswith(":14000")
    assert services.acme_directory() == "https://pebble.lab.test:14000/dir"


def test_a_resolver_on_loopback_is_replaced_by_those_behind_it() -> None:
    behind = "nameserver 192.0.2.1\nnameserver fe80::1%eth0\n"
    assert services.host_resolvers("nameserver 127.0.0.53\noptions edns0\n", lambda: behind) == [
        "192.0.2.1",
        "fe80::1%eth0",
    ]
    assert services.host_resolvers("nameserver 192.0.2.7\nnameserver 127.0.0.1\n", lambda: behind) == ["192.0.2.7"]


def test_a_machine_without_a_reachable_resolver_is_told_so() -> None:
    with pytest.raises(LabError, match="names no server that a container can reach"):
        services.host_resolvers("nameserver ::1\nsearch lan\nnameserver\n", lambda: "")


def test_the_current_root_comes_first_and_earlier_ones_stay_trusted() -> None:
    first = services.roots(pem("one") + "\n", "")
    second = services.roots(pem("two"), first)
    assert first == pem("one") + "\n"
    assert second == pem("two") + "\n" + pem("one") + "\n"
    assert services.roots(pem("two"), second) == second
    assert services.roots(pem("one"), second) == pem("one") + "\n" + pem("two") + "\n"


def test_only_the_last_roots_are_kept() -> None:
    known = ""
    for number in range(9):
        known = services.roots(pem(str(number)), known)
    assert [line for line in known.splitlines() if line.isdigit()] == ["8", "7", "6", "5", "4"]


def test_pebbles_certificate_is_made_once_and_again_for_another_address(tmp_path: Path) -> None:
    here = State(tmp_path)
    configured = services.configure(here, "10.1.2.2", {"node1": "10.1.2.10"})
    authority = here.acme_ca.read_text()
    assert services.configure(here, "10.1.2.2", {"node1": "10.1.2.10"}) == configured
    assert here.acme_ca.read_text() == authority
    moved = services.configure(here, "10.9.9.2", {"node1": "10.1.2.10"})
    assert moved["pebble"] != configured["pebble"]
    assert moved["coredns"] != configured["coredns"]
    verified = ["openssl", "verify", "-x509_strict", "-CAfile", str(here.acme_ca), "-verify_ip", "10.9.9.2"]
    assert subprocess.run([*verified, str(here.services / "pebble.crt")], check=False).returncode == 0
    assert (here.services / "pebble.key").stat().st_mode & 0o777 == 0o600


def test_a_half_replaced_certificate_is_made_anew(tmp_path: Path) -> None:
    here = State(tmp_path)
    services.configure(here, "10.1.2.2", {"node1": "10.1.2.10"})
    old = (here.services / "pebble.crt").read_text()
    services.configure(here, "10.9.9.2", {"node1": "10.1.2.10"})
    # As after a cut between the new authority and the new certificate.
    (here.services / "pebble.crt").write_text(old)
    services.configure(here, "10.9.9.2", {"node1": "10.1.2.10"})
    argv = ["openssl", "verify", "-CAfile", str(here.acme_ca), str(here.services / "pebble.crt")]
    assert subprocess.run(argv, check=False).returncode == 0


def test_a_change_of_the_servers_touches_the_name_server_only(tmp_path: Path) -> None:
    here = State(tmp_path)
    one = services.configure(here, "10.1.2.2", {"node1": "10.1.2.10"})
    two = services.configure(here, "10.1.2.2", {"node1": "10.1.2.10", "node2": "10.1.2.11"})
    assert one["pebble"] == two["pebble"]
    assert one["coredns"] != two["coredns"]


QUERY = b"LB\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04node\x03lab\x00\x00\x01\x00\x01"
RECORD = b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x01\x02\x0a"


def answer(code: int, *records: bytes) -> bytes:
    return QUERY[:2] + bytes([0x85, 0x80 | code, 0, 1, 0, len(records), 0, 0, 0, 0]) + QUERY[12:] + b"".join(records)


@pytest.mark.parametrize("name", [b"\xc0\x0c", b"\x04node\x03lab\x00", b"\x04node\xc0\x11"])
def test_an_answer_is_read_with_and_without_compressed_names(name: bytes) -> None:
    assert services.first_address(answer(0, name + RECORD), QUERY) == "10.1.2.10"


def test_an_answer_without_an_address_is_an_error() -> None:
    alias = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x0c"
    for wrong in (answer(3), answer(0), answer(0, alias), b"XX" + answer(0, b"\xc0\x0c" + RECORD)[2:]):
        with pytest.raises(OSError, match="name server's answer"):
            services.first_address(wrong, QUERY)
