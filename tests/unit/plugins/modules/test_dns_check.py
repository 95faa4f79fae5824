"""Names against an internet of a few name servers, each of which knows only its own zones."""

from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._dns import Answer, NoAnswer, Record
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.modules.dns_check import look
from unit.fakes import FakeModule

RESOLVER = "10.0.0.53"
HERE = "203.0.113.7"


class Internet:
    """``zones``: name to its servers' names; ``records``: ``(name, type)`` to data; ``held``: who tells otherwise."""

    def __init__(self, zones, records, held=None, silent=(), refusing=()):
        self.zones = {"": ["a.root"], "org": ["a.org"], "net": ["a.net"], **zones}
        self.records = records
        self.held = held or {}
        self.silent = set(silent)
        self.refusing = set(refusing)
        names = sorted({name for servers in self.zones.values() for name in servers})
        self.addresses = {name: f"192.0.2.{number}" for number, name in enumerate(names, 1)}
        self.asked = []

    def ask(self, server, name, kind, recursive):
        self.asked.append((server, name, kind))
        if recursive:
            if server in self.silent:
                raise NoAnswer(f"The name server {server} could not be asked for {name} (no answer within 2 s).")
            return self._recursive(name, kind)
        who = next(one for one, address in self.addresses.items() if address == server)
        if who in self.silent:
            raise NoAnswer(f"The name server {server} could not be asked for {name} (no answer within 2 s).")
        if who in self.refusing:
            return Answer("REFUSED")
        mine = [zone for zone, servers in self.zones.items() if who in servers and _within(name, zone)]
        zone = self._zone(name)
        if not mine:
            return Answer()
        if zone not in mine:
            below = max((z for z in self.zones if _within(name, z) and z not in mine), key=len)
            return Answer(authority=tuple(Record(below, "NS", 60, one) for one in self.zones[below]))
        return self._data(name, kind, zone, self.held.get(who, {}), chase=False)

    def _recursive(self, name, kind):
        if kind in ("A", "AAAA") and name in self.addresses:
            answers = (Record(name, "A", 60, self.addresses[name]),) if kind == "A" else ()
            return Answer(answers=answers)
        zone = self._zone(name)
        if self.silent.issuperset(self.zones[zone]) or self.refusing.issuperset(self.zones[zone]):
            return Answer("SERVFAIL")
        return self._data(name, kind, zone, {}, chase=True)

    def _data(self, name, kind, zone, held, chase):
        soa = Record(zone, "SOA", 60, f"{self.zones[zone][0]} hostmaster.{zone} 1")
        if name == zone and kind in ("SOA", "NS"):
            servers = tuple(Record(zone, "NS", 60, one) for one in self.zones[zone])
            return Answer(authoritative=True, answers=(soa,) if kind == "SOA" else servers)
        records = {**self.records, **held}
        found = [Record(name, kind, 60, one) for one in records.get((name, kind), [])]
        alias = next(iter(records.get((name, "CNAME"), [])), "")
        if alias:
            found = [Record(name, "CNAME", 60, alias)]
            if chase or self._zone(alias) == zone:
                found += [Record(alias, kind, 60, one) for one in records.get((alias, kind), [])]
        known = found or any(key[0] == name for key in records)
        return Answer("NOERROR" if known else "NXDOMAIN", True, answers=tuple(found), authority=() if found else (soa,))

    def _zone(self, name):
        return max((zone for zone in self.zones if _within(name, zone)), key=len)


def _within(name, zone):
    return not zone or name == zone or name.endswith(f".{zone}")


ZONES = {"example.org": ["ns1.dns.net", "ns2.dns.net"]}


def check(internet, *hosts, addresses=(HERE,), view="authoritative", zones=(), resolvers=(RESOLVER,)):
    module = FakeModule(
        hosts=list(hosts or ["shop.example.org"]),
        addresses=list(addresses),
        view=view,
        zones=list(zones),
        resolvers=list(resolvers),
    )
    return look(module, internet.ask).result["dns"]


def complaint(internet, *hosts, **options):
    with pytest.raises(NeedsOperator) as caught:
        check(internet, *hosts, **options)
    return str(caught.value)


def test_a_right_record_is_asked_of_every_server_of_the_zone():
    internet = Internet(ZONES, {("shop.example.org", "A"): [HERE]})
    [found] = check(internet)
    assert (found["state"], found["zone"], found["servers"], found["addresses"], found["message"]) == (
        "ok",
        "example.org",
        ["ns1.dns.net", "ns2.dns.net"],
        [HERE],
        "",
    )
    assert {server for server, name, kind in internet.asked if name == "shop.example.org"} == {
        RESOLVER,
        internet.addresses["ns1.dns.net"],
        internet.addresses["ns2.dns.net"],
    }


