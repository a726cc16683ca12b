"""What `why` tries to reach a node or an address."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from wgpy.address import Address, parse_endpoint
from wgpy.cli.mesh import daemons, probe
from wgpy.cli.mesh.probe import Way
from wgpy.cli.mesh.why_target import Target
from wgpy.node import agent_client as agent
from wgpy.node.agent_client import AgentError, Peer, Status, UdpAnswer


@dataclass(frozen=True, slots=True)
class Trial:
    """What was tried just now.

    is_up: whether the interface is; inner, outer: the ways of a packet into the tunnel, and of its sealed
    datagram; milliseconds: of a ping inside of the tunnel, None without an answer; received: bytes that the
    peer sent meanwhile; udp: answers outside of the tunnel; port: of TCP, which was tried instead of a ping,
    None for none; refused: whether nothing listens there; relay: whether that by which the peer is reached
    answers by UDP, None if there is none, or if it is reached by TLS.
    """

    is_up: bool
    inner: Way
    outer: Way | None
    milliseconds: float | None = None
    received: int = 0
    udp: tuple[UdpAnswer, ...] = ()
    port: int | None = None
    refused: bool = False
    relay: bool | None = None


def try_to_reach(status: Status, target: Target, port: int | None = None) -> Trial:
    """Take the time that a handshake may need. port: of TCP, tried instead of a ping. Raises CommandError."""
    peer = target.peer
    outer = probe.way_to(parse_endpoint(peer.endpoint).address, status.fwmark) if peer.endpoint else None
    inner = probe.way_to(str(target.address))
    trial = Trial(probe.is_up(status.interface), inner, outer)
    if not trial.is_up or inner.interface != status.interface:
        return trial
    with ThreadPoolExecutor(max_workers=2) as asking:
        udp, relay = asking.submit(_ask_by_udp, status, peer), asking.submit(_ask_relay, status, peer)
        refused = False
        if port is None:
            milliseconds = _ping(target.address)
        else:
            milliseconds, refused = probe.connect(target.address, port)
        trial = replace(trial, milliseconds=milliseconds, udp=udp.result(), port=port, refused=refused)
        trial = replace(trial, relay=relay.result())
    after = next((one for one in daemons.status(status.network).peers if one.key == peer.key), peer)
    return replace(trial, received=max(0, after.received - peer.received))


def _ask_by_udp(status: Status, peer: Peer) -> tuple[UdpAnswer, ...]:
    with suppress(AgentError):
        return probe.from_others(agent.ask_by_udp(status.network, peer.identity), status.fwmark)
    return ()


def _ask_relay(status: Status, peer: Peer) -> bool | None:
    if not peer.relay or peer.by_connection:
        return None
    with suppress(AgentError):
        relays = agent.check_network(status.network).relays
        return any(one.name == peer.relay and one.milliseconds is not None for one in relays)
    return None


def _ping(address: Address) -> float | None:
    try:
        return probe.ping(address)
    except OSError:  # an ICMP error came, or this host's firewall refuses
        return None
