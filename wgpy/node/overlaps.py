"""Where what leads into a mesh meets the networks and routes of a host. Pure.

The kernel takes the longest prefix that contains a destination. So of two prefixes that overlap, the narrower
one takes the wider one's packets, and of two that are equal only one is used.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, Final

from wgpy.address import Address, Prefix
from wgpy.contract.lazy_dataclass import dataclass

_KERNEL: Final = "2"  # linux/rtnetlink.h: RTPROT_KERNEL, of the routes that come with addresses


def read_route_prefixes(answer: Iterable[Mapping[str, Any]], interface: str = "") -> dict[Prefix, str]:
    """Read what `ip -json -N route show` answers: prefixes, and by what they are routed.

    Default routes do not count, nor do those that come with addresses. interface: that of the mesh.
    """
    return {
        prefix: f"a route by {route['dev']}" if "dev" in route else "a route of this host"
        for route in answer
        if route["dst"] != "default"
        and route.get("dev", "") != interface
        and route.get("protocol") != _KERNEL
        and _counts(prefix := ip_network(route["dst"]))
    }


def read_gateways(answer: Iterable[Mapping[str, Any]]) -> Iterator[Address]:
    """Give the gateways of the default routes that `ip -json route show` answers."""
    for route in answer:
        if route["dst"] == "default":
            for hop in (route, *route.get("nexthops", ())):
                if found := hop.get("gateway") or hop.get("via", {}).get("host"):
                    yield ip_address(found)


def _counts(prefix: Prefix) -> bool:
    address = prefix.network_address
    return not (address.is_link_local or address.is_multicast or address.is_loopback)


@dataclass(frozen=True, slots=True)
class Overlap:
    """A prefix that leads into the mesh, and one of the host. text: a sentence, what cannot be reached."""

    mesh: Prefix
    host: Prefix
    text: str


def describe_overlaps(mesh: Mapping[Prefix, str], host: Mapping[Prefix, str]) -> list[Overlap]:
    """mesh: prefixes that lead into it, each with a description; host: networks and routes, likewise."""
    return [
        Overlap(one, other, _sentence(one, mesh[one], other, host[other]))
        for one, other in overlapping(mesh, host)
    ]


def _sentence(mesh: Prefix, of_mesh: str, host: Prefix, of_host: str) -> str:
    if mesh == host:
        return f"{mesh} is {of_mesh} and also {of_host}: from here only one of the two can be reached"
    if mesh.prefixlen < host.prefixlen:
        return f"{host}, {of_host}, is within {mesh}, {of_mesh}: no node can be reached at these addresses"
    return (
        f"{mesh}, {of_mesh}, is within {host}, {of_host}: of that, nothing can be reached at these addresses"
    )


def overlapping(ones: Iterable[Prefix], others: Iterable[Prefix]) -> Iterator[tuple[Prefix, Prefix]]:
    """Give the pairs that overlap, by one pass in order: what covers a prefix comes before it."""
    merged = [*((prefix, 0) for prefix in ones), *((prefix, 1) for prefix in others)]
    merged.sort(key=lambda entry: (entry[0].version, int(entry[0].network_address), entry[0].prefixlen))
    covering: list[tuple[Prefix, int]] = []
    for prefix, side in merged:
        while covering and not _covers(covering[-1][0], prefix):
            covering.pop()
        for other, other_side in covering:
            if other_side != side:
                yield (other, prefix) if side else (prefix, other)
        covering.append((prefix, side))


def _covers(wide: Prefix, narrow: Prefix) -> bool:
    return wide.version == narrow.version and wide.overlaps(narrow)


def loses(address: Address, ranges: Sequence[Prefix], host: Iterable[Prefix]) -> Prefix | None:
    """Return the range that would take the packets to an address of which this host needs the present way."""
    for mesh in ranges:
        if address in mesh and not any(address in own and own.prefixlen > mesh.prefixlen for own in host):
            return mesh
    return None
