"""`wgpy mesh site`: prefixes behind this node, which the other nodes reach by their own or by mapped ones."""

import asyncio
import time
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from wgpy.cli.changes import need_root
from wgpy.cli.documents import CoreDns, SiteAdded, SiteRemoved, SiteReturned, Sites
from wgpy.cli.errors import CommandError, UsageError
from wgpy.cli.mesh import daemons, networks
from wgpy.cli.mesh.administrator import administrator
from wgpy.cli.mesh.output import columns, listed, report
from wgpy.cli.mesh.site_table import named, return_routes, single, state, table, unreached
from wgpy.dns.zone import domain_of
from wgpy.mesh.records.sites import DEFAULT_PRIORITY, EITHER, MAPPED, REAL
from wgpy.mesh.sites import SiteExclusion
from wgpy.mesh.topology import derive
from wgpy.mesh.zones import is_local, zones_trouble
from wgpy.node import agent_client as agent
from wgpy.node.agent_client import Site, SiteAddition, SiteGateway, SiteReturn, Status
from wgpy.node.files import NodeFile
from wgpy.node.site_report import how_reached, report_sites, shown_prefixes


def site(arguments: Namespace) -> None:
    """Raises AgentError and CommandError."""
    if trouble := _trouble(arguments):
        raise UsageError(trouble)
    need_root("mesh site")
    changes = {
        "add": _add, "remove": _remove, "return": _return, "coredns": _coredns, "list": _list, "show": _show,
    }  # fmt: skip
    changes[arguments.change](arguments)


def _trouble(arguments: Namespace) -> str:
    """Return what is missing or too much, or ""."""
    change, name = arguments.change, arguments.name
    if change == "list":
        return "`wgpy mesh site list` takes no name" if name else ""
    if change == "return":
        return _trouble_of_return(arguments)
    if change == "coredns" and arguments.none:
        return "`wgpy mesh site coredns --none` takes nothing else" if name or arguments.prefixes else ""
    if name is None:
        return f"name the site, as in `wgpy mesh site {change} office`"
    if change != "add":
        return f"`wgpy mesh site {change}` takes a name alone" if arguments.prefixes else ""
    if arguments.kubernetes and arguments.prefixes:
        return "--kubernetes takes the prefixes from the cluster: leave them out"
    if not arguments.prefixes and not arguments.kubernetes:
        return f"name the prefixes of {name}, as in `wgpy mesh site add {name} 192.168.1.0/24`"
    if arguments.real and arguments.mapped:
        return "a site has one face at a time: give --real or --mapped"
    if arguments.kubernetes:
        return ""
    return zones_trouble(arguments.prefixes, arguments.dns or (), arguments.zone or ())


def _trouble_of_return(arguments: Namespace) -> str:
    via, name = arguments.via or (), arguments.name
    if arguments.none:
        return (
            "`wgpy mesh site return --none` takes nothing else" if via or name or arguments.prefixes else ""
        )
    if name is None or not via or arguments.prefixes:
        return (
            "name the site and its gateway, as in `wgpy mesh site return blue --via 192.168.7.1`; or --none"
        )
    if len({address.version for address in via}) < len(via):
        return "give --via once for each version of IP"
    return ""


def _add(arguments: Namespace) -> None:
    """Raises AgentError and CommandError."""
    network = networks.selected(arguments)
    daemons.check_not_paused(network)
    answer = agent.add_site(network, _addition(arguments))
    status = daemons.status(network)
    found = _own(status, arguments.name)
    document: SiteAdded = {
        "network": network,
        "reason": answer.reason,
        "back": list(map(str, answer.back)),
        "site": found,
    }
    text = _answer(status.name, found, answer.reason) + single(found)
    routes = return_routes(found.name, status.name, answer.back)
    report(arguments, document, text + named(found) + unreached(found, status.sites) + routes)


def _answer(node: str, found: Site, reason: str) -> str:
    """Return what came of an announcement."""
    text = f"{how_reached(found, reason)}."
    if found.exclusion == SiteExclusion.NO_RIGHT.value:
        allowed = f"`wgpy mesh approve {found.name}` allows it"
        return f"{node} may not announce {found.name} yet: {allowed}; then {text}"
    return f"{found.name} is announced, but not in force: {found.exclusion}." if found.exclusion else text


def _addition(arguments: Namespace) -> SiteAddition:
    face = REAL if arguments.real else MAPPED if arguments.mapped else EITHER
    priority = DEFAULT_PRIORITY if arguments.priority is None else arguments.priority
    return SiteAddition(
        arguments.name, tuple(arguments.prefixes), face, bool(arguments.routed), priority,
        bool(arguments.firewall), tuple(arguments.dns or ()), tuple(arguments.zone or ()), _kept(arguments),
        arguments.kubernetes,
    )  # fmt: skip


def _kept(arguments: Namespace) -> tuple[str, ...]:
    """Return the fields of an addition about which the command line says nothing."""
    given = {
        "is_routed": arguments.routed, "priority": arguments.priority, "firewall": arguments.firewall,
        "servers": arguments.dns, "zones": arguments.zone,
    }  # fmt: skip
    return tuple(name for name, value in given.items() if value is None)


