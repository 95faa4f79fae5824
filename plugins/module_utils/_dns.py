# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One DNS question to one server, over UDP and, for a long answer, TCP. Private to this collection.

The system's resolver cannot be told which server to ask, and a record in its cache says nothing about the zone. What is
needed of the protocol (RFC 1035) is small, so the server needs no further package for it.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "AAAA": 28}
_TYPE_NAMES = {number: name for name, number in TYPES.items()}
_CODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 9: "NOTAUTH"}
_INTERNET = 1
_ATTEMPTS = 2
#: Pointers that one name may follow; a loop is no name.
_HOPS = 64


class NoAnswer(StackError):
    """A server did not answer, or not with a DNS message."""


@dataclass(frozen=True)
class Record:
    """``data`` is an address, a name, or for SOA ``<primary server> <contact> <serial>``; names carry no last dot."""

    name: str
    type: str
    ttl: int
    data: str


@dataclass(frozen=True)
class Answer:
    """What a server said.

    :param code: ``NOERROR``, ``NXDOMAIN``, ``SERVFAIL``, ``REFUSED`` …
    :param authoritative: whether it speaks for the zone itself.
    """

    code: str = "NOERROR"
    authoritative: bool = False
    truncated: bool = False
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = field(default=())

    def of(self, name: str, kind: str) -> list[str]:
        """Data of the records of that name and type in the answer section."""
        return [record.data for record in self.answers if (record.name, record.type) == (name, kind)]


def system_resolvers(path: str = "/etc/resolv.conf") -> list[str]:
    """The recursive resolvers of this machine."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [words[1] for words in map(str.split, lines) if words[:1] == ["nameserver"] and len(words) > 1]


def ask(server: str, name: str, kind: str, recursive: bool, *, timeout: float = 2, port: int = 53) -> Answer:
    """Ask one server.

    :param server: its address.
    :param recursive: whether it may ask others.
    :raises NoAnswer: after two attempts.
    """
    identity = secrets.randbelow(1 << 16)
    question = encode_question(identity, name, kind, recursive)
    problem = ""
    for _dummy in range(_ATTEMPTS):
        try:
            answer = decode(_by_udp(server, port, question, timeout), question)
            return decode(_by_tcp(server, port, question, timeout), question) if answer.truncated else answer
        except TimeoutError:
            problem = f"no answer within {timeout:.0f} s"
        except OSError as error:
            problem = error.strerror or str(error)
        except ValueError as error:
            problem = str(error)
    raise NoAnswer(f"The name server {server} could not be asked for {name} ({problem}).")


def _by_udp(server: str, port: int, question: bytes, timeout: float) -> bytes:
    with socket.socket(_family(server), socket.SOCK_DGRAM) as channel:
        channel.connect((server, port))  # answers of others are dropped by the kernel
        channel.send(question)
        deadline = time.monotonic() + timeout
        while True:
            channel.settimeout(max(0.001, deadline - time.monotonic()))
            message = channel.recv(65535)
            if message[:2] == question[:2]:  # anything else is the late answer to an earlier question
                return message


def _by_tcp(server: str, port: int, question: bytes, timeout: float) -> bytes:
    with socket.create_connection((server, port), timeout) as channel:
        channel.sendall(struct.pack("!H", len(question)) + question)
        with channel.makefile("rb") as stream:
            head = stream.read(2)
            return stream.read(struct.unpack("!H", head)[0]) if len(head) == 2 else b""


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ipaddress.ip_address(address.partition("%")[0]).version == 6 else socket.AF_INET


# -- messages --------------------------------------------------------------------------------------------------
def encode_question(identity: int, name: str, kind: str, recursive: bool) -> bytes:
    """:raises StackError: when the name has an empty label or one of more than 63 characters."""
    try:
        labels = [label.encode("idna") for label in name.split(".")] if name else []
    except UnicodeError as error:
        raise StackError(f"{name!r} is no DNS name.", "Correct it in the inventory.") from error
    if not all(labels):
        raise StackError(f"{name!r} is no DNS name.", "Correct it in the inventory.")
    wire = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return struct.pack("!6H", identity, 0x0100 if recursive else 0, 1, 0, 0, 0) + wire + _tail(kind)


def _tail(kind: str) -> bytes:
    return struct.pack("!2H", TYPES[kind], _INTERNET)


def decode(message: bytes, question: bytes) -> Answer:
    """:raises ValueError: when it is no answer to this question."""
    try:
        identity, flags, asked, answers, authority, _additional = struct.unpack_from("!6H", message)
        if identity != struct.unpack_from("!H", question)[0] or not flags & 0x8000:
            raise ValueError("it is no answer to the question")
        at = 12
        for _dummy in range(asked):
            at = _name(message, at)[1] + 4
        sections = []
        for count in (answers, authority):
            records = []
            for _dummy in range(count):
                record, at = _record(message, at)
                if record:
                    records.append(record)
            sections.append(tuple(records))
    except (struct.error, IndexError) as error:
        raise ValueError("the answer is no DNS message") from error
    code = _CODES.get(flags & 0xF, f"code {flags & 0xF}")
    return Answer(code, bool(flags & 0x0400), bool(flags & 0x0200), sections[0], sections[1])


def _record(message: bytes, at: int) -> tuple[Record | None, int]:
    """The record, ``None`` for a type that nobody here asks for, and where the next one begins."""
    name, at = _name(message, at)
    number, group, ttl, length = struct.unpack_from("!2HIH", message, at)
    at += 10
    end = at + length
    if end > len(message):
        raise IndexError
    kind = _TYPE_NAMES.get(number)
    if kind is None or group != _INTERNET:
        return None, end
    return Record(name, kind, ttl, _data(message, at, end, kind)), end


def _data(message: bytes, at: int, end: int, kind: str) -> str:
    if kind in ("A", "AAAA"):
        return str(ipaddress.ip_address(message[at:end]))
    if kind in ("NS", "CNAME"):
        return _name(message, at)[0]
    primary, at = _name(message, at)
    contact, at = _name(message, at)
    return f"{primary} {contact} {struct.unpack_from('!I', message, at)[0]}"


def _name(message: bytes, at: int) -> tuple[str, int]:
    """The name that begins at ``at``, in lower case, and where its first part ends."""
    labels: list[str] = []
    end = 0
    for _dummy in range(_HOPS * 2):
        length = message[at]
        if length >= 0xC0:
            end = end or at + 2
            at = struct.unpack_from("!H", message, at)[0] & 0x3FFF
        elif length:
            labels.append(message[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
            at += 1 + length
        else:
            return ".".join(labels), end or at + 1
    raise ValueError("the answer has a name without an end")
