"""Sites as a table for people."""

from collections.abc import Iterable
from ipaddress import ip_network

from wgpy.address import Prefix, overlap
from wgpy.cli.mesh.output import columns, listed
from wgpy.mesh.addressing import is_exit
from wgpy.mesh.sites import SiteExclusion
from wgpy.node.agent_client import Site
from wgpy.node.site_report import shown_prefixes


def table(sites: Iterable[Site]) -> str:
    """Return sites for people."""
    head = ("SITE", "PREFIXES", "REACHED AS", "GATEWAYS", "STATE")
    return columns([head, *map(_cells, sites)])


def _cells(found: Site) -> tuple[str, ...]:
    mapped = "the same" if found.mapped == found.real else shown_prefixes(found.mapped)
    if is_exit(found.real):
        mapped = "an exit"
    names = [gateway.name or str(gateway.identity) for gateway in found.gateways]
    return found.name, shown_prefixes(found.real), mapped, listed(names), state(found)


def state(found: Site) -> str:
    """Return whether a site is in force, or why not."""
    if found.exclusion == SiteExclusion.NO_RIGHT.value:
        return f"{found.exclusion}: `wgpy mesh approve {found.name}`"
    if found.exclusion:
        return f"not in force: {found.exclusion}"
    text = f"in force, by {found.used}" if found.used else "in force"
    return f"{text}; {_waiting(found)}" if found.waiting else text


def named(found: Site) -> str:
    """Return, below an answer, which names are asked of a site's own servers, and which wait; "" for none."""
    text = f"\nFor names at and below {listed(found.zones)} nodes ask {listed(found.servers)}."
    waiting = _waiting(found).capitalize()
    return (text if found.zones else "") + (f"\n{waiting}." if found.waiting else "")


def single(found: Site) -> str:
    """Return, below an answer, which prefixes are one address each; "" for none."""
    addresses = [prefix for prefix in found.real if prefix.prefixlen == prefix.max_prefixlen]
    if not addresses:
        return ""
    example = ip_network(
        (addresses[0].network_address, 24 if addresses[0].version == 4 else 64), strict=False
    )
    return f"\n{listed(addresses)} is one address: for a whole network name its prefix, such as {example}."


def _waiting(found: Site) -> str:
    words = "zone {} waits" if len(found.waiting) == 1 else "zones {} wait"
    return f"{words.format(listed(found.waiting))} for `wgpy mesh approve {found.name}`"


def in_vain(site: Site) -> str:
    """Return by whom and why a site is not in force, and what to do; "" if it is in force."""
    if not site.exclusion:
        return ""
    names = listed(gateway.name or gateway.identity for gateway in site.gateways)
    text = f"{site.name} is not in force by {names}: {site.exclusion}"
    if site.exclusion != SiteExclusion.OVERLAPS.value:
        return text
    real = " ".join(map(str, site.real))
    return f"{text}; `wgpy mesh site add {site.name} {real}` on {names} has it reached by other prefixes"


def return_routes(name: str, node: str, ranges: Iterable[Prefix]) -> str:
    """Return, below an answer, what hosts of a site need that see addresses of the mesh; "" for nothing."""
    lines = [f"\n  ip route add {prefix} via GATEWAY" for prefix in ranges]
    if not lines:
        return ""
    return (
        f"\nIts hosts, or their router, need a route back; GATEWAY is the address of {node} in their network:"
        + "".join(lines)
        + f"\nThose that are nodes themselves: `wgpy mesh site return {name} --via GATEWAY`."
    )


def unreached(found: Site, sites: Iterable[Site]) -> str:
    """Return, below an answer, which sites the hosts of a mapped one do not reach; "" for none."""
    return "".join(
        f"\nHosts of {found.name} do not reach {other.name}, which has their addresses. If they are to, "
        f"`wgpy mesh site remove {other.name}` on its gateways, and add it with `--mapped`."
        for other in sites
        if found.mapped != found.real and not other.exclusion and not is_exit(other.real)
        if any(overlap(own, prefix) for own in found.real for prefix in other.mapped)
    )
