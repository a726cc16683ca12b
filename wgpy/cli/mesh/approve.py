"""`wgpy mesh approve`: routes, sites and their zones that a node may have beside what its token allows."""

import asyncio
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from wgpy.address import Prefix
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh.administrator import Administrator, administrator
from wgpy.cli.mesh.output import listed, report
from wgpy.cli.mesh.site_table import in_vain, named
from wgpy.cli.network_documents import ApprovedNode, ApprovedSites
from wgpy.mesh.addressing import grant_trouble
from wgpy.mesh.ledger import Judged, Verdict
from wgpy.mesh.records import AdminRecord, AnnouncedSite, Approval, Node, Sites, ZoneApproval
from wgpy.mesh.signing import SIGNATURE_LENGTH, Signed, VerifyKey
from wgpy.mesh.sites import SiteExclusion, lost_site
from wgpy.mesh.topology import Topology, derive
from wgpy.mesh.zones import unapproved
from wgpy.node.agent_client import Site
from wgpy.node.site_report import how_reached, report_sites


@dataclass(frozen=True, slots=True)
class _Request:
    """What a node is to have approved: all, and no other."""

    identity: VerifyKey
    routes: tuple[Prefix, ...]
    zones: tuple[str, ...]


def approve(arguments: Namespace) -> None:
    asyncio.run(_approve(arguments))


