"""Cryptokey routing: the longest prefix wins, and a prefix has one owner. Whitepaper 2."""

from ipaddress import ip_address, ip_network

import pytest

from wgpy.contract.orders import AllowedIP
from wgpy.datapath.allowedips import AllowedIPs

ALICE, BOB, CAROL = 1, 2, 3


def prefix(text: str) -> AllowedIP:
    network = ip_network(text)
    return AllowedIP(network.network_address.packed, network.prefixlen)


def table(**owners: list[str]) -> AllowedIPs:
    ids = {"alice": ALICE, "bob": BOB, "carol": CAROL}
    routes = AllowedIPs()
    for name, prefixes in owners.items():
        for text in prefixes:
            routes.insert(prefix(text), ids[name])
    return routes


def owner(routes: AllowedIPs, address: str) -> int | None:
    return routes.lookup(ip_address(address).packed)


@pytest.mark.parametrize("address", ["10.0.0.1", "::1", "0.0.0.0", "::"])
def test_an_empty_table_knows_nobody(address: str) -> None:
    assert owner(AllowedIPs(), address) is None


@pytest.mark.parametrize("order", [1, -1], ids=["shortest first", "longest first"])
def test_the_longest_prefix_wins_in_whatever_order_they_came(order: int) -> None:
    routes = AllowedIPs()
    for text, peer in [("0.0.0.0/0", ALICE), ("10.0.0.0/8", BOB), ("10.1.2.3/32", CAROL)][::order]:
        routes.insert(prefix(text), peer)

    assert owner(routes, "192.0.2.1") == ALICE
    assert owner(routes, "10.1.2.4") == BOB
    assert owner(routes, "10.1.2.3") == CAROL


@pytest.mark.parametrize(
    ("network", "first", "last", "before", "after"),
    [
        ("10.4.0.0/14", "10.4.0.0", "10.7.255.255", "10.3.255.255", "10.8.0.0"),
        ("192.0.2.128/25", "192.0.2.128", "192.0.2.255", "192.0.2.127", "192.0.3.0"),
        ("192.0.2.7/32", "192.0.2.7", "192.0.2.7", "192.0.2.6", "192.0.2.8"),
        ("128.0.0.0/1", "128.0.0.0", "255.255.255.255", "127.255.255.255", "0.0.0.0"),
        ("fd00::/8", "fd00::", "fdff:ffff::", "fcff:ffff::", "fe00::"),
        ("2001:db8::/127", "2001:db8::", "2001:db8::1", "2001:db7:ffff::", "2001:db8::2"),
        ("2001:db8::5/128", "2001:db8::5", "2001:db8::5", "2001:db8::4", "2001:db8::6"),
    ],
)
def test_a_prefix_holds_its_addresses_and_no_others(
    network: str, first: str, last: str, before: str, after: str
) -> None:
    routes = table(alice=[network])

    assert [owner(routes, address) for address in (first, last, before, after)] == [ALICE, ALICE, None, None]


@pytest.mark.parametrize(("default", "other"), [("0.0.0.0/0", "::1"), ("::/0", "10.0.0.1")])
def test_the_families_are_apart(default: str, other: str) -> None:
    assert owner(table(alice=[default]), other) is None


def test_a_prefix_given_to_another_peer_moves() -> None:
    routes = table(alice=["10.0.0.0/8", "fd00::/8"], bob=["10.0.0.0/8"])

    assert len(routes) == 2
    assert (owner(routes, "10.0.0.1"), owner(routes, "fd00::1")) == (BOB, ALICE)
    routes.remove_peer(ALICE)
    assert (owner(routes, "10.0.0.1"), owner(routes, "fd00::1")) == (BOB, None)


def test_a_prefix_given_again_to_its_owner_stays() -> None:
    routes = table(alice=["10.0.0.0/8", "10.0.0.0/8"])

    assert len(routes) == 1
    assert owner(routes, "10.0.0.1") == ALICE


def test_what_was_removed_uncovers_the_shorter_prefix() -> None:
    routes = table(alice=["10.0.0.0/8"], bob=["10.1.0.0/16"])

    routes.remove(prefix("10.1.0.0/16"), BOB)

    assert owner(routes, "10.1.0.1") == ALICE
    assert len(routes) == 1


def test_a_peer_cannot_remove_what_is_not_its_own() -> None:
    routes = table(alice=["10.0.0.0/8"], bob=["10.1.0.0/16"])

    routes.remove(prefix("10.0.0.0/8"), BOB)
    routes.remove(prefix("10.0.0.0/8"), CAROL)
    routes.remove(prefix("192.0.2.0/24"), ALICE)

    assert owner(routes, "10.0.0.1") == ALICE


def test_removing_a_peer_leaves_the_others() -> None:
    routes = table(alice=["10.0.0.0/8", "fd00::/8"], bob=["10.1.0.0/16", "::/0"])

    routes.remove_peer(ALICE)
    routes.remove_peer(CAROL)

    assert len(routes) == 2
    assert [owner(routes, address) for address in ("10.0.0.1", "10.1.0.1", "fd00::1")] == [None, BOB, BOB]


def test_a_length_that_went_out_of_use_can_come_back() -> None:
    routes = table(alice=["10.0.0.0/8"])
    routes.remove(prefix("10.0.0.0/8"), ALICE)
    assert owner(routes, "10.0.0.1") is None

    routes.insert(prefix("11.0.0.0/8"), BOB)

    assert owner(routes, "11.0.0.1") == BOB


@pytest.mark.parametrize(
    "wrong",
    [
        AllowedIP._make((b"", 0)),
        AllowedIP._make((bytes(5), 8)),
        AllowedIP._make((bytes(4), 33)),
        AllowedIP._make((bytes(4), -1)),
        AllowedIP._make((bytes(16), 129)),
        AllowedIP._make((b"\x0a\0\0\1", 31)),
    ],
    ids=repr,
)
def test_what_is_no_prefix_is_refused_and_changes_nothing(wrong: AllowedIP) -> None:
    routes = table(alice=["10.0.0.0/8"])

    with pytest.raises(ValueError, match="no prefix"):
        routes.insert(wrong, BOB)

    assert len(routes) == 1
    assert owner(routes, "10.0.0.1") == ALICE


def test_a_hundred_thousand_prefixes_are_one_moment() -> None:
    """A wrong algorithm would take minutes; time itself is measured in benchmarks/micro."""
    routes = AllowedIPs()
    for number in range(130_560):
        routes.insert(AllowedIP(number.to_bytes(4), 32), ALICE)

    assert len(routes) == 130_560
    assert routes.lookup((77_777).to_bytes(4)) == ALICE
    routes.remove_peer(ALICE)
    assert len(routes) == 0
