"""The mesh's interface: up, with its MTU and its addresses. Pure; ip(8), ip-address(8)

Invariant: an address of the plan is this node's alone, so that is what marks it: one of these with another
prefix length is a left-over of ours, and any other address is somebody else's and stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any

from wgpy.contract.lazy_dataclass import dataclass
from wgpy.mesh.plan import LinkPlan

InterfaceAddress = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class FoundLink:
    """The interface as it is."""

    is_up: bool
    mtu: int
    addresses: frozenset[InterfaceAddress]


def read_link(answer: Sequence[Mapping[str, Any]]) -> FoundLink:
    """Read what `ip -json address show dev NAME` answers."""
    (link,) = answer
    addresses = (
        ip_interface(f"{found['local']}/{found['prefixlen']}")
        for found in link.get("addr_info", ())
        if "local" in found
    )
    return FoundLink("UP" in link["flags"], link["mtu"], frozenset(addresses))


def link_changes(found: FoundLink, plan: LinkPlan, interface: str) -> Iterator[str]:
    """Give lines for `ip`."""
    device = f"dev {interface}"
    if not found.is_up or found.mtu != plan.mtu:
        yield f"link set {device} mtu {plan.mtu} up"
    planned = {address.ip for address in plan.addresses}
    for address in found.addresses:
        if address.ip in planned and address not in plan.addresses:
            yield f"address delete {address} {device}"
    for address in plan.addresses:
        if address not in found.addresses:
            # Nobody else can have it: without detection of duplicates it can be used at once.
            # Its network's route is in our table, so the kernel's is not needed.
            yield f"address add {address} {device}{' nodad' if address.version == 6 else ''} noprefixroute"
