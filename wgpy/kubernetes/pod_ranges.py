"""Which of the pod ranges that Kubernetes gives a node the node announces. Pure.

Invariant: a range that another member holds stays that member's, and what would lead the node's own way to
the API server, or the mesh itself, elsewhere is refused. Of the very same range of a member that was admitted
earlier a node stands by: so if Kubernetes gives it that of a dead host, nobody has to remove that one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from wgpy.address import Address, Prefix, overlap


@dataclass(frozen=True, slots=True)
class Holder:
    """Another member. routes: those that it has; is_senior: whether it was admitted before the node."""

    name: str
    routes: tuple[Prefix, ...]
    is_senior: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """announced: what the node has, or stands by for; sentences: why not more, and for whom."""

    announced: tuple[Prefix, ...] = ()
    sentences: tuple[str, ...] = ()


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
    announced, sentences = [], []
    for prefix in wanted:
        if trouble := next(_obstacles(prefix, constraints), ""):
            sentences.append(trouble)
        elif holder := _holder(prefix, constraints.holders):
            stands_by = holder.is_senior and prefix in holder.routes
            announced += [prefix] if stands_by else []
            sentences.append(_held(prefix, holder, stands_by=stands_by))
        else:
            announced.append(prefix)
    return Judgement(tuple(announced), tuple(sentences))


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


def _held(prefix: Prefix, holder: Holder, *, stands_by: bool) -> str:
    route = next(route for route in holder.routes if overlap(route, prefix))
    what = "leads to this node only while that one does not answer" if stands_by else "is not announced"
    return (
        f"the pod range {prefix} {what}: {holder.name} announces {route}; if {holder.name} is gone for good, "
        f"`wgpy mesh remove {holder.name}`, and else see which Node Kubernetes gives the range"
    )
