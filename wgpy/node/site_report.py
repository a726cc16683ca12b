"""Sites as they are shown to people and programs. `wgpy.node.agent_client` documents each field. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from wgpy.address import Prefix
from wgpy.mesh.addressing import is_exit
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import Gateway
from wgpy.mesh.topology import Topology
from wgpy.node.agent_client import Peer, Site, SiteGateway

FRESH: Final = 180  # seconds: an older session carries nothing. Whitepaper 6.1
SILENCE: Final = 15  # seconds without an answer, after which WireGuard begins a handshake. Whitepaper 6.5


def report_sites(
    topology: Topology, local: VerifyKey | None = None, used: Mapping[str, str] | None = None
) -> Iterator[Site]:
    """Give the sites in force, and then what is announced in vain.

    local: the identity of this node, if there is one; used: the name of the gateway by which it reaches each.
    """
    for site in topology.sites:
        gateways = tuple(_gateways(topology, site.gateways))
        by, own = (used or {}).get(site.name, ""), local is not None and site.gateway(local) is not None
        yield Site(
            site.name, site.real, site.mapped, gateways, by, own, "", site.servers, site.zones, site.waiting
        )  # fmt: skip
    for vain in topology.excluded_sites:
        one, own = vain.site, vain.identity == local
        gateways = tuple(_gateways(topology, [Gateway(vain.identity, one.priority, one.is_routed)]))
        why = vain.reason.value
        yield Site(one.name, one.real, one.mapped, gateways, "", own, why, one.servers, one.zones)


def _gateways(topology: Topology, gateways: Iterable[Gateway]) -> Iterator[SiteGateway]:
    for gateway in gateways:
        member = topology.member(gateway.identity)
        name = member.name if member else ""
        yield SiteGateway(name, gateway.identity, gateway.priority, gateway.is_routed)


def silent_gateways(sites: Iterable[Site], peers: Iterable[Peer], exit_name: str) -> Iterator[str]:
    """Give a sentence for each site whose gateway does not answer what this node sends to it.

    exit_name: of the exit of the node itself; another one is that of clients.
    """
    silent = {peer.name: peer.unanswered for peer in peers if peer.name and peer.unanswered > SILENCE}
    for site in sites:
        if site.used in silent:
            why = f"{site.used}, its gateway, has not answered for {silent[site.used]} seconds"
            if not is_exit(site.real):
                yield f"{site.name} is not reached: {why}"
            elif site.name == exit_name:
                yield _exit_is_away(site, why)
            else:
                yield f"clients that enter here do not reach the exit {site.name}: {why}"


def _exit_is_away(site: Site, why: str) -> str:
    return (
        f"the exit {site.name} is not reached ({why}), so this host reaches its own networks and the mesh "
        "alone: `wgpy mesh use --none` has it use its own default route"
    )


def shown_prefixes(prefixes: Iterable[Prefix]) -> str:
    return ", ".join(map(str, prefixes))


def how_reached(site: Site, reason: str = "") -> str:
    """Return one sentence without its full stop: as what a site is reached, and why. reason: "" for none."""
    if is_exit(site.real):
        return f"{site.name} is an exit: nodes send by it after `wgpy mesh use {site.name}`"
    name = site.name if site.mapped == site.real else f"{site.name} ({shown_prefixes(site.real)})"
    because = f", because {reason}" if reason else ""
    return f"{name if len(site.real) > 1 else site.name} is reached as {shown_prefixes(site.mapped)}{because}"
