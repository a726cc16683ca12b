"""`wgpy mesh approve`: what a node may announce beside what its token allows, routes and sites alike."""

import asyncio
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator

from wgpy.address import Prefix
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh.administrator import Administrator, administrator
from wgpy.cli.mesh.output import listed, report
from wgpy.cli.mesh.site_table import in_vain
from wgpy.mesh import codec
from wgpy.mesh.addressing import grant_trouble
from wgpy.mesh.ledger import Judged, Verdict
from wgpy.mesh.records import Approval, Node, Sites
from wgpy.mesh.signing import SIGNATURE_LENGTH, Signed, VerifyKey
from wgpy.mesh.sites import SiteExclusion, lost_site
from wgpy.mesh.topology import Topology, derive
from wgpy.node.agent_client import Site
from wgpy.node.site_report import how_reached, report_sites


def approve(arguments: Namespace) -> None:
    asyncio.run(_approve(arguments))


async def _approve(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        requests = _requests(admin, arguments)
        if requests:
            for identity, routes in requests:
                await _publish(admin, identity, routes)
            _report_site(arguments, admin.topology)
        else:
            node = admin.node(arguments.name)
            routes = _routes(admin, node, arguments)
            await _publish(admin, node.signer, routes)
            _report_node(arguments, admin.topology, node, routes)


def _requests(admin: Administrator, arguments: Namespace) -> list[tuple[VerifyKey, tuple[Prefix, ...]]]:
    """Return what is to be approved for whom if a site is meant. Raises CommandError.

    The name of a node comes first, and given prefixes are of a node.
    """
    name, topology = arguments.name, admin.topology
    if any(name in (node.name, str(node.signer)) for node in admin.ledger.nodes()):
        return []
    found = [one for one in topology.excluded_sites if one.site.name == name]
    waiting = [one for one in found if one.reason is SiteExclusion.NO_RIGHT]
    if not found and (site := topology.site(name)):
        raise CommandError(
            f"{name} is in force already: {listed(site.mapped)} by {_gateways(topology, name)}"
        )
    if (waiting or found) and (arguments.none or arguments.routes):
        raise CommandError(f"{name} is a site, which is approved as it is: name its node to change prefixes")
    if found and not waiting:
        raise CommandError("; ".join(filter(None, map(in_vain, _of_name(topology, name)))))
    return [(one.identity, _with(admin, one.identity, one.site.real)) for one in waiting]


def _with(admin: Administrator, identity: VerifyKey, prefixes: tuple[Prefix, ...]) -> tuple[Prefix, ...]:
    """Return what a node may announce already, and these."""
    approval = admin.ledger.find(Approval, bytes(identity))
    return tuple(dict.fromkeys((*(approval.routes if approval else ()), *prefixes)))


def _routes(admin: Administrator, node: Node, arguments: Namespace) -> tuple[Prefix, ...]:
    """Return the prefixes to approve for a node. Raises CommandError."""
    if arguments.none:
        return ()
    announced = admin.ledger.find(Sites, bytes(node.signer))
    sites = (prefix for site in (announced.sites if announced else ()) for prefix in site.real)
    routes = tuple(arguments.routes) or tuple(dict.fromkeys((*node.routes, *sites)))
    if not routes:
        raise CommandError(f"{node.name} announces no routes, so there is nothing to approve")
    if reason := next(filter(None, map(grant_trouble, routes)), ""):
        raise CommandError(reason)
    return routes


async def _publish(admin: Administrator, identity: VerifyKey, routes: tuple[Prefix, ...]) -> None:
    """Raises CommandError, also where another site would be lost."""
    if lost := lost_site(admin.topology.sites, _after(admin, identity, routes).sites, identity):
        raise CommandError(
            f"the site {lost} would be lost, since what is to be approved was announced before it: have it "
            "removed and announced again, and approve it then"
        )
    await admin.publish(Approval, identity=identity, routes=routes)


def _after(admin: Administrator, identity: VerifyKey, routes: tuple[Prefix, ...]) -> Topology:
    """Return the topology as the approval would make it."""
    key, now, ledger = admin.ledger.key, int(time.time()), admin.ledger.copy()
    sequence = ledger.state_digest().sequence + 1
    try:
        trial = Approval(
            network=ledger.network, signer=key, sequence=sequence, time=now, identity=identity, routes=routes
        )
    except ValueError as error:
        raise CommandError(str(error)) from None
    ledger.keep(Judged(Signed(b"", bytes(SIGNATURE_LENGTH)), trial, Verdict.NEW))
    return derive(ledger, now)


# -- What came of it ------------------------------------------------------------------------------


def _report_site(arguments: Namespace, topology: Topology) -> None:
    """Raises CommandError if approval alone did not bring the site into force."""
    found = _of_name(topology, arguments.name)
    _check_in_force(found)
    report(arguments, {"sites": list(map(codec.write, found))}, "\n".join(map(_sentence, found)))


def _check_in_force(sites: Iterable[Site]) -> None:
    """Raises CommandError."""
    if vain := list(filter(None, map(in_vain, sites))):
        raise CommandError(f"the approval is given, but {'; '.join(vain)}")


def _of_name(topology: Topology, name: str) -> list[Site]:
    return [site for site in report_sites(topology) if site.name == name]


def _report_node(arguments: Namespace, topology: Topology, node: Node, routes: tuple[Prefix, ...]) -> None:
    member = topology.member(node.signer)
    used, waiting = (member.announced, member.requested) if member else ((), node.routes)
    sites = list(_sites_of(topology, node.signer))
    lines = [f"{node.name} may announce {listed(routes, 'nothing but what its token allows')}."]
    if used or not sites:
        lines.append(f"The nodes now route {listed(used, 'no prefix')} to {node.name}.")
    if waiting and not arguments.none:
        lines.append(
            f"They do not route {listed(waiting)} to it: not approved, or another node's, or overlapping the "
            "network's addresses."
        )
    document = {
        "node": node.name,
        "approved": list(map(str, routes)),
        "routes": list(map(str, used)),
        "requested": list(map(str, waiting)),
        "sites": list(map(codec.write, sites)),
    }
    if not arguments.none and not arguments.routes:
        _check_in_force(sites)
    report(arguments, document, "\n".join([*lines, *map(_sentence, sites)]))


def _sites_of(topology: Topology, identity: VerifyKey) -> Iterator[Site]:
    for site in report_sites(topology):
        if any(gateway.identity == identity for gateway in site.gateways):
            yield site


def _sentence(site: Site) -> str:
    names = listed(gateway.name or gateway.identity for gateway in site.gateways)
    return f"{in_vain(site) or f'{how_reached(site)} by {names}'}."


def _gateways(topology: Topology, name: str) -> str:
    found = next(site for site in report_sites(topology) if site.name == name)
    return listed(gateway.name or gateway.identity for gateway in found.gateways)
