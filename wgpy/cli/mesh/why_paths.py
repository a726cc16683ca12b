"""What `why`, `status` and `ping` say of the path by which a node is reached. Pure."""

from typing import Final

from wgpy.cli.mesh.output import listed, since
from wgpy.node.agent_client import Peer, Status, UsedPath

ADVICE: Final = (
    "Where neither of two nodes can be reached, a relay passes on what they send each other: `wgpy mesh "
    "relay add NODE`, of a node that both reach by UDP."
)
_NATS: Final = {
    "endpoint-independent": "shows one port to everybody",
    "address-dependent": "shows another port to each host",
    "address-and-port-dependent": "shows another port to each host and port",
}


def used(peer: Peer) -> UsedPath:
    return UsedPath(peer.endpoint, peer.relay, peer.by_connection)


def words(path: UsedPath) -> str:
    """Return by what a node is reached, in a few words."""
    by = ["TLS"] if path.by_connection else []
    by += [f"the relay {path.relay}"] if path.relay else []
    if by:
        return f"by {' and '.join(by)}"
    return f"directly, {path.endpoint}" if path.endpoint else "by no path yet"


def milliseconds(microseconds: int) -> str:
    """Return a round trip, "-" for none."""
    return f"{microseconds / 1000:.1f} ms" if microseconds else "-"


def path(status: Status, peer: Peer) -> str:
    """Return how a node is reached, since when, why not directly, and how large its packets may be.

    "" if there is nothing to say.
    """
    small = f"packets of at most {peer.mtu} bytes, as larger ones are dropped" if peer.mtu else ""
    return "; ".join(filter(None, (_way(status, peer), small)))


def _way(status: Status, peer: Peer) -> str:
    if peer.relay or peer.by_connection:
        return f"{words(used(peer))}{_details(peer)}, {why_not_directly(status, peer)}"
    way = f"directly{_details(peer)}" if peer.endpoint else "not reached yet"
    if not peer.relays:
        return way if peer.endpoint and _details(peer) else ""
    return f"{way}; {listed(peer.relays)} can pass on what it is sent, too"


def _details(peer: Peer) -> str:
    first = f", first {since(peer.since)}" if peer.since else ""
    return first + (f", within {milliseconds(peer.round_trip)}" if peer.round_trip else "")


def advice_for_direct(status: Status, peer: Peer) -> str:
    """Return what would give a node that is reached by a relay or TLS a direct path, "" if nothing has to."""
    if peer.by_connection:
        return "For direct paths, let UDP leave the network of this host."
    if not peer.relay or peer.idle:
        return ""
    return (
        f"For a direct path, map a UDP port to {status.name} (port {status.listen_port}) or to "
        f"{peer.name or 'the other node'} on the router before it, and say so there: `wgpy mesh endpoint "
        "ADDRESS:PORT`."
    )


def advice_by_relay(peer: Peer, answers: bool | None) -> str:
    """Return what to look at if a node does not answer by a relay. answers: whether the relay does."""
    name, relay = peer.name or str(peer.identity), peer.relay
    if answers is False:
        return f"Nor does the relay {relay}: see that it runs, and that UDP passes to {peer.endpoint}."
    first = f"The relay {relay} answers, and {name} does not: see" if answers else "See"
    return f"{first} that {name} runs and has a network."


def why_not_directly(status: Status, peer: Peer) -> str:
    """Return why a node is reached by a relay or by TLS."""
    if peer.by_connection:
        return "as no UDP passes from this host"
    if peer.idle:
        return "as nothing was sent for a while: a direct path is looked for when something is"
    if not peer.tried:
        return "as it was not reached directly"
    return f"as it has not answered at {listed(peer.tried)}{nats(status, peer)}"


def nats(status: Status, peer: Peer) -> str:
    """Return what the NATs of the two do, as far as that is known."""
    found = ((status.name, status.nat_kind), (peer.name or "the other node", peer.nat))
    known = [f"the NAT of {name} {nat_words(kind)}" for name, kind in found if kind]
    return f" ({' and '.join(known)})" if known else ""


def nat_words(kind: str) -> str:
    """Return what a NAT does. kind: what its mappings depend on, by RFC 4787, as nodes publish it."""
    return _NATS.get(kind, f"is {kind}")
