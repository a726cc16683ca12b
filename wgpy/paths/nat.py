"""What the NAT of this host does, as far as answers from several nodes tell. The terms are those of RFC 4787.

Invariant: what is not proven is None; where an answer fits several kinds, the one counts by which fewer paths
are possible. Memory is bounded.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from ipaddress import ip_address
from itertools import combinations, islice, pairwise
from typing import Final, NamedTuple, TypeVar

from wgpy.address import is_private
from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.lazy_dataclass import dataclass

MAX_REMOTES: Final = 64  # of which it is known what they saw
MAX_CONTACTS: Final = 1024
MAX_STEP: Final = 8  # by which a NAT counts: it has other hosts, too
CONTACT_TIME: Final = 600 * SECOND  # after which no NAT admits what a host once contacted
UNANSWERED_TIME: Final = 30 * SECOND  # after which a NAT has forgotten what was not answered
EXPECTED: Final = 8  # ports that may be the one of a mapping: other hosts take some, too
_MAX_PORT: Final = 65535

_V = TypeVar("_V")


class Dependence(Enum):
    """Of what at the other end a mapping or a filter depends. RFC 4787, sections 4.1 and 5."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address- and port-dependent"

    def of(self, remote: Endpoint) -> tuple[str, int]:
        """What has one mapping, or one entry of the filter."""
        match self:
            case Dependence.ENDPOINT_INDEPENDENT:
                return "", 0
            case Dependence.ADDRESS_DEPENDENT:
                return remote.address, 0
            case Dependence.ADDRESS_AND_PORT_DEPENDENT:
                return remote.address, remote.port


class PortAssignment(Enum):
    """Which public port a new mapping gets."""

    PRESERVED = "preserved"  # the private one, while it is free towards that remote end; as Linux does
    COUNTING = "counting"  # one a little above the last one
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class NatBehaviour:
    """seen_as: how nodes saw this host, the newest last; none if no node has answered.

    is_translated: whether that is none of its own addresses; step: of COUNTING; filtering: by what came in
    unasked; lifetime: ns that a mapping lives at least without a datagram, 0 if unknown; last: the port that
    was taken last, if they are COUNTING.
    """

    seen_as: tuple[Endpoint, ...] = ()
    is_translated: bool | None = None
    mapping: Dependence | None = None
    ports: PortAssignment | None = None
    step: int = 0
    filtering: Dependence | None = None
    hairpin: bool | None = None
    lifetime: int = 0
    last: int = 0

    @property
    def is_symmetric(self) -> bool:
        """Whether each remote end sees another port, so that no node can tell it to another one."""
        return self.mapping not in (None, Dependence.ENDPOINT_INDEPENDENT)

    def predicted(self, count: int) -> tuple[Endpoint, ...]:
        """How the next nodes will see this host, if its NAT counts; the most likely first."""
        if self.ports is not PortAssignment.COUNTING:
            return ()
        address = self.seen_as[-1].address
        ports = (self.last + self.step * number for number in range(1, count + 1))
        return tuple(Endpoint(address, port) for port in ports if port <= _MAX_PORT)

    def words(self) -> str:
        """In one line, for people."""
        if not self.seen_as:
            return "unknown, as no node has answered"
        address = self.seen_as[-1].address
        if not self.is_translated:
            return f"no NAT: others see {address}, as this host does"
        return ", ".join([f"a NAT, {address}", *self._details()])

    def _details(self) -> Iterable[str]:
        match self.mapping:
            case None:
                yield "seen by one node only"
            case Dependence.ENDPOINT_INDEPENDENT:
                yield f"which shows port {self.seen_as[-1].port} to everybody"
            case _:
                yield f"which shows another port to each ({_PORT_WORDS[self.ports or PortAssignment.RANDOM]})"
        if self.filtering is Dependence.ENDPOINT_INDEPENDENT:
            yield "lets everybody in"
        if self.hairpin is not None:
            yield f"reaches itself {'too' if self.hairpin else 'not'}"
        if self.lifetime:
            yield f"forgets after {self.lifetime // SECOND} s or more"


_PORT_WORDS: Final = {
    PortAssignment.PRESERVED: "the host's own where it is free",
    PortAssignment.COUNTING: "it counts",
    PortAssignment.RANDOM: "random",
}


class _Contact(NamedTuple):
    """A remote end to which something was sent. number: of the mapping that took; when: sent last, ns."""

    number: int
    when: int


