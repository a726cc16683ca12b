"""From the sites of a node to what its interface translates, and to what its host is to pass on. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from itertools import islice
from socket import IPPROTO_TCP, IPPROTO_UDP
from typing import Any, Final

from wgpy.address import Prefix
from wgpy.contract.constants import MAX_CLOSED_PORTS
from wgpy.contract.orders import LocalPort, SetTranslations, Translation
from wgpy.host.masquerade import Masquerade
from wgpy.host.passages import Address, Mesh, OwnAddresses, own_addresses
from wgpy.mesh.addressing import NEVER_ANNOUNCED
from wgpy.mesh.plan import NodePlan
from wgpy.mesh.rules import allowed_ip
from wgpy.mesh.sites import Site

TCP: Final = IPPROTO_TCP
UDP: Final = IPPROTO_UDP


ClosedPort = tuple[int, int]  # protocol and port, of every address of this host


def translations(sites: Iterable[Site], own: OwnAddresses, ports: Collection[ClosedPort]) -> SetTranslations:
    """Return what the interface translates, and the ports of this host that are not reached in this way."""
    mapped = [pair for site in sites if site.is_mapped for pair in zip(site.mapped, site.real, strict=True)]
    return SetTranslations(
        tuple(Translation(allowed_ip(face), allowed_ip(real)) for face, real in mapped),
        tuple(islice(_closed((real for _, real in mapped), own, ports), MAX_CLOSED_PORTS)),
    )


def _closed(
    prefixes: Iterable[Prefix], own: OwnAddresses, ports: Collection[ClosedPort]
) -> Iterator[LocalPort]:
    """Give those of addresses that others can be neighbours of first, since there may be too many."""
    for prefix in prefixes:
        for address in own_addresses(prefix, own):
            for protocol, port in ports:
                yield LocalPort(address.packed, protocol, port)


def masquerade(plan: NodePlan, interface: str) -> Masquerade:
    """Return what comes from the mesh, and for what of it this host lends its address.

    A default route says nothing of where a packet comes from. An exit is no way to what no site may have, so
    neither to the metadata of this host's cloud. The others accept addresses of a site from the one gateway
    that they use, which may be another one.
    """
    view = plan.view
    own = [(site, site.gateway(view.identity)) for site in plan.own_sites] if view else []
    shared = [site for site, gateway in own if gateway and not gateway.is_routed and len(site.gateways) > 1]
    return Masquerade(
        interface,
        tuple(address.ip for address in plan.link.addresses),
        tuple(prefix for prefix in plan.routes if prefix.prefixlen),
        tuple(prefix for site, _ in own for prefix in site.real),
        tuple(prefix for site, gateway in own if gateway and not gateway.is_routed for prefix in site.real),
        tuple(NEVER_ANNOUNCED) if any(site.is_exit for site, _ in own) else (),
        tuple(prefix for site in shared if not site.is_exit for prefix in site.real),
    )


def prefixes_of(sites: Iterable[Site], names: Collection[str] | None = None) -> list[Prefix]:
    """Return the real prefixes of sites. names: of those that count, None for all."""
    return [prefix for site in sites if names is None or site.name in names for prefix in site.real]


def mesh_of(plan: NodePlan, interface: str) -> Mesh:
    """Return this host's end of the mesh, and another member of each version of IP, as there may be."""
    members: dict[int, Address] = {address.version: _other(address) for address in plan.link.addresses}
    return Mesh(interface, members)


def _other(own: IPv4Interface | IPv6Interface) -> Address:
    first: Address = own.network[1]
    return first if first != own.ip else own.network[2]


def read_own_addresses(links: Iterable[Mapping[str, Any]], interface: str) -> OwnAddresses:
    """Read what `ip -json address` answers. interface: the mesh's, whose addresses are not of a site."""
    return {
        link["ifname"]: tuple(
            ip_interface(f"{found['local']}/{found['prefixlen']}")
            for found in link.get("addr_info", ())
            if "local" in found
        )
        for link in links
        if link["ifname"] != interface
    }