async def _approve(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        requests = _requests(admin, arguments)
        if requests:
            for request in requests:
                await _publish(admin, request)
            _report_site(arguments, admin.topology)
        else:
            node = _node(admin, arguments.name)
            request = _request(admin, node, arguments)
            await _publish(admin, request)
            _report_node(arguments, admin.topology, node, request)


def _node(admin: Administrator, name: str) -> Node:
    """Raises CommandError; for a name of nobody it says what waits."""
    if any(name in (node.name, str(node.signer)) for node in admin.ledger.nodes()):
        return admin.node(name)
    sites = {one.site.name for one in admin.topology.excluded_sites if one.reason is SiteExclusion.NO_RIGHT}
    sites |= {site.name for site in admin.topology.sites if site.waiting}
    nodes = {member.name or str(member.identity) for member in admin.topology.members if member.requested}
    raise CommandError(
        f"there is no node and no site {name}; the sites that wait are {listed(sorted(sites), 'none')}, the "
        f"nodes with routes that wait {listed(sorted(nodes), 'none')}"
    )


def _requests(admin: Administrator, arguments: Namespace) -> list[_Request]:
    """Return what is to be approved for whom if a site is meant. Raises CommandError.

    The name of a node comes first, and given prefixes are of a node.
    """
    name, topology = arguments.name, admin.topology
    if any(name in (node.name, str(node.signer)) for node in admin.ledger.nodes()):
        return []
    found = [one for one in topology.excluded_sites if one.site.name == name]
    waiting = [one for one in found if one.reason is SiteExclusion.NO_RIGHT]
    requests = [_beside(admin, one.identity, one.site.real, one.site.zones) for one in waiting]
    requests += _requests_of_zones(admin, name)
    if not found and not requests and (site := topology.site(name)):
        raise CommandError(
            f"{name} is in force already: {listed(site.mapped)} by {_gateways(topology, name)}"
        )
    if (requests or found) and (arguments.none or arguments.routes):
        raise CommandError(f"{name} is a site, which is approved as it is: name its node to change prefixes")
    if found and not requests:
        raise CommandError("; ".join(filter(None, map(in_vain, _of_name(topology, name)))))
    return requests


def _requests_of_zones(admin: Administrator, name: str) -> Iterator[_Request]:
    """Give what gateways of a site in force wait for."""
    site = admin.topology.site(name)
    for gateway in site.gateways if site else ():
        announced = [one for one in _announced(admin, gateway.identity) if one.name == name]
        request = _beside(admin, gateway.identity, (), _zones(announced))
        if request != _before(admin, gateway.identity):
            yield request


def _before(admin: Administrator, identity: VerifyKey) -> _Request:
    """Return what a node has approved already."""
    approval = admin.ledger.find(Approval, bytes(identity))
    zones = admin.ledger.find(ZoneApproval, bytes(identity))
    return _Request(identity, approval.routes if approval else (), zones.zones if zones else ())


def _beside(
    admin: Administrator, identity: VerifyKey, routes: Iterable[Prefix], zones: Iterable[str]
) -> _Request:
    """Return what a node has approved already, and these."""
    before = _before(admin, identity)
    all_zones = dict.fromkeys((*before.zones, *unapproved(zones, before.zones)))
    return _Request(identity, tuple(dict.fromkeys((*before.routes, *routes))), tuple(all_zones))


def _announced(admin: Administrator, identity: VerifyKey) -> tuple[AnnouncedSite, ...]:
    record = admin.ledger.find(Sites, bytes(identity))
    return record.sites if record else ()


def _zones(sites: Iterable[AnnouncedSite]) -> Iterator[str]:
    return chain.from_iterable(site.zones for site in sites)


def _request(admin: Administrator, node: Node, arguments: Namespace) -> _Request:
    """Return what to approve for a node. Raises CommandError."""
    if arguments.none:
        return _Request(node.signer, (), ())
    if arguments.routes:
        request = _Request(node.signer, tuple(arguments.routes), _before(admin, node.signer).zones)
    else:
        sites = _announced(admin, node.signer)
        routes = (*node.routes, *chain.from_iterable(site.real for site in sites))
        if not routes:
            raise CommandError(f"{node.name} announces no routes, so there is nothing to approve")
        request = _beside(admin, node.signer, routes, _zones(sites))
    if reason := next(filter(None, map(grant_trouble, request.routes)), ""):
        raise CommandError(reason)
    return request


async def _publish(admin: Administrator, request: _Request) -> None:
    """Raises CommandError, also where another site would be lost."""
    if lost := lost_site(admin.topology.sites, _after(admin, request).sites, request.identity):
        raise CommandError(
            f"the site {lost} would be lost, since what is to be approved was announced before it: have it "
            "removed and announced again, and approve it then"
        )
    for kind, fields in _changes(admin, request):
        await admin.publish(kind, **fields)


def _changes(
    admin: Administrator, request: _Request
) -> Iterator[tuple[Callable[..., AdminRecord], dict[str, Any]]]:
    """Give the records that it takes, each as its kind and its fields."""
    before = _before(admin, request.identity)
    if request.zones != before.zones:
        yield ZoneApproval, {"identity": request.identity, "zones": request.zones}
    if request.routes != before.routes:
        yield Approval, {"identity": request.identity, "routes": request.routes}


def _after(admin: Administrator, request: _Request) -> Topology:
    """Return the topology as the approval would make it."""
    key, now, ledger = admin.ledger.key, int(time.time()), admin.ledger.copy()
    first = ledger.state_digest().sequence + 1
    for sequence, (kind, fields) in enumerate(_changes(admin, request), first):
        try:
            trial = kind(network=ledger.network, signer=key, sequence=sequence, time=now, **fields)
        except ValueError as error:
            raise CommandError(str(error)) from None
        ledger.keep(Judged(Signed(b"", bytes(SIGNATURE_LENGTH)), trial, Verdict.NEW))
    return derive(ledger, now)


# -- What came of it ------------------------------------------------------------------------------


def _report_site(arguments: Namespace, topology: Topology) -> None:
    """Raises CommandError if approval alone did not bring the site into force."""
    found = _of_name(topology, arguments.name)
    _check_in_force(found)
    document: ApprovedSites = {"sites": list(found)}
    report(arguments, document, "\n".join(map(_sentence, found)))


def _check_in_force(sites: Iterable[Site]) -> None:
    """Raises CommandError."""
    if vain := list(filter(None, map(in_vain, sites))):
        raise CommandError(f"the approval is given, but {'; '.join(vain)}")


def _of_name(topology: Topology, name: str) -> list[Site]:
    return [site for site in report_sites(topology) if site.name == name]


def _report_node(arguments: Namespace, topology: Topology, node: Node, approved: _Request) -> None:
    member = topology.member(node.signer)
    used, waiting = (member.announced, member.requested) if member else ((), node.routes)
    sites = list(_sites_of(topology, node.signer))
    lines = [f"{node.name} may announce {listed(approved.routes, 'nothing but what its token allows')}."]
    if approved.zones:
        lines.append(f"Its sites may have the DNS zones {listed(approved.zones)}.")
    if used or not sites:
        lines.append(f"The nodes now route {listed(used, 'no prefix')} to {node.name}.")
    if waiting and not arguments.none:
        lines.append(
            f"They do not route {listed(waiting)} to it: not approved, or another node's, or overlapping the "
            "network's addresses."
        )
    document: ApprovedNode = {
        "node": node.name,
        "approved": list(map(str, approved.routes)),
        "zones": list(approved.zones),
        "routes": list(map(str, used)),
        "requested": list(map(str, waiting)),
        "sites": list(sites),
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
    text = in_vain(site) or f"{how_reached(site)} by {names}"
    return f"{text}.{'' if site.exclusion else named(site)}"


def _gateways(topology: Topology, name: str) -> str:
    found = next(site for site in report_sites(topology) if site.name == name)
    return listed(gateway.name or gateway.identity for gateway in found.gateways)