def test_a_missing_record_is_written_out():
    assert complaint(Internet(ZONES, {})) == (
        "shop.example.org has no address; asked was the zone example.org (name servers ns1.dns.net, ns2.dns.net)."
        " Create this record there: shop.example.org. 300 IN A 203.0.113.7."
        " Nothing has been exposed; run again afterwards."
    )


def test_a_record_that_leads_elsewhere():
    internet = Internet(ZONES, {("shop.example.org", "A"): ["198.51.100.9"]})
    assert complaint(internet) == (
        "shop.example.org leads to 198.51.100.9, not to 203.0.113.7; asked was the zone example.org"
        " (name servers ns1.dns.net, ns2.dns.net). Replace its records there by: shop.example.org. 300 IN A"
        " 203.0.113.7. Nothing has been exposed; run again afterwards."
    )


@pytest.mark.parametrize("stray", [("A", "198.51.100.9"), ("AAAA", "2001:db8::9")], ids=["second", "ipv6"])
def test_one_stray_address_beside_the_right_one_is_wrong(stray):
    kind, address = stray
    records = {("shop.example.org", "A"): [HERE]}
    records.setdefault(("shop.example.org", kind), []).append(address)
    assert f"leads also to {address}, not to {HERE}; asked" in complaint(Internet(ZONES, records))


def test_ipv6_is_right_when_the_load_balancer_has_it():
    records = {("shop.example.org", "A"): [HERE], ("shop.example.org", "AAAA"): ["2001:db8::7"]}
    [found] = check(Internet(ZONES, records), addresses=[HERE, "2001:DB8:0::7"])
    assert found["state"] == "ok"
    assert found["records"] == ["shop.example.org. 300 IN A 203.0.113.7", "shop.example.org. 300 IN AAAA 2001:db8::7"]


def test_an_alias_is_followed_into_the_zone_of_its_target():
    zones = {**ZONES, "edge.net": ["ns.edge.net"]}
    internet = Internet(zones, {("shop.example.org", "CNAME"): ["lb.edge.net"], ("lb.edge.net", "A"): [HERE]})
    assert check(internet)[0]["state"] == "ok"
    assert (internet.addresses["ns.edge.net"], "lb.edge.net", "A") in internet.asked


def test_an_alias_that_leads_elsewhere_is_named():
    records = {("shop.example.org", "CNAME"): ["www.example.org"], ("www.example.org", "A"): ["198.51.100.9"]}
    assert "leads to 198.51.100.9, not to 203.0.113.7 (as an alias of www.example.org)" in complaint(
        Internet(ZONES, records)
    )


def test_a_load_balancer_with_a_name_gets_an_alias():
    zones = {**ZONES, "cloud.net": ["ns.cloud.net"]}
    lb = {("lb1.cloud.net", "A"): ["198.51.100.1", "198.51.100.2"]}
    assert "Create this record there: shop.example.org. 300 IN CNAME lb1.cloud.net." in complaint(
        Internet(zones, lb), addresses=["lb1.cloud.net."]
    )
    alias = {**lb, ("shop.example.org", "CNAME"): ["lb1.cloud.net"]}
    assert check(Internet(zones, alias), addresses=["lb1.cloud.net"])[0]["state"] == "ok"
    flattened = {**lb, ("shop.example.org", "A"): ["198.51.100.1"]}
    assert check(Internet(zones, flattened), addresses=["lb1.cloud.net"])[0]["state"] == "ok"


def test_a_domain_nobody_registered():
    assert complaint(Internet({}, {})) == (
        "shop.example.org: its domain is not registered, or not delegated to any name server (the zone org"
        " (name servers a.org) is the registry's). Register the domain, then create: shop.example.org. 300 IN A"
        " 203.0.113.7. Nothing has been exposed; run again afterwards."
    )


class Cut(Internet):
    """A resolver that knows nothing."""

    def ask(self, server, name, kind, recursive):
        return Answer("SERVFAIL")


def test_a_resolver_that_knows_no_zone():
    assert complaint(Cut({}, {})).startswith(
        "shop.example.org: this server's resolver finds no zone that holds it, not even a top-level one. If the"
        " resolver is right, register the domain and create: shop.example.org. 300 IN A 203.0.113.7."
    )


def test_a_zone_of_its_own_without_dots_is_no_registry():
    internet = Internet({"lan": ["ns.lan"]}, {})
    assert "shop.lan has no address; asked was the zone lan" in complaint(internet, "shop.lan", zones=["lan"])


