"""Forwarding between peers that cannot reach each other, by what WireGuard's own messages say. Pure.

An initiation's mac1 names its addressee: the end whose mac1 key fits. All other messages name theirs by its
`receiver_index`, which the addressee chose: the relay learns it from each initiation and response that it
forwards. No message is changed, so to both ends the relay is an ordinary endpoint of the other.

Invariant: what is forwarded came from the present endpoint of an end with a live session, and goes to that of
another one, one datagram out for one in. Of unknown sources nothing is kept, and each of their datagrams
costs one look-up. Every table has a maximum.
"""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2s
from hmac import compare_digest
from typing import Final, NamedTuple

from wgpy.contract.constants import (
    KEY_LENGTH,
    LABEL_MAC1,
    MAC_LENGTH,
    MAX_RELAYED_INDICES,
    MAX_RELAYED_PAIRS,
    MAX_UNANSWERED_INITIATIONS,
    RELAY_ANSWER_TIME,
    RELAY_BURST_TIME,
    RELAY_INDEX_LIFETIME,
    RELAY_REPLACE_TIME,
    RELAY_SEARCH_BURST_TIME,
    RELAY_SEARCHES_PER_SECOND,
    RELAY_SEARCHES_PER_SECOND_OF_ALL,
    SECOND,
)
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import PeerId, RelayCounts
from wgpy.contract.lazy_dataclass import dataclass, field
from wgpy.contract.messages import TYPE_INITIATION, TYPE_RESPONSE, message_type

_PAIRS_EXAMINED: Final = 16  # in search of one that can be replaced


class Forwarding(NamedTuple):
    """What is to be done with a datagram: send it there, as it is."""

    endpoint: Endpoint


class NoSession(NamedTuple):
    """An initiation is dropped, as this peer, whom it is for, has no session."""

    peer: PeerId


Outcome = Forwarding | NoSession | DropReason


class Mac1Key:
    """Of a public key. Whitepaper 5.4.4."""

    __slots__ = ("_key",)

    def __init__(self, public_key: bytes) -> None:
        self._key = blake2s(LABEL_MAC1 + public_key, digest_size=KEY_LENGTH).digest()

    def fits(self, message: bytes) -> bool:
        """message: a whole initiation or response."""
        expected = blake2s(message[: -2 * MAC_LENGTH], digest_size=MAC_LENGTH, key=self._key).digest()
        return compare_digest(expected, message[-2 * MAC_LENGTH : -MAC_LENGTH])


@dataclass(slots=True)
class Budget:
    """A token bucket, as the time at which what was taken is paid: boottime ns."""

    paid_at: int = 0

    def is_left(self, now: int, burst_time: int) -> bool:
        """Whether what is not paid yet is worth less than burst_time, in ns."""
        return self.paid_at - now < burst_time

    def take(self, amount: int, per_second: int, now: int) -> None:
        self.paid_at = max(self.paid_at, now) + amount * SECOND // per_second


@dataclass(slots=True, eq=False)
class _End:
    """A peer between which and others datagrams are forwarded.

    at: its endpoint without our address, None without a session.
    """

    peer: PeerId
    mac1_key: Mac1Key
    endpoint: Endpoint | None = None
    at: Endpoint | None = None
    live_until: int = 0
    searches: Budget = field(default_factory=Budget)

    def is_live(self, now: int) -> bool:
        return self.at is not None and now < self.live_until


@dataclass(slots=True, eq=False)
class _Index:
    """One by which `way.sender` addresses `way.receiver`, who chose it."""

    way: "_Way"
    value: int
    ends_at: int
    is_answered: bool = False


@dataclass(slots=True, eq=False)
class _Way:
    """One direction of a pair."""

    sender: _End
    receiver: _End
    bytes: Budget = field(default_factory=Budget)
    indices: list[_Index] = field(default_factory=list)


_Pair = tuple[_Way, _Way]


