"""Whatever arrives at a relay, both data paths forward, refuse and count the same."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datapath import relayed
from tests.datapath.kinds import DATA_PATHS, DataPathUnderTest, drop_counts
from tests.datapath.remote import NOW, SECOND, Remote
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AddPeer, AddRelayed, RemovePeer, SetEndpoint, SetRelay, UseKeypair

PEERS = tuple(relayed.HOMES)
SOURCES = (*relayed.HOMES.values(), Endpoint("203.0.113.9", 9))
INDICES = (*range(5), relayed.local_index(relayed.ALICE))


@dataclass(frozen=True)
class Give:
    source: Endpoint
    messages: list[bytes]


@dataclass(frozen=True)
class Wait:
    time: int


@dataclass(frozen=True)
class Move:
    peer: int
    endpoint: Endpoint


@dataclass(frozen=True)
class EndSession:
    peer: int


@dataclass(frozen=True)
class Renew:
    """The peer is removed, and comes again."""

    peer: int


@dataclass(frozen=True)
class Limit:
    """anew: all pairs are forgotten."""

    rate: int
    anew: bool


peers, indices = st.sampled_from(PEERS), st.sampled_from(INDICES)
keys = peers.map(relayed.public_key) | st.sampled_from([relayed.OWN_KEY, b"?" * 32])
messages = (
    st.builds(relayed.initiation, keys, indices)
    | st.builds(relayed.response, keys, indices, indices)
    | st.builds(relayed.cookie_reply, indices)
    | st.builds(relayed.data, indices, st.integers(0, 9), st.sampled_from([100, 64]) | st.integers(16, 1500))
)
steps = (
    st.builds(Give, st.sampled_from(SOURCES), st.lists(messages, min_size=1, max_size=8))
    | st.builds(Wait, st.integers(1, 30 * SECOND) | st.integers(1, SECOND // 50))
    | st.builds(Move, peers, st.sampled_from(SOURCES))
    | st.builds(EndSession, peers)
    | st.builds(Renew, peers)
    | st.builds(Limit, st.sampled_from([20_000, 10**9]), st.booleans())
)


@pytest.mark.skipif("native" not in DATA_PATHS, reason="the C data path is not built")
@pytest.mark.parametrize("kind", ["native", "native-offloads"])
@given(program=st.lists(steps, max_size=60))
@settings(deadline=None)
def test_both_data_paths_relay_the_same(kind: str, program: list[object]) -> None:
    sides = [_Side(relayed.relay(DATA_PATHS[one])) for one in ("portable", kind)]

    for step in program:
        if isinstance(step, Limit) and kind == "native-offloads":
            step = replace(step, rate=relayed.RATE)  # what is joined may exceed a rate by itself  # noqa: PLW2901
        portable, native = (side.take(step) for side in sides)
        assert portable == native, step


class _Side:
    def __init__(self, path: DataPathUnderTest) -> None:
        self.path = path
        self.now = NOW
        self.keypairs = 0

    def take(self, step: object) -> object:
        match step:
            case Give(source, given):
                relayed.give_from(self.path, source, *given, now=self.now)
            case Wait(time):
                self.now += time
            case Move(peer, endpoint):
                self.path.apply(SetEndpoint(peer, endpoint), self.now)
            case EndSession(peer):
                self.path.apply(UseKeypair(peer, None), self.now)
            case Renew(peer):
                self._renew(peer)
            case Limit(rate, anew):
                self._limit(rate, anew)
        return self._seen()

    def _renew(self, peer: int) -> None:
        self.path.apply(RemovePeer(peer), self.now)
        self.path.apply(AddPeer(peer), self.now)
        self._make_end(peer)
        self.path.apply(SetEndpoint(peer, relayed.HOMES[peer]), self.now)
        self.keypairs += 1
        index = 0x10000 + self.keypairs
        self.path.apply(
            Remote(index, index).keypair(peer, reject_after_time=self.now + 180 * SECOND), self.now
        )
        self.path.apply(UseKeypair(peer, index), self.now)

    def _limit(self, rate: int, anew: bool) -> None:
        if anew:
            self.path.apply(SetRelay(0), self.now)
        self.path.apply(SetRelay(rate), self.now)
        for peer in PEERS:
            self._make_end(peer)

    def _make_end(self, peer: int) -> None:
        self.path.apply(AddRelayed(peer, relayed.public_key(peer)), self.now)

    def _seen(self) -> object:
        handshakes = []
        while (message := self.path.next_handshake()) is not None:
            handshakes.append(message)
        return (
            sorted(relayed.forwarded(self.path)),
            sorted(handshakes),
            drop_counts(self.path),
            self.path.relay_counts(),
        )
