"""Which of the pod ranges that Kubernetes gives a node the node announces. Pure.

Invariant: what a node holds is never judged by what it wants: a range that another member holds stays that
member's, and what would lead the node's own way to the API server, or the mesh itself, elsewhere is refused.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from wgpy.address import Address, Prefix, overlap


@dataclass(frozen=True, slots=True)
class Holder:
    """Another member. routes: those that it has."""

    name: str
    routes: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """announced: what the node may have; claimed: what another member holds; refused: sentences."""

    announced: tuple[Prefix, ...] = ()
    claimed: tuple[Prefix, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a range is judged by.

    ranges: that no pod range may overlap, each with what it is; addresses: that none may contain, likewise;
    holders: the other members.
    """

    ranges: Mapping[Prefix, str]
    addresses: Mapping[Address, str]
    holders: Iterable[Holder]


def judge(wanted: Iterable[Prefix], constraints: Constraints) -> Judgement:
    """wanted: the pod ranges of the node's Node."""
    announced, claimed, refused = [], [], []
    for prefix in wanted:
        if trouble := next(_obstacles(prefix, constraints), ""):
            refused.append(trouble)
        elif holder := _holder(prefix, constraints.holders):
            other = next(route for route in holder.routes if overlap(route, prefix))
            claimed += [prefix] if other == prefix else []
            refused.append(_held(prefix, other, holder))
        else:
            announced.append(prefix)
    return Judgement(tuple(announced), tuple(claimed), tuple(refused))


def _obstacles(prefix: Prefix, constraints: Constraints) -> Iterator[str]:
    for other, what in constraints.ranges.items():
        if overlap(prefix, other):
            yield (
                f"the pod range {prefix} is not announced: it overlaps {other}, {what}; give the cluster "
                "another pod range (--cluster-cidr), or the network others (`wgpy mesh init`)"
            )
    for address, what in constraints.addresses.items():
        if address.version == prefix.version and address in prefix:
            yield (
                f"the pod range {prefix} is not announced: {address} is in it, {what}, which others would "
                "look for among the pods; give the cluster a pod range (--cluster-cidr) that no host is in"
            )


def _holder(prefix: Prefix, holders: Iterable[Holder]) -> Holder | None:
    return next((one for one in holders if any(overlap(route, prefix) for route in one.routes)), None)


def _held(prefix: Prefix, route: Prefix, holder: Holder) -> str:
    return (
        f"the pod range {prefix} is not announced: {holder.name} announces {route}; if {holder.name} is gone "
        f"for good, `wgpy mesh remove {holder.name}`, and else see which Node Kubernetes gives the range"
    )
