"""Names and addresses follow from the checkout's path alone."""

from __future__ import annotations

import ipaddress
import itertools
import re
from pathlib import Path

import pytest
from labkit import naming
from labkit.naming import Names


def test_the_prefix_is_eight_hexadecimal_digits_of_the_path() -> None:
    assert re.fullmatch(r"railiance-[0-9a-f]{8}", Names.of(Path("/srv/one")).prefix)
    assert Names.of(Path("/srv/one")) == Names.of(Path("/srv/two/../one"))


def test_two_checkouts_share_no_name() -> None:
    one, two = Names.of(Path("/srv/one")), Names.of(Path("/srv/two"))
    mine = {one.network, one.services, one.node("node1"), one.swap_file("node1"), *one.volumes("node1")}
    theirs = {two.network, two.services, two.node("node1"), two.swap_file("node1"), *two.volumes("node1")}
    assert not mine & theirs
    assert len(mine) == 8


def test_servers_of_one_lab_share_no_volume_and_no_swap_file() -> None:
    names = Names.of(Path("/srv/one"))
    assert not set(names.volumes("node1")) & set(names.volumes("node2"))
    assert names.swap_file("node1") != names.swap_file("node2")


def test_the_swap_file_lies_on_a_volume() -> None:
    names = Names.of(Path("/srv/one"))
    directories = names.volumes("node1").values()
    assert str(Path(names.swap_file("node1")).parent) in directories


def test_the_subnet_is_the_checkouts_own_until_it_is_taken() -> None:
    checkout = Path("/srv/one")
    first = naming.choose_subnet(checkout, [])
    second = naming.choose_subnet(checkout, [str(first)])
    assert first == naming.choose_subnet(checkout, ["192.168.0.0/16"])
    assert not second.overlaps(first)
    assert first.prefixlen == 24
    assert first.subnet_of(ipaddress.IPv4Network("10.0.0.0/8"))


def test_a_wide_route_pushes_the_subnet_out_of_it() -> None:
    own = naming.choose_subnet(Path("/srv/one"), [])
    wide = own.supernet(new_prefix=12)
    assert not naming.choose_subnet(Path("/srv/one"), [str(wide)]).overlaps(wide)


def test_a_host_route_counts_as_taken() -> None:
    own = naming.choose_subnet(Path("/srv/one"), [])
    assert naming.choose_subnet(Path("/srv/one"), [str(own[7])]) != own


def test_no_candidate_lies_in_a_network_of_the_cluster_inside() -> None:
    taken_inside = [ipaddress.IPv4Network(text) for text in ("10.42.0.0/16", "10.43.0.0/16", "10.88.0.0/16")]
    everything = list(naming.subnet_candidates(Path("/srv/one")))
    assert len(everything) == 0x10000 - 3 * 256
    assert not any(one.overlaps(other) for one, other in itertools.product(everything[::97], taken_inside))


def test_a_machine_without_a_free_network_is_told_so() -> None:
    with pytest.raises(ValueError, match="taken"):
        naming.choose_subnet(Path("/srv/one"), ["10.0.0.0/8"])


def test_addresses_are_fixed_within_the_subnet() -> None:
    subnet = ipaddress.IPv4Network("10.1.2.0/24")
    assert naming.services_address(subnet) == "10.1.2.2"
    assert naming.node_address(subnet, "node1") == "10.1.2.10"
    assert naming.node_address(subnet, "node3") == "10.1.2.12"
    with pytest.raises(ValueError, match="node0"):
        naming.node_address(subnet, "node0")
