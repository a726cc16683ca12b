"""`wgpy mesh ping --all-paths`: each path to a node, measured beside the others."""

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from wgpy.cli import documents
from wgpy.cli.colours import Colour, paint
from wgpy.cli.mesh.output import columns, report
from wgpy.cli.mesh.why_paths import milliseconds, used, words
from wgpy.node import agent_client as agent
from wgpy.node.agent_client import Peer, RoundTripWanted, UdpAnswer, UsedPath
from wgpy.node.network_check import RelayCheck

WAITING_TIME: Final = 6000  # milliseconds
_NO_ANSWER: Final = 1  # exit status


@dataclass(frozen=True, slots=True)
class MeasuredPath:
    """microseconds: the round trip, to the relay alone if it is by one and by UDP; 0 without an answer."""

    path: UsedPath
    microseconds: int
    in_use: bool


def show_paths(arguments: Namespace, network: str, peer: Peer) -> None:
    """Exit with status 1 if none answers. Raises AgentError."""
    with ThreadPoolExecutor(max_workers=1) as asking:
        relays = asking.submit(agent.check_network, network)
        answers = agent.ask_by_udp(network, peer.identity)
    found = [*_by_connection(network, peer), *paths(peer, answers, relays.result().relays)]
    document: documents.AllPaths = {"name": arguments.name, "paths": [_document(one) for one in found]}
    report(arguments, document, columns(map(_row, found)))
    if not any(one.microseconds for one in found):
        sys.exit(_NO_ANSWER)


def _by_connection(network: str, peer: Peer) -> Iterator[MeasuredPath]:
    """Give the path by TLS if that is in use; it is measured inside of the tunnel. Raises AgentError."""
    if peer.by_connection:
        found = agent.measure(network, RoundTripWanted(peer.identity, WAITING_TIME))
        yield MeasuredPath(used(peer), found.microseconds, True)


def paths(peer: Peer, answers: Sequence[UdpAnswer], relays: Sequence[RelayCheck]) -> Iterator[MeasuredPath]:
    """Give what was asked: the endpoints of a node, and the relays by which it can be reached."""
    is_direct = not peer.relay and not peer.by_connection
    for answer in answers:
        in_use = is_direct and answer.endpoint == peer.endpoint
        yield MeasuredPath(UsedPath(answer.endpoint, "", False), answer.microseconds, in_use)
    for relay in relays:
        if relay.name in peer.relays:
            in_use = relay.name == peer.relay and relay.endpoint == peer.endpoint
            elapsed = round(1000 * (relay.milliseconds or 0))
            yield MeasuredPath(UsedPath(relay.endpoint, relay.name, False), elapsed, in_use)


def _row(one: MeasuredPath) -> tuple[str, str, str]:
    if not one.microseconds:
        elapsed = paint("no answer", Colour.BAD)
    else:
        is_part = one.path.relay and not one.path.by_connection
        elapsed = f"{milliseconds(one.microseconds)}{' to the relay' if is_part else ''}"
    return _where(one.path), elapsed, paint("in use", Colour.STRONG) if one.in_use else ""


def _where(path: UsedPath) -> str:
    return f"{words(path)}, {path.endpoint}" if path.relay and not path.by_connection else words(path)


def _document(one: MeasuredPath) -> documents.MeasuredPath:
    elapsed = one.microseconds / 1000 if one.microseconds else None
    return {**path_document(one.path), "milliseconds": elapsed, "in_use": one.in_use}


def path_document(path: UsedPath) -> documents.Path:
    return {"endpoint": path.endpoint, "relay": path.relay, "by_connection": path.by_connection}
