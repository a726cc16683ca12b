"""Allowed IPs in C answer as those in Python do, whose law tests/unit/test_allowedips.py knows."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.fastpath.parts import Parts
from wgpy.contract.orders import AllowedIP
from wgpy.datapath.allowedips import AllowedIPs

ALICE, BOB = 1, 1000
HIGHEST = 2**21 - 1
MANY = 130_560

PEERS = 1, 2, 3, 4, 5, 1000
peers = st.sampled_from(PEERS)


@st.composite
def addresses(draw: st.DrawFn) -> bytes:
    """Few set bits, so that prefixes meet."""
    bits = draw(st.sampled_from([32, 128]))
    places = [0, 1, 2, 62, 63, 64, 65, bits - 9, bits - 8, bits - 2, bits - 1]
    ones = draw(st.sets(st.sampled_from([place for place in places if place < bits]), max_size=4))
    return sum(1 << bit for bit in ones).to_bytes(bits // 8)


@st.composite
def prefixes(draw: st.DrawFn) -> AllowedIP:
    address = draw(addresses())
    bits = len(address) * 8
    length = draw(st.integers(0, bits) | st.sampled_from([0, 1, 7, 8, 9, bits - 1, bits, 32]))
    host_bits = bits - length
    return AllowedIP((int.from_bytes(address) >> host_bits << host_bits).to_bytes(bits // 8), length)


def prefix(text: str) -> AllowedIP:
    network = ip_network(text)
    return AllowedIP(network.network_address.packed, network.prefixlen)


def test_whatever_is_inserted_moved_and_removed_the_two_agree(parts: Parts) -> None:
    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.routes, self.twin = parts.allowed_ips(), AllowedIPs()
            self.asked = [bytes(4), bytes(16)]

        @rule(prefix=prefixes(), peer=peers)
        def insert(self, prefix: AllowedIP, peer: int) -> None:
            self.routes.insert(prefix, peer)
            self.twin.insert(prefix, peer)
            host_bits = (1 << 8 * len(prefix.address) - prefix.prefix_length) - 1
            last = int.from_bytes(prefix.address) | host_bits
            self.asked += [prefix.address, last.to_bytes(len(prefix.address))]

        @rule(prefix=prefixes(), peer=peers)
        def remove(self, prefix: AllowedIP, peer: int) -> None:
            self.routes.remove(prefix, peer)
            self.twin.remove(prefix, peer)

        @rule(peer=peers)
        def remove_peer(self, peer: int) -> None:
            self.routes.remove_peer(peer)
            self.twin.remove_peer(peer)

        @rule(address=addresses() | st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))
        def look_up(self, address: bytes) -> None:
            self.asked.append(address)

        @invariant()
        def they_agree(self) -> None:
            assert len(self.routes) == len(self.twin)
            for peer in PEERS:
                assert self.routes.of_peer(peer) == self.twin.of_peer(peer)
            self.compare(self.asked[-10:])

        def teardown(self) -> None:
            self.compare(self.asked)

        def compare(self, addresses: list[bytes]) -> None:
            for address in addresses:
                assert self.routes.lookup(address) == self.twin.lookup(address), address.hex()

    run_state_machine_as_test(Machine)


@given(st.sampled_from([4, 16]), st.lists(st.tuples(st.booleans(), st.integers(0, 40), peers)), st.data())
def test_neighbours_in_a_crowded_table_do_not_hide_each_other(
    parts: Parts, size: int, orders: list[tuple[bool, int, int]], data: st.DataObject
) -> None:
    """One length only, so that all keys share a table, which grows and is emptied."""
    routes, twin = parts.allowed_ips(), AllowedIPs()
    spread = data.draw(st.sampled_from([1, 257, 2**16, 2**24 + 1]))
    hosts = [AllowedIP((number * spread).to_bytes(size), 8 * size) for number in range(41)]
    for is_insert, number, peer in orders:
        for table in routes, twin:
            (table.insert if is_insert else table.remove)(hosts[number], peer)

    assert [routes.lookup(host.address) for host in hosts] == [twin.lookup(host.address) for host in hosts]


@pytest.mark.parametrize(
    "wrong",
    [
        AllowedIP._make((b"", 0)),
        AllowedIP._make((bytes(5), 8)),
        AllowedIP._make((bytes(4), 33)),
        AllowedIP._make((bytes(4), 2**32 - 1)),
        AllowedIP._make((bytes(16), 129)),
        AllowedIP._make((b"\x0a\0\0\1", 31)),
        AllowedIP._make((bytes(15) + b"\1", 127)),
        AllowedIP._make((bytes(8) + b"\x80" + bytes(7), 64)),
    ],
    ids=repr,
)
def test_what_is_no_prefix_is_refused_and_changes_nothing(parts: Parts, wrong: AllowedIP) -> None:
    routes = parts.allowed_ips()
    routes.insert(prefix("10.0.0.0/8"), ALICE)

    with pytest.raises(ValueError, match="AllowedIP"):
        routes.insert(wrong, BOB)
    routes.remove(wrong, ALICE)

    assert len(routes) == 1
    assert routes.lookup(ip_address("10.0.0.1").packed) == ALICE


def test_only_the_numbers_that_a_peer_can_have_own_a_prefix(parts: Parts) -> None:
    routes, mine = parts.allowed_ips(), prefix("10.0.0.0/8")
    for number in 0, HIGHEST + 1, 2**32 - 1:
        with pytest.raises(ValueError, match="AllowedIP"):
            routes.insert(mine, number)
        routes.remove(mine, number)
        routes.remove_peer(number)
        assert routes.of_peer(number) == []

    routes.insert(mine, HIGHEST)

    assert routes.lookup(mine.address) == HIGHEST
    assert routes.of_peer(HIGHEST) == [mine]


def test_there_is_no_peer_0(parts: Parts) -> None:
    routes = parts.allowed_ips()

    with pytest.raises(ValueError, match="AllowedIP"):
        routes.insert(prefix("10.0.0.0/8"), 0)
    routes.remove_peer(0)

    assert len(routes) == 0


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0"])
def test_the_families_are_apart(parts: Parts, text: str) -> None:
    routes = parts.allowed_ips()
    routes.insert(prefix(text), ALICE)

    assert {routes.lookup(bytes(4)), routes.lookup(bytes(16))} == {ALICE, None}


def test_many_prefixes_of_many_peers_come_and_go(parts: Parts) -> None:
    """A wrong algorithm would take minutes; time itself is measured elsewhere."""
    routes = parts.allowed_ips()
    hosts = [AllowedIP((0x0A000000 + number).to_bytes(4), 32) for number in range(MANY)]
    for number, host in enumerate(hosts):
        routes.insert(host, 1 + number // 2)

    assert len(routes) == MANY
    assert all(routes.lookup(host.address) == 1 + number // 2 for number, host in enumerate(hosts))
    for peer in range(1, 1 + MANY // 2, 2):
        routes.remove_peer(peer)
    assert len(routes) == MANY // 2
    assert all(
        routes.lookup(host.address) == (None if number // 2 % 2 == 0 else 1 + number // 2)
        for number, host in enumerate(hosts)
    )


def test_all_prefixes_may_belong_to_one_peer(parts: Parts) -> None:
    routes = parts.allowed_ips()
    for number in range(MANY):
        routes.insert(AllowedIP(number.to_bytes(16), 128), ALICE)
    for number in range(0, MANY, 3):
        routes.remove(AllowedIP(number.to_bytes(16), 128), ALICE)

    assert len(routes) == MANY - MANY // 3
    routes.remove_peer(ALICE)
    assert len(routes) == 0
    assert routes.lookup((77_777).to_bytes(16)) is None
