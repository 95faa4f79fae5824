from __future__ import annotations

import ipaddress
import socket
import struct
import threading

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._dns import (
    TYPES,
    Answer,
    NoAnswer,
    Record,
    ask,
    decode,
    encode_question,
    system_resolvers,
)
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError


def wire(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"


def record(name: bytes, kind: str, data: bytes, ttl: int = 300) -> bytes:
    return name + struct.pack("!2HIH", TYPES[kind], 1, ttl, len(data)) + data


def message(question: bytes, answers=(), authority=(), flags=0x8400) -> bytes:
    head = question[:2] + struct.pack("!5H", flags, 1, len(answers), len(authority), 0)
    return head + question[12:] + b"".join([*answers, *authority])


QUESTION = encode_question(7, "shop.example.org", "A", True)
TO_QUESTION = b"\xc0\x0c"  # a pointer to the name in the question


def test_a_question_on_the_wire():
    assert bytes.fromhex("0007 0100 0001 0000 0000 0000") + wire("shop.example.org") + b"\0\1\0\1" == QUESTION


def test_an_answer_with_pointers_and_types_nobody_asked_for():
    unknown = TO_QUESTION + struct.pack("!2HIH", 46, 1, 60, 3) + b"sig"
    soa = wire("ns1.example.org") + wire("hostmaster.example.org") + struct.pack("!5I", 42, 1, 2, 3, 4)
    answer = decode(
        message(
            QUESTION,
            [
                record(TO_QUESTION, "CNAME", b"\4Edge\xc0\x11"),  # into the middle of the question's name
                unknown,
                record(b"\4edge\xc0\x11", "A", bytes([203, 0, 113, 7])),
                record(b"\4edge\xc0\x11", "AAAA", ipaddress.ip_address("2001:db8::7").packed),
            ],
            [record(b"\xc0\x11", "SOA", soa)],
        ),
        QUESTION,
    )
    assert answer == Answer(
        "NOERROR",
        True,
        False,
        (
            Record("shop.example.org", "CNAME", 300, "edge.example.org"),
            Record("edge.example.org", "A", 300, "203.0.113.7"),
            Record("edge.example.org", "AAAA", 300, "2001:db8::7"),
        ),
        (Record("example.org", "SOA", 300, "ns1.example.org hostmaster.example.org 42"),),
    )
    assert answer.of("edge.example.org", "A") == ["203.0.113.7"]


@pytest.mark.parametrize(("flags", "code"), [(0x8403, "NXDOMAIN"), (0x8005, "REFUSED"), (0x800C, "code 12")])
def test_codes(flags, code):
    assert decode(message(QUESTION, flags=flags), QUESTION).code == code


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (b"", "the answer is no DNS message"),
        (message(QUESTION, [record(TO_QUESTION, "A", b"\1\2\3\4")])[:-2], "the answer is no DNS message"),
        (message(QUESTION, [record(b"\xc0\x22", "A", b"")]), "the answer has a name without an end"),
        (b"\0\1" + message(QUESTION)[2:], "it is no answer to the question"),
        (QUESTION, "it is no answer to the question"),
    ],
    ids=["empty", "cut", "loop", "other", "question"],
)
def test_what_is_no_answer(broken, complaint):
    with pytest.raises(ValueError, match=complaint):
        decode(broken, QUESTION)


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".org"])
def test_what_is_no_name(name):
    with pytest.raises(StackError, match=r"is no DNS name\. Correct it in the inventory"):
        encode_question(1, name, "A", True)


def test_the_resolvers_of_the_machine(tmp_path):
    (tmp_path / "resolv.conf").write_text("# by hand\nnameserver 10.0.0.1\nsearch lan\nnameserver fd00::1 \n")
    assert system_resolvers(str(tmp_path / "resolv.conf")) == ["10.0.0.1", "fd00::1"]
    assert system_resolvers(str(tmp_path / "none")) == []


class Server(threading.Thread):
    """Answers one question over UDP, and the next over TCP at the same port."""

    def __init__(self, *udp: bytes, tcp: bytes = b"") -> None:
        super().__init__(daemon=True)
        self._udp, self._tcp = udp, tcp
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("127.0.0.1", 0))
        self.port = self.datagrams.getsockname()[1]
        self.stream = socket.create_server(("127.0.0.1", self.port))
        self.start()

    def run(self) -> None:
        question, sender = self.datagrams.recvfrom(512)
        for answer in self._udp:
            self.datagrams.sendto(answer.replace(QUESTION[:2], question[:2], 1), sender)
        if self._tcp:
            connection = self.stream.accept()[0]
            asked = connection.recv(512)
            answer = self._tcp.replace(QUESTION[:2], asked[2:4], 1)
            connection.sendall(struct.pack("!H", len(answer)) + answer)
            connection.close()


GOOD = message(QUESTION, [record(TO_QUESTION, "A", bytes([203, 0, 113, 7]))])


def test_a_late_answer_to_another_question_is_passed_over():
    server = Server(b"\xff\xff" + GOOD[2:] if GOOD[:2] != b"\xff\xff" else GOOD, GOOD)
    answer = ask("127.0.0.1", "shop.example.org", "A", False, port=server.port)
    assert answer.of("shop.example.org", "A") == ["203.0.113.7"]


def test_a_long_answer_comes_over_tcp():
    server = Server(message(QUESTION, flags=0x8600), tcp=GOOD)
    answer = ask("127.0.0.1", "shop.example.org", "A", False, port=server.port)
    assert answer.of("shop.example.org", "A") == ["203.0.113.7"]


def test_a_silent_server_is_named():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(NoAnswer) as caught:
            ask("127.0.0.1", "shop.example.org", "A", False, timeout=0.05, port=silent.getsockname()[1])
    assert str(caught.value) == (
        "The name server 127.0.0.1 could not be asked for shop.example.org (no answer within 0 s)."
    )


def test_a_server_that_speaks_something_else_is_named():
    server = Server(b"HTTP/1.1 400 Bad Request")
    with pytest.raises(NoAnswer, match=r"could not be asked for shop\.example\.org"):
        ask("127.0.0.1", "shop.example.org", "A", False, timeout=0.05, port=server.port)
