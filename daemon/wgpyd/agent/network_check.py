"""What this host's network allows: every relay is asked at each of its endpoints, and tells where from."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from wgpy.contract.constants import MILLISECOND, SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.plan import NodePlan
from wgpy.node.network_check import NetworkCheck, RelayCheck
from wgpy.paths.discovery import Answer
from wgpy.paths.nat import NatObserver
from wgpy.paths.nat64 import version

from .node_paths import NodePaths

_Asked = Mapping[PublicKey, Sequence[Endpoint]]
_Answers = Mapping[tuple[bytes, Endpoint], Answer]


async def check_network(paths: NodePaths, plan: NodePlan, port: int) -> NetworkCheck:
    """Takes two seconds where a relay does not answer, nine at most for the router. port: of this node."""
    relays = plan.known.relays.values()
    tunnels = paths.nat64.reached(plan).tunnels
    asked = {one.key: tunnels[one.key].endpoints for one in relays if one.key in tunnels}
    answers, router = await asyncio.gather(paths.pings.survey(asked), paths.mapping.check())
    names = {key: plan.by_key[key].member.name for key in asked if key in plan.by_key}
    return NetworkCheck(
        relays=tuple(_relays(asked, names, answers)),
        nats={f"IPv{number}": _nat(number, answers, paths, port) for number in (4, 6)},
        by_connection=bool(paths.registration.found.by_stream),
        trouble=paths.stream.trouble,
        filtered=paths.registration.is_filtered,
        router=router,
        pinhole=paths.mapping.report(6),
        nat64=str(paths.nat64.prefix or ""),
    )


def _relays(asked: _Asked, names: Mapping[PublicKey, str], answers: _Answers) -> Iterator[RelayCheck]:
    for key, endpoints in asked.items():
        for endpoint in endpoints:
            answer = answers.get((bytes(key), endpoint.without_source()))
            milliseconds = answer.round_trip / MILLISECOND if answer else None
            yield RelayCheck(names.get(key, ""), str(endpoint), milliseconds)


def _nat(number: int, answers: _Answers, paths: NodePaths, port: int) -> str:
    """Return what the answers by one version of IP tell of a NAT."""
    observer = NatObserver(number)
    for (_, remote), answer in answers.items():
        if version(remote, paths.nat64.prefix) == number:
            observer.note_answer(remote, answer.seen_as)
    observer.note_lifetime(paths.lifetime.lasts * SECOND)
    return observer.behaviour(map(str, paths.here.addresses), port).words()
