"""The services beside the server: name server, certificate authority and download site, in one container."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import socket
import ssl
import struct
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from . import command, podman, state
from .command import LabError
from .naming import ZONE, Names
from .state import State

ACME_PORT = 14000
ACME_MANAGEMENT_PORT = 15000
RELEASES_PORT = 8080
# Names that do not lead to the first server. The wildcard answers everything else of the zone.
SERVICE_NAMES = ("ns", "pebble", "releases")
# Certificates of a Pebble that is gone stay valid for those who hold its root: servers keep serving them after a
# reboot until they are renewed.
_ROOTS_KEPT = 5
_START_TIMEOUT = 30.0
_QUERY_ID = 0x4C42
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


def acme_directory() -> str:
    """Return the URL of the ACME directory, as ClusterIssuers name it."""
    return f"https://pebble.{ZONE}:{ACME_PORT}/dir"


def corefile(forward_to: list[str]) -> str:
    """Return CoreDNS' configuration: the lab's zone from a file, the rest from ``forward_to`` (addresses)."""
    return f"""{ZONE}:53 {{
    file /etc/lab/{ZONE}.zone
    errors
}}
.:53 {{
    forward . {" ".join(forward_to)}
    cache 30
    errors
}}
"""


def zone(services: str, nodes: Mapping[str, str]) -> str:
    """Return the zone file: ``services`` is the services' address, ``nodes`` maps server names to addresses."""
    first = next(iter(nodes.values()))
    records = [(name, services) for name in SERVICE_NAMES] + list(nodes.items()) + [("@", first), ("*", first)]
    lines = [
        f"$ORIGIN {ZONE}.",
        "$TTL 60",
        # The serial never has to grow: there is no secondary server, and a change restarts this one.
        f"@ IN SOA ns.{ZONE}. hostmaster.{ZONE}. 1 7200 3600 1209600 60",
        f"@ IN NS ns.{ZONE}.",
        *(f"{name} IN A {address}" for name, address in records),
    ]
    return "\n".join(lines) + "\n"


