"""The direction of rules: which member may begin a flow to which, and the permits that a data path needs.

With `allow SOURCE DESTINATION`, SOURCE may begin, replies pass, and no other member may begin. Without any
rule every member may. Invariant: two members are peers exactly if one of them may begin to the other.
"""

from collections.abc import Iterator
from itertools import product
from operator import itemgetter
from typing import Final

from wgpy.contract.constants import MAX_PERMITS, MAX_RULES
from wgpy.contract.orders import AllowedIP, Permit
from wgpy.keys import PublicKey
from wgpy.mesh.records import Rule
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import Member, Topology
from wgpy.mesh.wire import GOSSIP_PORT

GOSSIP: Final = 0  # the number of the permit that every peer has: to compare state digests
OTHERS: Final = MAX_RULES - 1  # the number that all rules have for which none is left
_TCP: Final = 6  # IANA's number of the protocol


class Rules:
    """The rules of a topology, by their selectors, and their numbers.

    Numbers begin with 1, in the order in which this process first had each rule. A rule that is taken back
    and allowed again keeps its number, so a count of packets by number is always of one rule. From OTHERS on,
    all rules have that one number.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._rules = {
            (rule.source, rule.destination): (number, rule)
            for number, rule in zip(topology.rule_numbers, topology.rules, strict=True)
        }

    def between(self, source: Member, destination: Member) -> Rule | None:
        """Return the rule that lets a member begin to another, the first if there are several."""
        pairs = product(source.selectors, destination.selectors)
        found = [self._rules[pair] for pair in pairs if pair in self._rules]
        return min(found, key=itemgetter(0))[1] if found else None

    def allow(self, source: Member, destination: Member) -> bool:
        """Return whether a member may begin to another."""
        return not self._rules or self.between(source, destination) is not None

    def numbered(self) -> Iterator[tuple[str, str, int]]:
        """Give source, destination and number of each rule; the number is one that a permit may have."""
        for (source, destination), (number, _) in self._rules.items():
            yield source, destination, min(number, OTHERS)

    def texts(self) -> dict[int, str]:
        """Return the text of each number that a permit may have."""
        texts = {number: rule.text for number, rule in self._rules.values() if number < OTHERS}
        return {GOSSIP: "gossip", **texts, OTHERS: "others"}

    def permits(self, local: Member) -> dict[PublicKey, tuple[Permit, ...] | None]:
        """Return what each peer of a member may begin to it and to the routes behind it.

        None: everything, as there is no rule. A peer has at most MAX_PERMITS; its permits by rules differ in
        their number alone, so more of them would permit nothing more.
        """
        peers = self._topology.peers(local.identity)
        if not self._rules:
            return {peer.key: None for peer in peers}
        gossip, numbers = _gossip(local), self._numbers_to(local)
        permits: dict[tuple[int, ...], tuple[Permit, ...]] = {}  # the same for all that have the same
        return {
            peer.key: permits.setdefault(found, (gossip, *map(Permit, found)))
            for peer in peers
            for found in (_numbers_of(peer, numbers),)
        }

    def _numbers_to(self, local: Member) -> dict[str, set[int]]:
        """Return the numbers of the rules that have a member as destination, by their source."""
        found: dict[str, set[int]] = {}
        selectors = frozenset(local.selectors)
        for (source, destination), (number, _) in self._rules.items():
            if destination in selectors:
                found.setdefault(source, set()).add(min(number, OTHERS))
        return found


def lost(before: Topology, after: Topology) -> dict[VerifyKey, frozenset[VerifyKey]]:
    """Return to whom each member may begin before and not after, of two topologies with the same members."""
    found = (
        (
            member.identity,
            before.destinations(member) - after.destinations(after.member(member.identity) or member),
        )
        for member in before.members
    )
    return {identity: others for identity, others in found if others}


def _numbers_of(peer: Member, by_source: dict[str, set[int]]) -> tuple[int, ...]:
    found = set().union(*(by_source.get(selector, ()) for selector in peer.selectors))
    return tuple(sorted(found)[: MAX_PERMITS - 1])


def _gossip(local: Member) -> Permit:
    """Every peer may compare state digests, in whatever direction the rules are."""
    return Permit(GOSSIP, _TCP, AllowedIP(local.address6.packed, 128), GOSSIP_PORT, GOSSIP_PORT)
