"""The forms in which `wgpy mesh why` takes what is meant: those of rules, and the network's names. Pure."""

from ipaddress import ip_address
from typing import Final

from wgpy.address import Address, is_address
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import why_sites
from wgpy.dns.addresses import read_dashed
from wgpy.node.agent_client import Site, Status
from wgpy.node.site_report import shown_prefixes

_PLAIN: Final = ("node:", "client:")  # kinds of selectors whose names are taken as they are


def meant(status: Status, text: str) -> str:
    """Return a name, an identity, an address or site:NAME for any form; what is none of them as it is.

    Raises CommandError for a host of a site that has no such address, or that this node is a gateway of.
    """
    for kind in _PLAIN:
        text = text.removeprefix(kind)
    name, _, host = text.partition("/")
    if host and (site := why_sites.named(status, name.removeprefix(why_sites.KIND))):
        address = host.strip("[]")
        return _host(site, ip_address(address)) if is_address(address) else text
    return _in_domain(status, text)


def _in_domain(status: Status, text: str) -> str:
    """Return what a name of the network's domain stands for."""
    name = text.lower().rstrip(".")
    below = name.removesuffix(f".{status.domain}")
    host, _, label = below.rpartition(".")
    if below == name or not label:
        return text
    address, site = read_dashed(host.encode()), why_sites.named(status, label)
    return _host(site, address) if address and site else below


def _host(site: Site, address: Address) -> str:
    """Return the address by which this node reaches one of a site. Raises CommandError."""
    if site.own:
        raise CommandError(f"this node is a gateway of {site.name}, and reaches {address} by its own routes")
    if not site.used:
        return f"{why_sites.KIND}{site.name}"
    found = why_sites.reached_as(site, address)
    if found is None:
        raise CommandError(f"{address} is no address of {site.name}, which has {shown_prefixes(site.real)}")
    return str(found)