class Relay:
    """Of one interface. Forwards nothing before `set_rate`.

    is_own: whether an index names a session of the interface itself.
    """

    def __init__(self, is_own: Callable[[int], bool], *, max_pairs: int = MAX_RELAYED_PAIRS) -> None:
        self._is_own = is_own
        self._max_pairs = max_pairs
        self._rate = 0
        self._own_key: Mac1Key | None = None
        self._clear()

    def _clear(self) -> None:
        self._ends: OrderedDict[PeerId, _End] = OrderedDict()  # those that were addressed last, last
        self._by_endpoint: dict[Endpoint, list[_End]] = {}  # those that were seen there first, first
        self._ways: dict[tuple[PeerId, PeerId], _Way] = {}
        self._indices: dict[tuple[PeerId, int], _Index] = {}  # by sender
        self._pairs: list[_Pair] = []
        self._next_examined = 0
        self._searches = Budget()  # of all ends
        self._datagrams = self._bytes = 0

    # -- Orders ----------------------------------------------------------------------------------

    @property
    def is_enabled(self) -> bool:
        return self._rate > 0

    def set_rate(self, rate: int) -> None:
        """Bytes a second that each of two ends may send to the other; 0: forward nothing, and forget all."""
        self._rate = rate
        if not rate:
            self._clear()

    def set_own_key(self, public_key: bytes | None) -> None:
        """What has a valid mac1 for this key is the interface's own."""
        self._own_key = None if public_key is None else Mac1Key(public_key)

    def add_end(self, peer: PeerId, public_key: bytes) -> None:
        """Forward to and from this peer as soon as it is live."""
        if self.is_enabled and peer not in self._ends:
            self._ends[peer] = _End(peer, Mac1Key(public_key))

    def set_session(self, peer: PeerId, endpoint: Endpoint | None, live_until: int) -> None:
        """Where the peer is, and until when its session lasts, in boottime ns; 0: it has none."""
        end = self._ends.get(peer)
        if end is not None:
            former, end.live_until = end.at, live_until
            end.endpoint = endpoint
            end.at = endpoint.without_source() if endpoint and live_until else None
            if end.at != former:
                self._leave(end, former)
                self._enter(end)

    def remove_end(self, peer: PeerId) -> None:
        """Forget the peer and its pairs."""
        end = self._ends.pop(peer, None)
        if end is None:
            return
        self._leave(end, end.at)
        for pair in [pair for pair in self._pairs if end in (pair[0].sender, pair[0].receiver)]:
            self._remove_pair(pair)

    def counts(self) -> RelayCounts:
        return RelayCounts(self._datagrams, self._bytes)

    def _enter(self, end: _End) -> None:
        if end.at:
            self._by_endpoint.setdefault(end.at, []).append(end)

    def _leave(self, end: _End, at: Endpoint | None) -> None:
        if at:
            self._by_endpoint[at].remove(end)
            if not self._by_endpoint[at]:
                del self._by_endpoint[at]

    # -- Datagrams -------------------------------------------------------------------------------

    def receive(self, message: bytes, source: Endpoint, now: int) -> Outcome | None:
        """What to do with a message of a valid type and size; None: it is the interface's own, or nobody's.

        now: boottime ns. Transport data comes here only if its index is not the interface's own.
        """
        has_mac1 = message_type(message) in (TYPE_INITIATION, TYPE_RESPONSE)
        if has_mac1 and (self._own_key is None or self._own_key.fits(message)):
            return None
        there = self._by_endpoint.get(source.without_source(), [])
        senders = [end for end in there if end.is_live(now)]
        outcome = self._forward(senders, message, now) if senders else None
        return DropReason.INVALID_MAC1 if has_mac1 and outcome is None else outcome

    def _forward(self, senders: list[_End], message: bytes, now: int) -> Outcome | None:
        """senders: all that the source may be; whose index it is says which."""
        if message_type(message) == TYPE_INITIATION:
            return self._forward_initiation(senders[0], message, now)
        value = _receiver_index(message)
        index = next(filter(None, (self._index(sender, value, now) for sender in senders)), None)
        if index is None:
            return None
        if message_type(message) == TYPE_RESPONSE:
            return self._forward_response(index, message, now)
        return self._pass(index.way, message, now)

    def _forward_initiation(self, sender: _End, message: bytes, now: int) -> Outcome:
        receiver = self._addressee(sender, message, now)
        if isinstance(receiver, DropReason):
            return receiver
        if not receiver.is_live(now):
            return NoSession(receiver.peer)
        if not _reaches(sender, receiver, now):
            return DropReason.RELAY_NO_SESSION
        way = self._way(sender, receiver, now)
        if way is None:
            return DropReason.RELAY_FULL
        back = self._ways[receiver.peer, sender.peer]
        if not self._takes_initiation(back, now):
            return DropReason.RELAY_RATE_LIMITED
        refusal = self._learn(_Index(back, _sender_index(message), now + RELAY_ANSWER_TIME), now)
        return refusal or self._pass(way, message, now)

    def _forward_response(self, index: _Index, message: bytes, now: int) -> Forwarding | DropReason:
        way = index.way
        if not way.receiver.mac1_key.fits(message):
            return DropReason.INVALID_MAC1
        if not _reaches(way.sender, way.receiver, now):
            return DropReason.RELAY_NO_SESSION
        back = self._ways[way.receiver.peer, way.sender.peer]
        ends_at = now + RELAY_INDEX_LIFETIME
        refusal = self._learn(_Index(back, _sender_index(message), ends_at, is_answered=True), now)
        if refusal:
            return refusal
        index.ends_at, index.is_answered = ends_at, True
        return self._pass(way, message, now)

    def _pass(self, way: _Way, message: bytes, now: int) -> Forwarding | DropReason:
        endpoint = way.receiver.endpoint
        if endpoint is None or not _reaches(way.sender, way.receiver, now):
            return DropReason.RELAY_NO_SESSION
        if not way.bytes.is_left(now, RELAY_BURST_TIME):
            return DropReason.RELAY_RATE_LIMITED
        way.bytes.take(len(message), self._rate, now)
        self._datagrams += 1
        self._bytes += len(message)
        return Forwarding(endpoint)

    def _addressee(self, sender: _End, message: bytes, now: int) -> _End | DropReason:
        """Whose mac1 key fits: of those that were addressed last first. Each key tried is of the budgets."""
        budgets = sender.searches, self._searches
        if not all(budget.is_left(now, RELAY_SEARCH_BURST_TIME) for budget in budgets):
            return DropReason.RELAY_SEARCH_LIMITED
        found, tried = None, 0
        for end in reversed(self._ends.values()):
            tried += 1
            if end.mac1_key.fits(message):
                found = end
                break
        sender.searches.take(tried, RELAY_SEARCHES_PER_SECOND, now)
        self._searches.take(tried, RELAY_SEARCHES_PER_SECOND_OF_ALL, now)
        if found is None:
            return DropReason.RELAY_NO_ADDRESSEE
        self._ends.move_to_end(found.peer)
        return found

    # -- Pairs -----------------------------------------------------------------------------------

    def _way(self, sender: _End, receiver: _End, now: int) -> _Way | None:
        """The direction of their pair, which is made if there is room."""
        way = self._ways.get((sender.peer, receiver.peer))
        if way is None and self._has_room(now):
            way = _Way(sender, receiver)
            self._add_pair((way, _Way(receiver, sender)))
        return way

    def _has_room(self, now: int) -> bool:
        """Whether there may be another pair, in the place of one that has no session any more if need be."""
        if len(self._pairs) < self._max_pairs:
            return True
        for _ in range(min(_PAIRS_EXAMINED, len(self._pairs))):
            self._next_examined = (self._next_examined + 1) % len(self._pairs)
            pair = self._pairs[self._next_examined]
            if all(index.ends_at <= now for way in pair for index in way.indices):
                self._remove_pair(pair)
                return True
        return False

    def _add_pair(self, pair: _Pair) -> None:
        self._pairs.append(pair)
        for way in pair:
            self._ways[way.sender.peer, way.receiver.peer] = way

    def _remove_pair(self, pair: _Pair) -> None:
        self._pairs.remove(pair)
        for way in pair:
            del self._ways[way.sender.peer, way.receiver.peer]
            for index in list(way.indices):
                self._forget(index)

    # -- Indices ---------------------------------------------------------------------------------

    def _index(self, sender: _End, value: int, now: int) -> _Index | None:
        index = self._indices.get((sender.peer, value))
        return index if index and now < index.ends_at else None

    def _learn(self, index: _Index, now: int) -> DropReason | None:
        """From now on the way's sender may address its receiver by this index. Returns why not."""
        if self._is_own(index.value) or self._index(index.way.sender, index.value, now):
            return DropReason.RELAY_INDEX_IN_USE
        self._add_index(index)
        return None

    def _add_index(self, index: _Index) -> None:
        """In the place of the one that ends first, if there are enough. One of that value is over, if any."""
        former = self._indices.get((index.way.sender.peer, index.value))
        if former:
            self._forget(former)
        if len(index.way.indices) >= MAX_RELAYED_INDICES:
            self._forget(min(index.way.indices, key=lambda one: one.ends_at))
        index.way.indices.append(index)
        self._indices[index.way.sender.peer, index.value] = index

    def _takes_initiation(self, way: _Way, now: int) -> bool:
        """Whether the way's sender may have one more to answer.

        Of as many as there may be the oldest gives way once it has waited for RELAY_REPLACE_TIME.
        """
        unanswered = [index for index in way.indices if not index.is_answered and now < index.ends_at]
        if len(unanswered) < MAX_UNANSWERED_INITIATIONS:
            return True
        oldest = min(unanswered, key=lambda one: one.ends_at)
        if now + RELAY_ANSWER_TIME - RELAY_REPLACE_TIME < oldest.ends_at:
            return False
        self._forget(oldest)
        return True

    def _forget(self, index: _Index) -> None:
        index.way.indices.remove(index)
        del self._indices[index.way.sender.peer, index.value]


def _reaches(sender: _End, receiver: _End, now: int) -> bool:
    return receiver.is_live(now) and receiver.at != sender.at


def _sender_index(message: bytes) -> int:
    return int.from_bytes(message[4:8], "little")


def _receiver_index(message: bytes) -> int:
    at = 8 if message_type(message) == TYPE_RESPONSE else 4
    return int.from_bytes(message[at : at + 4], "little")