def _own(status: Status, name: str) -> Site:
    """Raises CommandError."""
    for found in status.sites:
        if found.name == name and found.own:
            return found
    raise CommandError(f"{status.name} is no gateway of {name} any more: another command removed it")


def _remove(arguments: Namespace) -> None:
    """Raises AgentError and CommandError."""
    network, name = networks.selected(arguments), arguments.name
    daemons.check_not_paused(network)
    agent.remove_site(network, name)
    status = daemons.status(network)
    others = [
        gateway.name or str(gateway.identity)
        for found in status.sites
        if found.name == name and not found.exclusion
        for gateway in found.gateways
    ]
    text = f"{status.name} is no gateway of {name} any more"
    text += f"; {listed(others)} still is." if others else "."
    document: SiteRemoved = {"network": network, "removed": name, "gateways": others}
    report(arguments, document, text)


def _return(arguments: Namespace) -> None:
    """Raises AgentError and CommandError."""
    network, name, via = networks.selected(arguments), arguments.name or "", tuple(arguments.via or ())
    daemons.check_not_paused(network)
    agent.change_return(network, SiteReturn(name, via))
    text = f"With an address of {name} this host reaches the mesh by {listed(via)}."
    document: SiteReturned = {"network": network, "site": name, "gateways": list(map(str, via))}
    report(arguments, document, text if name else "This host has no return route as a host of a site.")


def _coredns(arguments: Namespace) -> None:
    """Raises AgentError and CommandError."""
    network = networks.selected(arguments)
    daemons.check_not_paused(network)
    answer = agent.change_coredns(network, "" if arguments.none else arguments.name)
    where = f"ConfigMap {answer.config_map} of kube-system"
    asked = f"{listed(answer.servers)} about {answer.domain}"
    text = f"Within two minutes the cluster's CoreDNS asks {asked} ({where})."
    if not answer.servers:
        text = f"The cluster's CoreDNS is told nothing of {answer.domain} any more ({where})."
    document: CoreDns = {"network": network, "coredns": answer}
    report(arguments, document, text)


# -- What there is --------------------------------------------------------------------------------


def _list(arguments: Namespace) -> None:
    found = _known(arguments)
    document: Sites = {"sites": found}
    report(arguments, document, table(found) if found else _NOTHING)


_NOTHING = (
    "No node that is known here is a gateway of a site; `sudo wgpy mesh site add NAME PREFIX…` on one makes "
    "it one. Without the network's key, a node knows the sites of those that rules join it with."
)


def _show(arguments: Namespace) -> None:
    """Raises CommandError."""
    known = _known(arguments)
    found = [one for one in known if one.name == arguments.name]
    if not found:
        names = listed(sorted({one.name for one in known}), "none")
        raise CommandError(f"no site {arguments.name} is known here; there are {names}")
    network = "" if arguments.key else networks.selected(arguments)
    node = networks.node_file(network) if network else None
    texts = (columns([*_about(one), *(_names(one, network, node) if node else ())]) for one in found)
    document: Sites = {"sites": found}
    report(arguments, document, "\n\n".join(texts))


def _about(found: Site) -> Iterator[tuple[str, str]]:
    yield "site", found.name
    yield "prefixes", shown_prefixes(found.real)
    if found.mapped != found.real:
        yield "reached as", shown_prefixes(found.mapped)
    for index, gateway in enumerate(found.gateways):
        yield "" if index else "gateways", _gateway(gateway)
    if found.zones:
        yield "zones", f"{listed(found.zones)}, by {listed(found.servers)}"
    yield "state", state(found)
    if found.own:
        yield "", "this node is a gateway of it"


def _names(found: Site, network: str, node: NodeFile) -> Iterator[tuple[str, str]]:
    """Give how names of a cluster are called in the mesh, and what has its CoreDNS know those of others."""
    if not (zone := next(filter(is_local, found.zones), "")):
        return
    yield "names", f"SERVICE.NAMESPACE.svc.{found.name}.{domain_of(network)}, for …svc.{zone}"
    if found.own:
        yield "for its CoreDNS", f"{domain_of(network)} {{ forward . {node.address} }}"
        yield "", f"`wgpy mesh site coredns {found.name}` writes it there"


def _gateway(gateway: SiteGateway) -> str:
    way = "the site has a route back" if gateway.is_routed else "with its own address as the source"
    return f"{gateway.name or gateway.identity}, priority {gateway.priority}, {way}"


def _known(arguments: Namespace) -> list[Site]:
    """Return all sites with the network's key, or else those that this node knows."""
    network = "" if arguments.key else networks.selected(arguments)
    node = networks.node_file(network) if network else None
    if node is None or networks.key_path(network).exists():
        used = _used(network) if node and daemons.runs(network) else {}
        return asyncio.run(_read(arguments, node.identity.verify_key() if node else None, used))
    return list(daemons.status(network).sites)


def _used(network: str) -> dict[str, str]:
    return {found.name: found.used for found in daemons.status(network).sites if not found.exclusion}


async def _read(arguments: Namespace, local: Any, used: dict[str, str]) -> list[Site]:
    """Raises CommandError."""
    async with administrator(arguments) as admin:
        return list(report_sites(derive(admin.ledger, int(time.time())), local, used))
