"""Whatever is inserted, moved and removed, a look-up answers as a search of all prefixes would."""

from ipaddress import IPv4Address, IPv6Address, ip_network

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wgpy.contract.orders import AllowedIP
from wgpy.datapath.allowedips import AllowedIPs

PEERS = st.integers(0, 4)


@st.composite
def addresses(draw: st.DrawFn) -> bytes:
    """Few set bits, so that prefixes meet."""
    bits = draw(st.sampled_from([32, 128]))
    ones = draw(st.lists(st.sampled_from([0, 1, 2, bits - 2, bits - 1]), max_size=4))
    return sum(1 << bit for bit in set(ones)).to_bytes(bits // 8)


@st.composite
def prefixes(draw: st.DrawFn) -> AllowedIP:
    address = draw(addresses())
    bits = len(address) * 8
    length = draw(st.sampled_from([0, 1, 2, 3, bits // 2, bits - 1, bits]))
    host_bits = bits - length
    return AllowedIP((int.from_bytes(address) >> host_bits << host_bits).to_bytes(bits // 8), length)


def contains(prefix: AllowedIP, address: bytes) -> bool:
    """By the standard library."""
    if len(prefix.address) != len(address):
        return False
    kind = IPv4Address if len(address) == 4 else IPv6Address
    return kind(address) in ip_network((kind(prefix.address), prefix.prefix_length))


class AllowedIPsMachine(RuleBasedStateMachine):
    """AllowedIPs beside a dictionary of prefixes, searched from end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.routes = AllowedIPs()
        self.model: dict[AllowedIP, int] = {}

    @rule(prefix=prefixes(), peer=PEERS)
    def insert(self, prefix: AllowedIP, peer: int) -> None:
        self.routes.insert(prefix, peer)
        self.model[prefix] = peer

    @rule(prefix=prefixes(), peer=PEERS)
    def remove(self, prefix: AllowedIP, peer: int) -> None:
        self.routes.remove(prefix, peer)
        if self.model.get(prefix) == peer:
            del self.model[prefix]

    @rule(peer=PEERS)
    def remove_peer(self, peer: int) -> None:
        self.routes.remove_peer(peer)
        self.model = {prefix: owner for prefix, owner in self.model.items() if owner != peer}

    @rule(address=addresses() | st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))
    def look_up(self, address: bytes) -> None:
        matches = [prefix for prefix in self.model if contains(prefix, address)]
        best = max(matches, key=lambda prefix: prefix.prefix_length, default=None)
        assert self.routes.lookup(address) == (None if best is None else self.model[best])

    @invariant()
    def none_is_lost(self) -> None:
        assert len(self.routes) == len(self.model)


TestAllowedIPs = AllowedIPsMachine.TestCase
