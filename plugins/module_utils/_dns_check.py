# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether public names lead here, asked of the zone's own servers. Private to this collection.

A certificate authority asks these servers as well, never a cache. Everything here reads.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from ansible_collections.railiance.stack.plugins.module_utils._dns import Answer, NoAnswer, system_resolvers
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError

#: ``ask(server address, name, type, recursive) -> Answer``; raises NoAnswer.
Ask = Callable[[str, str, str, bool], Answer]
View = Literal["authoritative", "resolver"]
State = Literal["ok", "missing", "wrong", "elsewhere", "lagging", "unreachable"]

_TTL = 300
#: Aliases that lead to aliases; more is a loop or a mistake.
_ALIASES = 8
#: What a router or a cloud translates to: no public name leads to such an address.
_PRIVATE = [
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8")
] + [ipaddress.ip_network(text) for text in ("fc00::/7", "fe80::/10", "::1/128")]


@dataclass(frozen=True)
class Wanted:
    """Where the names must lead.

    :param addresses: the load balancer's, as the world sees them.
    :param alias: the load balancer's name, when it has one instead.
    :param zones: the zones in which the operator can create records; empty means any.
    """

    addresses: frozenset[str] = frozenset()
    alias: str = ""
    zones: tuple[str, ...] = ()

    def records(self, host: str) -> list[str]:
        """The records to create, as they stand in a zone file."""
        if self.alias:
            return [f"{host}. {_TTL} IN CNAME {self.alias}."]
        return [f"{host}. {_TTL} IN {_kind(one)} {one}" for one in _sorted(self.addresses)]


@dataclass(frozen=True)
class NameServer:
    name: str
    addresses: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Zone:
    """A zone with the servers that speak for it and the mail address of who keeps it."""

    name: str
    servers: tuple[NameServer, ...] = ()
    contact: str = ""

    def __str__(self) -> str:
        return self.name or "."


@dataclass(frozen=True)
class Said:
    """What one server says about a host.

    :param alias: the name it is an alias of.
    :param delegated: servers it sends the asker to instead.
    :param problem: why it said nothing.
    """

    server: str
    addresses: frozenset[str] = frozenset()
    alias: str = ""
    delegated: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Finding:
    """What is known about one host; ``message`` and ``hint`` are empty when it is right."""

    host: str
    state: State
    zone: str
    servers: list[str]
    addresses: list[str]
    records: list[str]
    message: str = ""
    hint: str = ""
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Resolver:
    """Recursive look-ups, each question asked once.

    :param resolvers: addresses, in the order they are asked.
    """

    def __init__(self, ask: Ask, resolvers: Sequence[str]) -> None:
        self._ask = ask
        self._resolvers = list(resolvers)
        self._known: dict[tuple[str, str], Answer] = {}

    def look_up(self, name: str, kind: str) -> Answer:
        """:raises NoAnswer: when no resolver answers."""
        known = self._known.get((name, kind))
        if known:
            return known
        problems = []
        for server in self._resolvers:
            try:
                answer = self._ask(server, name, kind, True)
            except NoAnswer as error:
                problems.append(error.message)
                continue
            self._known[name, kind] = answer
            return answer
        raise NoAnswer(
            " ".join(problems) or "This server has no name server in /etc/resolv.conf.",
            "Check the server's own name resolution, then run again.",
        )

    def addresses(self, name: str) -> tuple[str, ...]:
        """IPv4 first: a server without IPv6 has no way to the others."""
        return tuple(
            record.data for kind in ("A", "AAAA") for record in self.look_up(name, kind).answers if record.type == kind
        )

    def zone_of(self, host: str) -> Zone:
        """The zone that holds the host's records: the nearest name above it that has a SOA record."""
        labels = host.split(".")
        for depth in range(len(labels)):
            name = ".".join(labels[depth:])
            answer = self.look_up(name, "SOA")
            if answer.of(name, "CNAME"):
                continue  # what stands beside an alias is about its target
            for record in (*answer.answers, *answer.authority):
                if record.type == "SOA" and _is_within(host, record.name):
                    return self._zone(record.name, record.data)
        return Zone("")

    def _zone(self, name: str, soa: str) -> Zone:
        with ThreadPoolExecutor(8) as pool:
            names = sorted(self.look_up(name, "NS").of(name, "NS"))
            servers = tuple(map(NameServer, names, pool.map(self.addresses, names)))
        return Zone(name, servers, _mailbox(soa.split()[1]))


