"""`wgpy mesh netcheck`: what the network of this host allows."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict

from wgpy.cli.changes import need_root
from wgpy.cli.colours import Colour, paint
from wgpy.cli.mesh import daemons, networks
from wgpy.cli.mesh.output import columns, listed, report
from wgpy.cli.mesh.status import mapping_text
from wgpy.node import agent_client as agent
from wgpy.node.network_check import NO_ANSWER, NetworkCheck, RelayCheck, RouterCheck

FILTERED = "lets nothing in that was not asked for"
_NO_UDP = 1  # exit status


def netcheck(arguments: Namespace) -> None:
    """Exit with status 1 if no relay answers by UDP. Raises CommandError and AgentError."""
    need_root("mesh netcheck")
    network = networks.selected(arguments)
    daemons.check_not_paused(network)
    found = agent.check_network(network)
    report(arguments, asdict(found), columns(_rows(found)))
    if found.relays and not _passes(found):
        sys.exit(_NO_UDP)


def _rows(found: NetworkCheck) -> Iterator[tuple[str, str]]:
    yield "UDP", _udp(found)
    yield from found.nats.items()
    if found.nat64:
        yield "NAT64", f"IPv4 is reached as addresses of {found.nat64}"
    if found.filtered:
        yield "firewall", FILTERED
    yield "router", router_text(found.router)
    yield "port mapping", mapping_text(found.router.mapping)
    yield "pinhole", mapping_text(found.pinhole)
    for relay in found.relays:
        yield f"relay {relay.name}", f"{relay.endpoint}, {_answer(relay)}"


def router_text(found: RouterCheck) -> str:
    """Return by which protocols the router maps ports."""
    if not found.address:
        return "none is asked"
    offered = [protocol for protocol, trouble in found.offers.items() if not trouble]
    told = {protocol: trouble for protocol, trouble in found.offers.items() if trouble not in ("", NO_ANSWER)}
    odd = (f"{protocol}: {trouble}" for protocol, trouble in told.items())
    return "; ".join([f"{found.address} offers {listed(offered, 'no port mapping')}", *odd])


def _udp(found: NetworkCheck) -> str:
    if not found.relays:
        return "not known, as the network has no other relay: `wgpy mesh relay add NODE` makes one"
    if _passes(found):
        return paint("passes", Colour.GOOD)
    if found.by_connection:
        return paint("does not pass: datagrams go by a TLS connection to the coordinator", Colour.NOTICE)
    return paint(f"does not pass{': ' if found.trouble else ''}{found.trouble}", Colour.BAD)


def _passes(found: NetworkCheck) -> bool:
    return any(relay.milliseconds is not None for relay in found.relays)


def _answer(relay: RelayCheck) -> str:
    no_answer = paint("no answer", Colour.BAD)
    return no_answer if relay.milliseconds is None else f"{relay.milliseconds:.1f} ms"