def pebble_configuration() -> str:
    """Return Pebble's configuration: the standard HTTP port, because that is where the server answers."""
    settings = {
        "listenAddress": f"0.0.0.0:{ACME_PORT}",
        "managementListenAddress": f"0.0.0.0:{ACME_MANAGEMENT_PORT}",
        "certificate": "/etc/lab/pebble.crt",
        "privateKey": "/etc/lab/pebble.key",
        "httpPort": 80,
        "tlsPort": 443,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    return json.dumps({"pebble": settings}, indent=2) + "\n"


def host_resolvers(resolv_conf: str, fallback: Callable[[], str]) -> list[str]:
    """Return the name servers of this machine that a container can reach.

    A loopback address means a resolver of the machine's own; the servers behind it stand in the text that
    ``fallback`` returns (systemd-resolved's list).
    """

    def listed(text: str) -> list[str]:
        return [words[1] for words in map(str.split, text.splitlines()) if words[:1] == ["nameserver"] and words[1:]]

    def reachable(addresses: list[str]) -> list[str]:
        return [one for one in addresses if not ipaddress.ip_address(one.partition("%")[0]).is_loopback]

    found = reachable(listed(resolv_conf)) or reachable(listed(fallback()))
    if not found:
        raise LabError("This machine's /etc/resolv.conf names no server that a container can reach.")
    return found


def configure(here: State, services: str, nodes: Mapping[str, str]) -> dict[str, str]:
    """Write the services' configuration and return a digest of each unit's part of it."""

    def resolved() -> str:
        path = Path("/run/systemd/resolve/resolv.conf")
        return path.read_text(encoding="utf-8") if path.exists() else ""

    here.services.mkdir(mode=0o755, parents=True, exist_ok=True)
    forward_to = host_resolvers(Path("/etc/resolv.conf").read_text(encoding="utf-8"), resolved)
    state.write(here.services / "Corefile", corefile(forward_to))
    state.write(here.services / f"{ZONE}.zone", zone(services, nodes))
    state.write(here.services / "pebble.json", pebble_configuration())
    _ensure_certificate(here, services)
    parts = {"coredns": ("Corefile", f"{ZONE}.zone"), "pebble": ("pebble.json", "pebble.crt")}
    return {
        unit: hashlib.sha256(b"".join((here.services / name).read_bytes() for name in files)).hexdigest()
        for unit, files in parts.items()
    }


def options(here: State, address: str, coredns: Path) -> list[str]:
    """Return podman's options for the services container at ``address``; ``coredns`` is the program on this machine."""
    return [
        "--hostname=services",
        *podman.fixed_address(address),
        "--dns=127.0.0.1",
        "--dns-search=.",
        f"--volume={coredns}:/usr/local/bin/coredns:ro",
        f"--volume={here.services}:/etc/lab:ro",
        f"--volume={here.releases}:/srv/releases:ro",
    ]


def ensure(
    here: State, names: Names, image: Callable[[], str], reference: str, coredns: Path, address: str,
    nodes: Mapping[str, str], say: Callable[[str], None],
) -> None:  # fmt: skip
    """Make the services run as configured and wait until each of them answers."""
    here.releases.mkdir(mode=0o755, parents=True, exist_ok=True)
    configured = configure(here, address, nodes)
    wanted = options(here, address, coredns)
    machine = podman.machines(names).get(names.services)
    if machine and (machine.unfinished or machine.spec != podman.spec(reference, wanted)):
        podman.remove(names.services)
        machine = None
    if machine is None:
        image()
        say("create the services")
        podman.create(names, names.services, reference, wanted)
    if machine is None or not machine.running:
        say("start the services")
        podman.start(names.services)
    elif restart := sorted(configured.items() - _in_use(here).items()):
        units = [unit for unit, _ in restart]
        say(f"restart {' and '.join(units)}")
        podman.execute(names.services, ["systemctl", "restart", *units])
    # Written last: a run that is cut off before this line restarts the units once more than needed, never less.
    state.write(here.services / "in-use.json", json.dumps(configured))
    _wait_for(lambda: resolves(address, f"pebble.{ZONE}"), f"The name server at {address} does not answer", names)
    _wait_for(lambda: _fetch(f"http://{address}:{RELEASES_PORT}/"), "The download site does not answer", names)
    if refresh_root(here, address, names):
        say("Pebble has a new root certificate: .lab/ca.crt")


def refresh_root(here: State, address: str, names: Names) -> bool:
    """Put Pebble's issuing root at the head of .lab/ca.crt; return whether it was not there.

    Pebble keeps nothing: it makes a new root each time it starts. Waits until it answers.
    """
    url = f"https://{address}:{ACME_MANAGEMENT_PORT}/roots/0"
    current = _wait_for(lambda: _fetch(url, here.acme_ca), "Pebble does not answer", names)
    known = here.ca.read_text(encoding="ascii") if here.ca.exists() else ""
    return state.write(here.ca, roots(current, known))


def roots(current: str, known: str) -> str:
    """Return the PEM bundle that begins with ``current`` and goes on with the earlier roots in ``known``."""
    ordered = [current.strip()] + [pem.strip() for pem in _PEM.findall(known) if pem.strip() != current.strip()]
    return "\n".join(ordered[:_ROOTS_KEPT]) + "\n"


def resolves(server: str, name: str) -> str:
    """Ask ``server`` (an address) for ``name`` and return the IPv4 address; OSError when there is no answer."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    # One question, recursion desired; type A, class IN.
    query = struct.pack("!6H", _QUERY_ID, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.settimeout(2)
        channel.connect((server, 53))
        channel.send(query)
        answer = channel.recv(4096)
    return first_address(answer, query)


def first_address(answer: bytes, query: bytes) -> str:
    """Return the IPv4 address in the first record of a DNS answer to ``query``; OSError when it has none."""
    flags, _, answers = struct.unpack("!3H", answer[2:8])
    if answer[:2] != query[:2] or flags & 0xF or not answers:
        raise OSError(f"the name server's answer holds no record (code {flags & 0xF})")
    at = len(query)
    # The record's name: labels up to an empty one, or a pointer of two bytes to where they stand.
    while answer[at] and answer[at] < 0xC0:
        at += 1 + answer[at]
    at += 2 if answer[at] else 1
    kind, _, _, length = struct.unpack("!2HIH", answer[at : at + 10])
    if (kind, length) != (1, 4):
        raise OSError("the name server's answer begins with a record that is no IPv4 address")
    return socket.inet_ntoa(answer[at + 10 : at + 14])


def _wait_for(ask: Callable[[], str], complaint: str, names: Names) -> str:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            return ask()
        except OSError as problem:
            if time.monotonic() > deadline:
                raise LabError(
                    f"{complaint}: {problem}. `podman exec {names.services} journalctl` tells why."
                ) from problem
            time.sleep(0.1)


def _fetch(url: str, ca: Path | None = None) -> str:
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(url, timeout=5) as answer:
        text: str = answer.read().decode("utf-8")
        return text


def _in_use(here: State) -> dict[str, str]:
    try:
        digests: dict[str, str] = json.loads((here.services / "in-use.json").read_text(encoding="ascii"))
    except FileNotFoundError:
        return {}
    return digests


def _ensure_certificate(here: State, address: str) -> None:
    """Make the authority and certificate of Pebble's endpoint unless good ones are there."""
    certificate = here.services / "pebble.crt"
    key = here.services / "pebble.key"
    if key.exists() and certificate.exists() and here.acme_ca.exists() and _fits(certificate, here.acme_ca, address):
        return
    with tempfile.TemporaryDirectory(dir=here.services, prefix=".making-") as work:
        made = Path(work)
        # The authority's key signs one certificate and goes away with the directory.
        command.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "825", "-subj", f"/CN=ACME endpoint of {ZONE}",
                "-keyout", f"{made}/ca.key", "-out", f"{made}/ca.crt",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            ]
        )  # fmt: skip
        command.run(
            [
                "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN=pebble.{ZONE}", "-keyout", f"{made}/pebble.key", "-out", f"{made}/pebble.csr",
            ]
        )  # fmt: skip
        extensions = made / "extensions"
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
            f"subjectAltName=DNS:pebble.{ZONE},DNS:localhost,IP:{address},IP:127.0.0.1\n",
            encoding="ascii",
        )
        command.run(
            [
                "openssl", "x509", "-req", "-days", "825", "-in", f"{made}/pebble.csr", "-CA", f"{made}/ca.crt",
                "-CAkey", f"{made}/ca.key", "-CAcreateserial", "-extfile", str(extensions),
                "-out", f"{made}/pebble.crt",
            ]
        )  # fmt: skip
        # The certificate comes last: cut off before it, the old one does not fit the new authority, and the next run
        # makes all three again.
        state.write(here.acme_ca, (made / "ca.crt").read_text(encoding="ascii"))
        state.write(key, (made / "pebble.key").read_text(encoding="ascii"), 0o600)
        state.write(certificate, (made / "pebble.crt").read_text(encoding="ascii"))


def _fits(certificate: Path, authority: Path, address: str) -> bool:
    """Return whether the certificate is signed by the authority, is for the address and lasts a week more."""
    return (
        command.succeeds(["openssl", "verify", "-CAfile", str(authority), "-verify_ip", address, str(certificate)])
        and command.succeeds(["openssl", "x509", "-in", str(certificate), "-noout", "-checkend", "604800"])
    )  # fmt: skip