class Checker:
    """Looks at hosts.

    :param view: whom to believe: the zone's own servers, or this machine's resolver (a zone that the outside sees
        differently, or whose servers cannot be asked from here).
    """

    def __init__(self, ask: Ask, resolvers: Sequence[str], wanted: Wanted, view: View = "authoritative") -> None:
        self._ask = ask
        self._resolver = Resolver(ask, resolvers)
        self._wanted = wanted
        self._view = view

    def look(self, hosts: Sequence[str]) -> list[Finding]:
        """:raises NoAnswer: when this machine's own resolver does not answer."""
        if self._wanted.alias:
            known = self._wanted.addresses | set(self._resolver.addresses(self._wanted.alias))
            self._wanted = replace(self._wanted, addresses=frozenset(known))
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(self._examine, [host.lower() for host in hosts]))

    def _examine(self, host: str) -> Finding:
        zone = self._resolver.zone_of(host)
        if self._view == "resolver":
            addresses = frozenset(self._resolver.addresses(host))
            return judge(host, zone, [Said("this server's resolver", addresses)], self._wanted)
        return judge(host, zone, self._said(host, zone, 0), self._wanted)

    def _said(self, host: str, zone: Zone, depth: int) -> list[Said]:
        if not zone.servers:
            return []
        with ThreadPoolExecutor(8) as pool:
            said = list(pool.map(lambda server: self._one(server, zone, host), zone.servers))
        beyond = {one.alias for one in said if one.alias and not one.addresses} - {self._wanted.alias}
        if depth >= _ALIASES:
            return said
        known = {
            alias: frozenset(
                address
                for one in self._said(alias, self._resolver.zone_of(alias), depth + 1)
                for address in one.addresses
            )
            for alias in beyond
        }
        return [replace(one, addresses=known[one.alias]) if one.alias in known else one for one in said]

    def _one(self, server: NameServer, zone: Zone, host: str) -> Said:
        problem = "its own name has no address"
        for address in server.addresses:
            try:
                by_kind = {kind: self._ask(address, host, kind, False) for kind in ("A", "AAAA")}
            except NoAnswer as error:
                problem = error.message
                continue
            return _read(server.name, zone, host, by_kind)
        return Said(server.name, problem=problem)


def checker_of(
    ask: Ask, resolvers: Sequence[str], addresses: Sequence[str], zones: Sequence[str], view: View
) -> Checker:
    """A :class:`Checker` out of a module's options.

    :param addresses: addresses or one name of the load balancer.
    :param resolvers: this machine's when empty.
    :raises StackError: when it is not said where the names must lead.
    """
    names = [one.lower().strip(".") for one in addresses if not _is_address(one)]
    if not addresses or len(names) > 1:
        raise StackError(
            "It is not said where the hosts must lead.",
            "Give the load balancer's public addresses, or its one name, in addresses.",
        )
    wanted = Wanted(
        frozenset(str(ipaddress.ip_address(one)) for one in addresses if _is_address(one)),
        names[0] if names else "",
        tuple(zones),
    )
    return Checker(ask, resolvers or system_resolvers(), wanted, view)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _read(server: str, zone: Zone, host: str, by_kind: dict[str, Answer]) -> Said:
    first = by_kind["A"]
    below = tuple(
        record.data
        for record in first.authority
        if record.type == "NS" and record.name != zone.name and _is_within(host, record.name)
    )
    if below and not first.answers:
        return Said(server, delegated=tuple(sorted(below)))
    if first.code not in ("NOERROR", "NXDOMAIN"):
        return Said(server, problem=f"{server} answers {first.code}")
    if not first.authoritative:
        return Said(server, problem=f"{server} does not speak for the zone {zone}")
    alias = host
    for _dummy in range(_ALIASES):
        alias = next(iter(first.of(alias, "CNAME")), alias)
    addresses = frozenset(one for kind, answer in by_kind.items() for one in answer.of(alias, kind))
    return Said(server, addresses, alias if alias != host else "")