def test_a_host_delegated_to_servers_of_others_stops_and_says_whose():
    zones = {**ZONES, "shop.example.org": ["ns.elsewhere.net"]}
    assert complaint(Internet(zones, {}), zones=["example.org"]) == (
        "shop.example.org has no address, and the zone shop.example.org (name servers ns.elsewhere.net) belongs to"
        " somebody else: stack_dns_zones names example.org; hostmaster@shop.example.org keeps it. Ask for this"
        " record: shop.example.org. 300 IN A 203.0.113.7. Nothing has been exposed; run again afterwards."
    )


def test_a_zone_of_others_is_no_obstacle_once_it_is_right():
    zones = {**ZONES, "shop.example.org": ["ns.elsewhere.net"]}
    internet = Internet(zones, {("shop.example.org", "A"): [HERE]})
    assert check(internet, zones=["example.org"])[0]["state"] == "ok"


def test_a_delegation_to_servers_that_do_not_answer():
    zones = {**ZONES, "shop.example.org": ["ns.gone.net"]}
    assert complaint(Internet(zones, {}, silent=["ns.gone.net"])) == (
        "shop.example.org is delegated by the zone example.org (name servers ns1.dns.net, ns2.dns.net) to"
        " ns.gone.net, and nobody there answers for it. Remove that delegation and create: shop.example.org. 300 IN A"
        " 203.0.113.7; or let those servers answer. Nothing has been exposed; run again afterwards."
    )


def test_a_secondary_server_that_lags_behind():
    internet = Internet(
        ZONES,
        {("shop.example.org", "A"): [HERE]},
        held={"ns2.dns.net": {("shop.example.org", "A"): ["198.51.100.9"]}},
    )
    assert "is right at ns1.dns.net and not yet at ns2.dns.net, which says 198.51.100.9." in complaint(internet)


def test_one_server_that_is_down_is_a_note():
    internet = Internet(ZONES, {("shop.example.org", "A"): [HERE]}, silent=["ns1.dns.net"])
    [found] = check(internet)
    assert found["state"] == "ok"
    assert found["notes"] == [
        "The name server 192.0.2.4 could not be asked for shop.example.org (no answer within 2 s)."
    ]


def test_one_server_that_refuses_is_a_note():
    internet = Internet(ZONES, {("shop.example.org", "A"): [HERE]}, refusing=["ns2.dns.net"])
    assert check(internet)[0]["notes"] == ["ns2.dns.net answers REFUSED."]


class NoWayOut(Internet):
    """The resolver answers, the zone's servers cannot be reached from here."""

    def ask(self, server, name, kind, recursive):
        if not recursive:
            raise NoAnswer(f"The name server {server} could not be asked for {name} (no answer within 2 s).")
        return super().ask(server, name, kind, recursive)


def test_no_server_can_be_asked():
    internet = NoWayOut(ZONES, {("shop.example.org", "A"): [HERE]})
    message = complaint(internet)
    assert message.startswith(
        "shop.example.org: none of the name servers of the zone example.org (name servers ns1.dns.net, ns2.dns.net)"
        " answers. The name server 192.0.2.4 could not be asked for shop.example.org (no answer within 2 s)."
    )
    assert (
        "Allow the server to send DNS questions (port 53, UDP and TCP) to them, or set app_release_dns_check" in message
    )
    assert check(internet, view="resolver")[0]["state"] == "ok"


def test_the_machines_own_resolver_is_silent():
    with pytest.raises(StackError) as caught:
        check(Internet(ZONES, {}, silent=[RESOLVER]))
    assert str(caught.value) == (
        "The name server 10.0.0.53 could not be asked for shop.example.org (no answer within 2 s)."
        " Check the server's own name resolution, then run again."
    )


def test_a_second_resolver_helps_out():
    internet = Internet(ZONES, {("shop.example.org", "A"): [HERE]}, silent=[RESOLVER])
    assert check(internet, resolvers=[RESOLVER, "10.0.0.54"])[0]["state"] == "ok"


def test_a_private_load_balancer_behind_a_router_is_explained():
    internet = Internet(ZONES, {("shop.example.org", "A"): [HERE]})
    assert "If 203.0.113.7 is forwarded to this server, set stack_public_addresses to [203.0.113.7]" in complaint(
        internet, addresses=["192.168.1.10"]
    )


def test_every_wrong_host_is_named_at_once():
    internet = Internet(ZONES, {("b.example.org", "A"): [HERE]})
    message = complaint(internet, "a.example.org", "b.example.org", "c.example.org")
    assert "a.example.org. 300 IN A" in message
    assert "c.example.org. 300 IN A" in message
    assert "b.example.org. 300 IN A" not in message


@pytest.mark.parametrize("addresses", [[], ["lb1.example.net", "lb2.example.net"]], ids=["none", "names"])
def test_where_the_hosts_must_lead_has_to_be_said(addresses):
    with pytest.raises(StackError, match="It is not said where the hosts must lead"):
        check(Internet(ZONES, {}), addresses=addresses)
