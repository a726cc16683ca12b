"""The prefixes that a cluster uses, as far as its API tells them. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Final

from wgpy.address import Prefix

from .objects import NodeObject, ServiceRange

# No API tells the pod range of a cluster, only those of its Nodes. By default Kubernetes gives Nodes /24 of a
# /16, and /64 of a /56; where it is otherwise, the prefixes grow or are too wide, and never lack a pod.
_NODE_BITS: Final = 8
_WIDEST: Final = 8  # what no site may be wider than


def cluster_ranges(nodes: Iterable[NodeObject], services: Iterable[ServiceRange]) -> tuple[Prefix, ...]:
    """Return prefixes that hold all pods and services, none of which overlap; the same for the same Nodes.

    A Node more changes them only if it is in none of them, and a Node less if nothing else was there.
    """
    of_services = _collapsed(prefix for one in services for prefix in one.ranges)
    exact = [prefix for one in nodes for prefix in one.pod_ranges]
    wide = (prefix.supernet(min(_NODE_BITS, max(0, prefix.prefixlen - _WIDEST))) for prefix in exact)
    pods = _collapsed(wide)
    if _overlap(pods, of_services):
        pods = _collapsed(exact)
    return tuple(_collapsed([*pods, *of_services]) if _overlap(pods, of_services) else [*pods, *of_services])


def _overlap(some: Sequence[Prefix], others: Sequence[Prefix]) -> bool:
    """Return whether some and others do. Within each none do: so counting addresses tells, in a moment."""
    together = _collapsed([*some, *others])
    return sum(one.num_addresses for one in together) < sum(one.num_addresses for one in (*some, *others))


def _collapsed(prefixes: Iterable[Prefix]) -> list[Prefix]:
    families: dict[type, list[Prefix]] = defaultdict(list)
    for prefix in prefixes:
        families[type(prefix)].append(prefix)
    return [*_joined(families)]


def _joined(families: dict[type, list[Prefix]]) -> Iterator[Prefix]:
    yield from collapse_addresses(one for one in families[IPv4Network] if isinstance(one, IPv4Network))
    yield from collapse_addresses(one for one in families[IPv6Network] if isinstance(one, IPv6Network))