# -- judging ---------------------------------------------------------------------------------------------------
def judge(host: str, zone: Zone, said: Sequence[Said], wanted: Wanted) -> Finding:
    """One host: what the servers say against what is wanted."""
    found = frozenset(address for one in said for address in one.addresses)
    heard = [one for one in said if not one.problem]
    delegated = next((one.delegated for one in heard if one.delegated), ())
    right = [one for one in heard if _is_right(one, wanted)]
    notes = [f"{one.problem.rstrip('.')}." for one in said if one.problem]
    records = wanted.records(host)
    servers = _listed(server.name for server in zone.servers) or "none known"
    where = f"the zone {zone} (name servers {servers})"

    def finding(state: State, message: str = "", hint: str = "") -> Finding:
        names = [server.name for server in zone.servers]
        return Finding(host, state, zone.name, names, _sorted(found), records, message, hint, notes)

    if heard and len(right) == len(heard):
        return finding("ok")
    stray = _sorted(found - wanted.addresses)
    leads = f"leads {'also ' if found & wanted.addresses else ''}to {_listed(stray)}, not to {_here(wanted)}"
    leads = leads if found else "has no address"
    create = f"{'Replace its records there by' if found else 'Create this record there'}: {_listed(records)}"
    own = [name.lower().strip(".") for name in wanted.zones]
    if not zone.name:
        return finding(
            "elsewhere",
            f"{host}: this server's resolver finds no zone that holds it, not even a top-level one.",
            f"If the resolver is right, register the domain and create: {_listed(records)}",
        )
    if "." not in zone.name and zone.name not in own:
        return finding(
            "elsewhere",
            f"{host}: its domain is not registered, or not delegated to any name server ({where} is the registry's).",
            f"Register the domain, then create: {_listed(records)}",
        )
    if delegated:
        return finding(
            "elsewhere",
            f"{host} is delegated by {where} to {_listed(delegated)}, and nobody there answers for it.",
            f"Remove that delegation and create: {_listed(records)}; or let those servers answer.",
        )
    if own and zone.name not in own:
        contact = f"; {zone.contact} keeps it" if zone.contact else ""
        return finding(
            "elsewhere",
            f"{host} {leads}, and {where} belongs to somebody else: stack_dns_zones names {_listed(own)}{contact}.",
            f"Ask for this record: {_listed(records)}",
        )
    if not heard:
        return finding(
            "unreachable",
            f"{host}: none of the name servers of {where} answers. {' '.join(notes)}".rstrip(),
            "Allow the server to send DNS questions (port 53, UDP and TCP) to them, or set"
            " app_release_dns_check to resolver.",
        )
    if right:
        late = [one.server for one in heard if one not in right]
        return finding(
            "lagging",
            f"{host} is right at {_listed(one.server for one in right)} and not yet at {_listed(late)}, which says"
            f" {_listed(_sorted(a for one in heard if one not in right for a in one.addresses)) or 'nothing'}.",
            f"Wait until every server of the zone {zone} has the record, then run again: {_listed(records)}",
        )
    alias = next((one.alias for one in heard if one.alias), "")
    via = f" (as an alias of {alias})" if alias else ""
    return finding(
        "wrong" if found else "missing", f"{host} {leads}{via}; asked was {where}.", create + _nat(found, wanted)
    )


def report(findings: Iterable[Finding]) -> None:
    """:raises NeedsOperator: with every host that is not right, and what to do about each."""
    wrong = [one for one in findings if one.state != "ok"]
    if wrong:
        raise NeedsOperator(
            " ".join(f"{one.message} {one.hint.rstrip('.')}." for one in wrong),
            "Nothing has been exposed; run again afterwards.",
            dns=[one.as_dict() for one in wrong],
        )


def _is_right(said: Said, wanted: Wanted) -> bool:
    if wanted.alias and said.alias == wanted.alias:
        return True
    return bool(said.addresses) and said.addresses <= wanted.addresses


def _nat(found: frozenset[str], wanted: Wanted) -> str:
    """The load balancer's own address may be one that only the router in front of it knows."""
    if found and not any(map(_is_private, found)) and any(map(_is_private, wanted.addresses)):
        return (
            f". If {_listed(_sorted(found))} is forwarded to this server, set stack_public_addresses to"
            f" [{_listed(_sorted(found))}]"
        )
    return ""


def _here(wanted: Wanted) -> str:
    return wanted.alias or _listed(_sorted(wanted.addresses))


def _is_private(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return any(parsed.version == network.version and parsed in network for network in _PRIVATE)


def _is_within(host: str, zone: str) -> bool:
    return not zone or host == zone or host.endswith(f".{zone}")


def _kind(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def _mailbox(name: str) -> str:
    """``hostmaster.example.org`` of a SOA record as the mail address that it means."""
    user, dot, domain = name.partition(".")
    return f"{user}@{domain}" if dot else ""


def _sorted(addresses: Iterable[str]) -> list[str]:
    return sorted(set(addresses), key=lambda one: (":" in one, ipaddress.ip_address(one).packed))


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