class _Seen(NamedTuple):
    """How a node saw this host. number: of the mapping that was, 0 if it is not known."""

    endpoint: Endpoint
    number: int


class NatObserver:
    """Of one host and one version of IP: take what becomes known in any order, and ask for the behaviour."""

    def __init__(self, version: int) -> None:
        """version: of IP, 4 or 6, by which the host leaves its network."""
        self._version = version
        self._seen: OrderedDict[Endpoint, _Seen] = OrderedDict()  # by who saw, the newest last
        self._contacted: OrderedDict[Endpoint, _Contact] = OrderedDict()
        self._mappings = 0  # that a symmetric NAT has made
        self._outdated = 0  # of these: the number of the last one of before it began anew
        self._filtering: Dependence | None = None
        self._hairpin: bool | None = None
        self._lifetime = 0

    def note_sent(self, remote: Endpoint, now: int) -> None:
        """Something was sent there, and out of the networks that this host is in.

        now: not before that of an earlier call.
        """
        self._forget_contacts(now)
        before = self._contacted.get(remote)
        is_forgotten = before and remote not in self._seen and now - before.when > UNANSWERED_TIME
        if before is None or is_forgotten:
            self._mappings += 1
        number = self._mappings if before is None or is_forgotten else before.number
        _keep(self._contacted, remote, _Contact(number, now), MAX_CONTACTS)

    def note_answer(self, remote: Endpoint, seen_as: Endpoint) -> None:
        """A node that was asked there saw this host so. One at a private address is not beyond the NAT.

        One that is itself behind a NAT64 saw it by the other version of IP, in a prefix of its own.
        """
        seen_version = 6 if seen_as.is_ipv6 else 4
        if is_private(ip_address(remote.address)) or seen_version != self._version:
            return
        before, contact = self._seen.get(remote), self._contacted.get(remote)
        if before and before.endpoint == seen_as:
            return
        if before:
            self._seen.clear()  # another NAT, or one that forgot: what others saw is of before
            self._outdated = self._mappings
        number = contact.number if contact and contact.number > self._outdated else 0
        _keep(self._seen, remote, _Seen(seen_as, number), MAX_REMOTES)

    def note_heard(self, remote: Endpoint, now: int) -> None:
        """An authentic datagram came from there, perhaps without having been asked for."""
        if is_private(ip_address(remote.address)):
            return
        self._forget_contacts(now)
        if remote in self._contacted or len(self._contacted) >= MAX_CONTACTS:
            return
        if remote.address not in {one.address for one in self._contacted}:
            self._filtering = Dependence.ENDPOINT_INDEPENDENT
        elif self._filtering is None:
            self._filtering = Dependence.ADDRESS_DEPENDENT

    def _forget_contacts(self, now: int) -> None:
        while self._contacted and now - next(iter(self._contacted.values())).when >= CONTACT_TIME:
            self._contacted.popitem(last=False)

    def note_hairpin(self, works: bool) -> None:
        """Whether this host's question to its own outer address came back."""
        self._hairpin = works

    def note_lifetime(self, silence: int) -> None:
        """Something from outside came in after a silence of so many ns."""
        self._lifetime = max(self._lifetime, silence)

    def behaviour(self, own: Iterable[str], port: int) -> NatBehaviour:
        """What is known now. own: the host's addresses; port: of its socket."""
        by_remote = {remote: seen.endpoint for remote, seen in self._seen.items()}
        seen = tuple(by_remote.values())
        if not seen:
            return NatBehaviour()
        is_translated = seen[-1].address not in set(own)
        mapping = _mapping(by_remote)
        ports, step = _ports(seen, port, mapping, self._numbered(), self._mappings)
        last = self._last(step) if ports is PortAssignment.COUNTING else 0
        return NatBehaviour(
            seen, is_translated, mapping, ports, step, self._filtering, self._hairpin, self._lifetime, last
        )

    def _numbered(self) -> dict[int, int]:
        """The ports that were seen, by the number of their mapping."""
        return {seen.number: seen.endpoint.port for seen in self._seen.values() if seen.number}

    def _last(self, step: int) -> int:
        """The port that was taken last, also by what nobody has answered."""
        last = max(seen.endpoint.port for seen in self._seen.values())
        newest = max(_in_order(self._numbered()).items(), default=None)
        return max(last, newest[1] + step * (self._mappings - newest[0])) if newest else last

    def expected(self, remotes: Iterable[Endpoint], behaviour: NatBehaviour) -> Iterator[Endpoint]:
        """How these remote ends see this host, if its NAT counts: EXPECTED ports for those that were asked.

        The most likely are first. behaviour: of now.
        """
        numbered = _in_order(self._numbered()) if behaviour.ports is PortAssignment.COUNTING else {}
        numbers = [
            self._contacted[remote].number
            for remote in remotes
            if numbered and remote in self._contacted and remote not in self._seen
        ]
        for number in numbers:
            ports = self._ports_near(_between(number, numbered, behaviour.step), behaviour.step)
            for port in islice(ports, max(EXPECTED // len(numbers), 1)):
                yield Endpoint(behaviour.seen_as[-1].address, port)

    def _ports_near(self, middle: int, step: int) -> Iterator[int]:
        """Yield the ports around one that nobody has seen, the nearest first."""
        used = {seen.endpoint.port for seen in self._seen.values()}
        distances = (sign * distance * step for distance in range(MAX_CONTACTS) for sign in (1, -1))
        for port in dict.fromkeys(middle + distance for distance in distances):
            if 0 < port <= _MAX_PORT and port not in used:
                yield port


def _mapping(seen: Mapping[Endpoint, Endpoint]) -> Dependence | None:
    """One node's answer proves nothing; two nodes' that agree prove that the mapping is one for all."""
    if len(seen) < 2:
        return None
    if len(set(seen.values())) == 1:
        addresses = {remote.address for remote in seen}
        return Dependence.ENDPOINT_INDEPENDENT if len(addresses) > 1 else None
    of_one_address = [(one, other) for one, other in combinations(seen, 2) if one.address == other.address]
    if of_one_address and all(seen[one] == seen[other] for one, other in of_one_address):
        return Dependence.ADDRESS_DEPENDENT
    return Dependence.ADDRESS_AND_PORT_DEPENDENT


def _ports(
    seen: tuple[Endpoint, ...], port: int, mapping: Dependence | None,
    numbered: Mapping[int, int], made: int,
) -> tuple[PortAssignment | None, int]:  # fmt: skip
    """How ports are chosen, and the step.

    numbered: ports by the number of their mapping; where that is not known of two, they are in order.
    made: how many mappings there are.
    """
    if all(one.port == port for one in seen):
        return PortAssignment.PRESERVED, 0
    if mapping in (None, Dependence.ENDPOINT_INDEPENDENT):
        return None, 0
    if len(numbered) < 2:
        numbered = dict(enumerate(sorted({one.port for one in seen}), 1))
        made = len(numbered)
    in_order = _in_order(numbered)
    pairs = [
        (after - before, in_order[after] - in_order[before]) for before, after in pairwise(sorted(in_order))
    ]
    span = max(numbered.values()) - min(numbered.values())
    counts = 0 < span <= MAX_STEP * (made - min(numbered))
    counts = counts and all(taken <= MAX_STEP * mappings for mappings, taken in pairs)
    most = min((taken // mappings for mappings, taken in pairs), default=1)
    step = next((step for step in range(most, 1, -1) if all(taken % step == 0 for _, taken in pairs)), 1)
    return (PortAssignment.COUNTING, step) if counts else (PortAssignment.RANDOM, 0)


def _between(number: int, numbered: Mapping[int, int], step: int) -> int:
    """Return the port of a mapping by its number: that of others tell how many ports each took.

    Fewer than it seemed if something was not translated, more if other hosts took some.
    """
    below = max((other for other in numbered if other <= number), default=None)
    above = min((other for other in numbered if other >= number), default=None)
    if below is None or above is None:
        near = below if above is None else above
        return numbered[near] + step * (number - near) if near is not None else 0
    steps = (numbered[above] - numbered[below]) // step
    return numbered[below] + step * (steps * (number - below) // max(above - below, 1))


def _in_order(numbered: Mapping[int, int]) -> dict[int, int]:
    """Return the ports, by number, that are below those of all later mappings.

    A port above those belongs to a mapping that was made later than it seemed: what was sent first was lost
    on its way to the NAT.
    """
    kept: dict[int, int] = {}
    for number in sorted(numbered, reverse=True):
        if numbered[number] < min(kept.values(), default=_MAX_PORT + 1):
            kept[number] = numbered[number]
    return kept


def _keep(kept: OrderedDict[Endpoint, _V], key: Endpoint, value: _V, maximum: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > maximum:
        kept.popitem(last=False)
