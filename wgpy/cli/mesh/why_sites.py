"""What `wgpy mesh why` says of sites. Pure."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from wgpy.address import Address, Prefix, is_address
from wgpy.cli.mesh.output import listed
from wgpy.cli.mesh.site_table import state
from wgpy.datapath.translation import mapped_address
from wgpy.mesh.addressing import is_exit
from wgpy.mesh.rules import allowed_ip
from wgpy.node.agent_client import Site, Status
from wgpy.node.site_report import shown_prefixes

KIND: Final = "site:"  # of a selector


def named(status: Status, name: str) -> Site | None:
    """Return the site in force that has a name."""
    return next((site for site in status.sites if site.name == name and not site.exclusion), None)


def of_prefix(status: Status, prefix: Prefix) -> Site | None:
    """Return the site that the mesh routes a prefix for."""
    return next((site for site in status.sites if prefix in site.mapped and not site.exclusion), None)


def default_route(status: Status, address: Address) -> Prefix | None:
    """Return the one by which the exit in use takes an address."""
    return next((prefix for prefix in status.exit_routes if prefix.version == address.version), None)


def reached_as(site: Site, address: Address) -> Address | None:
    """Return what an address of a site, real or mapped, is in the mesh."""
    for real, mapped in zip(site.real, site.mapped, strict=True):
        if address in mapped:
            return address
        if address in real:
            return _counterpart(address, real, mapped)
    return None


def way(site: Site, gateway: str, address: Address, prefix: Prefix | None) -> str:
    """Return how a site is reached, or an address that is within a prefix that the mesh routes to it."""
    if prefix is None:
        mapped = f", reached as {shown_prefixes(site.mapped)}" if site.mapped != site.real else ""
        return f"{shown_prefixes(site.real)} behind {gateway}{mapped}"
    real = dict(zip(site.mapped, site.real, strict=True))[prefix]
    host = "" if real == prefix else f"{_counterpart(address, prefix, real) or 'no address'} of "
    return f"{host}{site.name}, behind {gateway}"


def destination(site: Site, address: Address, prefix: Prefix | None) -> str:
    """Return a site as a rule names it, or an address that is within a prefix that the mesh routes to it.

    Rules name an address of IPv6 of a mapped site as the mesh routes it.
    """
    if prefix is None:
        return f"site:{site.name}"
    if address.version == 6:
        return f"{site.name}/[{address}]"
    real = dict(zip(site.mapped, site.real, strict=True))[prefix]
    return f"{site.name}/{_counterpart(address, prefix, real) or address}"


def unreached(status: Status, name: str) -> tuple[str, str] | None:
    """Return why a site, or a real address of a mapped one, is not reached, and what to do."""
    for site in status.sites:
        if site.name == name.removeprefix(KIND):
            return _unreached_site(site, status.exit)
    if name == status.exit and not status.exit_routes:
        return _absent_exit(status)
    if is_address(name) and (missing := _left_out_of(status, ip_address(name))):
        return missing
    if is_address(name) and status.exit:
        why = f"the exit {status.exit} has it, and is not there for IPv{ip_address(name).version}"
        return why, "`wgpy mesh use --none` has this host use its own default route."
    if is_address(name) and (found := list(_mapped(status, ip_address(name)))):
        places = listed(f"{address} in {site.name}" for site, address in found)
        advice = f"`wgpy mesh why {found[0][1]}` tells more."
        return f"the mesh has no way to {name} itself, but it is reached as {places}", advice
    return None


def _absent_exit(status: Status) -> tuple[str, str]:
    return (
        f"this node's exit, which is not there: no node that is known here announces {status.exit}",
        "`wgpy mesh use --none` has this host use its own default route.",
    )


def left_out(status: Status, site: Site, address: Address | None = None) -> list[str]:
    """Return sentences: which prefixes of a site are not used here. address: that they have, None for any."""
    return [
        text
        for peer in status.peers
        if peer.name == site.used
        for prefix in site.mapped
        if prefix not in peer.routes and (address is None or address in prefix)
        for text in peer.left_out
        if text.startswith(f"{prefix} ")
    ]


def to_be_mapped(site: Site) -> str:
    """Return what has a site reached also where its own addresses are taken."""
    return (
        f"If this host is to reach {site.name}, `wgpy mesh site remove {site.name}` on its gateways, and add "
        "it with `--mapped`."
    )


def _left_out_of(status: Status, address: Address) -> tuple[str, str] | None:
    found = ((text, site) for site in status.sites for text in left_out(status, site, address))
    return next(((text, to_be_mapped(site)) for text, site in found), None)


def _unreached_site(site: Site, used_exit: str) -> tuple[str, str]:
    if site.exclusion:
        return state(site), f"`wgpy mesh site show {site.name}` shows it."
    if is_exit(site.real) and site.name != used_exit:
        return "an exit, which this node does not use", f"`wgpy mesh use {site.name}` has it used."
    names = listed(gateway.name or gateway.identity for gateway in site.gateways)
    return (
        f"no rule joins this node with a gateway of {site.name}",
        f"See `wgpy mesh allow --help`; the gateways: {names}.",
    )


def _mapped(status: Status, address: Address) -> Iterator[tuple[Site, Address]]:
    """Give the sites that have an address, and what it is in the mesh."""
    for site in status.sites:
        for real, mapped in zip(site.real, site.mapped, strict=True):
            is_within = real != mapped and not site.exclusion and address in real
            if is_within and (found := _counterpart(address, real, mapped)):
                yield site, found


def _counterpart(address: Address, before: Prefix, after: Prefix) -> Address | None:
    found = mapped_address(address.packed, allowed_ip(before), allowed_ip(after))
    return None if found is None else ip_address(found)
