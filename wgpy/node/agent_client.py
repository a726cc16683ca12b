"""What the agent in `wgpyd` reports to the commands of this host, and how they ask it.

The agent serves HTTP at a Unix socket that only its owner may use: GET /status and /metrics; POST /rename
with a JSON object of `name`, /keepalive with one of `keepalive`, /routes with `RouteChange`,
/endpoints with `EndpointChange`, /exit with one of `name`, /sites/add with `SiteAddition`, /sites/return with
`SiteReturn`, /sites/remove and /sites/coredns with a `name`, /ping with an `identity`, /round-trip with
`RoundTripWanted`, /netcheck, /leave.
"""

import asyncio
import json
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Final

from wgpy.address import Address, Prefix
from wgpy.contract.errors import WgpyError
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.keys import PublicKey
from wgpy.mesh import codec
from wgpy.mesh.signing import VerifyKey
from wgpy.node.files import SOCKETS
from wgpy.node.http import BROKEN, HttpError
from wgpy.node.http import Client as HttpClient
from wgpy.node.network_check import NO_MAPPING, NetworkCheck, PortMapping, read_check

_MAX_ANSWER: Final = 1 << 26  # bytes
_TIMEOUT: Final = 60.0  # seconds: the agent may wait for its coordinator, for a name, or for a processor


class AgentError(WgpyError):
    """The agent does not answer, or refuses; one sentence."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A node that this one knows.

    routes: those that lead to it; left_out: sentences, why a route of it is not used here; outbound_rule,
    inbound_rule: numbers of the rules by which this node may begin to it and it to this node, 0 if none lets
    it; endpoint: "" if none is known; endpoints: all that the node published; last_handshake: Unix seconds, 0
    for never; received, sent: bytes; unanswered: seconds since the oldest packet was sent that nothing has
    followed, 0 for none; relay: name of the relay by which it is reached now, "" for directly; since: when it
    was first reached so, Unix seconds, 0 for unknown; relays: names of those by which it can be reached;
    hidden: whether it says that others cannot dial it; by_connection: whether its datagrams go by this node's
    connection to the coordinator; round_trip: as it was last measured by this path, microseconds, 0 for
    unknown; nat: what the mappings of its NAT depend on, in a word, "" for none or unknown; tried: while it
    is reached by a relay, where else it was asked and did not answer; idle: whether it is reached by a relay
    because nothing was sent for a while; mtu: of packets to it if its path drops larger ones, else 0.
    """

    name: str
    identity: VerifyKey
    key: PublicKey
    address: IPv4Address
    address6: IPv6Address
    tags: tuple[str, ...]
    routes: tuple[Prefix, ...]
    left_out: tuple[str, ...]
    outbound_rule: int
    inbound_rule: int
    endpoint: str
    endpoints: tuple[str, ...]
    last_handshake: int
    received: int
    sent: int
    unanswered: int
    relay: str = ""
    since: int = 0
    relays: tuple[str, ...] = ()
    hidden: bool = False
    by_connection: bool = False
    round_trip: int = 0
    nat: str = ""
    tried: tuple[str, ...] = ()
    idle: bool = False
    mtu: int = 0


@dataclass(frozen=True, slots=True)
class Client:
    """A client at one of its gateways.

    gateway: name of that node; expires: Unix seconds, 0 for never; the rest is known where it enters by this
    node: endpoint: "" if none is known; last_handshake: Unix seconds, 0 for never; received, sent: bytes.
    """

    name: str
    key: PublicKey
    address: IPv4Address
    address6: IPv6Address
    gateway: str
    expires: int
    endpoint: str
    last_handshake: int
    received: int
    sent: int


@dataclass(frozen=True, slots=True)
class Rule:
    """Nodes that `source` selects may begin to those that `destination` selects. Without any, all may.

    packets: that it let into this node; those of the rules above MAX_RULES are counted together.
    """

    number: int
    source: str
    destination: str
    packets: int


@dataclass(frozen=True, slots=True)
class Excluded:
    """A node with a record that is no member.

    reason: a sentence; over: whether its membership ended, and since when, Unix seconds, 0 for long ago;
    rules: numbers of those that bind its identity, whoever has its name now.
    """

    name: str
    identity: VerifyKey
    reason: str
    over: bool
    since: int
    rules: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """What somebody sent that is not so. time: Unix seconds; source: `coordinator` or `neighbour NAME`."""

    time: int
    source: str
    reason: str
    what: str


@dataclass(frozen=True, slots=True)
class SiteGateway:
    """A node by which a site is reached. name: "" if no member that this node knows has the identity."""

    name: str
    identity: VerifyKey
    priority: int
    is_routed: bool


@dataclass(frozen=True, slots=True)
class Site:
    """A site, or what a node announces in vain, which then is its only gateway.

    real, mapped: its prefixes, and what the mesh routes for each; gateways: the first is to be used first;
    used: the name of the gateway by which this node reaches it, "" for none; own: whether this node is one;
    exclusion: why it is not in force, "" if it is; servers: its name servers, by their real addresses; zones:
    about whose names they are asked; waiting: zones that nobody has approved.
    """

    name: str
    real: tuple[Prefix, ...]
    mapped: tuple[Prefix, ...]
    gateways: tuple[SiteGateway, ...]
    used: str
    own: bool
    exclusion: str
    servers: tuple[Address, ...] = ()
    zones: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Count:
    """How often something was so since the agent's start."""

    what: str
    times: int


@dataclass(frozen=True, slots=True)
class KubernetesStatus:
    """How a node follows Kubernetes.

    node: the name of the host's Node, "" if the node does not follow; server: URL of the API; trouble: why
    nothing comes from there, "" while it does; ranges: of pods, that this node announces for Kubernetes;
    is_known: whether the API has ever answered since the agent's start; sites: names of those whose prefixes
    are the cluster's.
    """

    node: str = ""
    server: str = ""
    trouble: str = ""
    ranges: tuple[Prefix, ...] = ()
    is_known: bool = False
    sites: tuple[str, ...] = ()


NO_KUBERNETES: Final = KubernetesStatus()


@dataclass(frozen=True, slots=True)
class Status:
    """What a node knows.

    endpoints: that are published, the best first; hosts: those that the operator gave, HOST:PORT; table: of
    the host's routing that has the routes; fwmark: of this node's own datagrams, which the table does not
    route; domain: of the nodes' names; resolver: by what this host resolves them, "" for not; connected:
    whether the coordinator sends news; trouble: why not; heard: when it last did, Unix seconds; member:
    whether this node is one; exclusion: why not; requested: routes of this node that nobody has approved;
    nat: the address of the NAT that the host is behind, "" if none is known; keepalive: seconds between
    keepalives to peers that answer, 0 for none; mapping_lasts: seconds that the NAT keeps a mapping at least,
    0 if that is not known; filtered: whether a firewall lets nothing in that was not asked for; sequence: of
    the newest admin record; rejected: the newest last; rejected_count: all of them; withheld: sentences, what
    neighbours knew and the coordinator did not send; log: where the agent's log is; warnings: sentences;
    clients: that are in force and enter by this node or by one of its peers; sites: those in force, then
    those that are announced in vain; exit: name of the site by which this node is to send what no other route
    has, "" for none; exit_gateway: name of the node by which it does, "" while there is none; exit_routes:
    the default routes that lead there, while those of both versions lead nowhere else; return_site,
    return_gateways: as in `SiteReturn`; port_mapping, pinhole: at the router, by IPv4 and IPv6; is_relay:
    whether this node is a relay; relayed_datagrams, relayed_bytes: what it has passed on; registered: relays
    by which others reach this node; questions: about names, by what came of them; gateway_moves: by site, how
    often another gateway was used than before; nat_kind: as `Peer.nat`; kubernetes: what it follows of that.
    """

    network: str
    network_key: VerifyKey
    interface: str
    mtu: int
    listen_port: int
    endpoints: tuple[str, ...]
    hosts: tuple[str, ...]
    table: int
    fwmark: int
    name: str
    identity: VerifyKey
    key: PublicKey
    address: IPv4Address
    address6: IPv6Address
    addresses: Prefix
    addresses6: Prefix
    domain: str
    resolver: str
    tags: tuple[str, ...]
    routes: tuple[Prefix, ...]
    requested: tuple[Prefix, ...]
    nat: str
    keepalive: int
    member: bool
    exclusion: str
    coordinator: str
    connected: bool
    trouble: str
    heard: int
    revision: int
    sequence: int
    rules: tuple[Rule, ...]
    peers: tuple[Peer, ...]
    excluded: tuple[Excluded, ...]
    rejected: tuple[RejectedRecord, ...]
    rejected_count: int
    withheld: tuple[str, ...]
    log: str
    warnings: tuple[str, ...]
    clients: tuple[Client, ...] = ()
    sites: tuple[Site, ...] = ()
    exit: str = ""
    exit_gateway: str = ""
    exit_routes: tuple[Prefix, ...] = ()
    return_site: str = ""
    return_gateways: tuple[Address, ...] = ()
    port_mapping: PortMapping = NO_MAPPING
    pinhole: PortMapping = NO_MAPPING
    is_relay: bool = False
    relayed_datagrams: int = 0
    relayed_bytes: int = 0
    registered: tuple[str, ...] = ()
    questions: tuple[Count, ...] = ()
    gateway_moves: tuple[Count, ...] = ()
    mapping_lasts: int = 0
    nat_kind: str = ""
    filtered: bool = False
    kubernetes: KubernetesStatus = NO_KUBERNETES


@dataclass(frozen=True, slots=True)
class SiteAddition:
    """A site that a node is to be a gateway of.

    face: real, mapped or either; firewall: whether to open the host's firewall for it; kept: the names of
    fields that stay as they are if the node is a gateway of it already; kubernetes: whether its prefixes are
    those of the cluster that the node follows, whatever `prefixes` are; the rest as in
    `records.AnnouncedSite`.
    """

    name: str
    prefixes: tuple[Prefix, ...]
    face: str
    is_routed: bool
    priority: int
    firewall: bool
    servers: tuple[Address, ...] = ()
    zones: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    kubernetes: bool = False


@dataclass(frozen=True, slots=True)
class SiteAnswer:
    """reason: why a site is reached as it is, or ""; back: what hosts of a routed site need a route to."""

    reason: str
    back: tuple[Prefix, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteChange:
    """Prefixes that a node announces from now on, and that it does no more."""

    add: tuple[Prefix, ...]
    remove: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """The endpoints that an operator gives, HOST:PORT; none if the node is to publish what it finds."""

    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SiteReturn:
    """Of which site a host is one, "" for none, and addresses of a gateway of it in networks of the host."""

    site: str
    gateways: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class CoreDnsAnswer:
    """What the CoreDNS of a cluster asks about a domain, "" for nobody, and the ConfigMap that says so."""

    config_map: str
    domain: str
    servers: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class UdpAnswer:
    """Whether a host answered a question by UDP at an endpoint. microseconds: the best round trip."""

    endpoint: str
    answered: bool
    microseconds: int


@dataclass(frozen=True, slots=True)
class _UdpAnswers:
    answers: tuple[UdpAnswer, ...]


@dataclass(frozen=True, slots=True)
class RoundTripWanted:
    """Of which peer, and how long to wait for it; 0: tell the path only."""

    identity: VerifyKey
    milliseconds: int


@dataclass(frozen=True, slots=True)
class UsedPath:
    """By what a peer is reached. endpoint, relay, by_connection: as in `Peer`."""

    endpoint: str
    relay: str
    by_connection: bool


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """How long a peer took to answer inside of the tunnel. microseconds: 0 if it did not; path: by which."""

    microseconds: int
    path: UsedPath


def socket_path(network: str) -> Path:
    return SOCKETS / f"{network}.sock"


def status(network: str, timeout: float = _TIMEOUT) -> Status:
    """timeout: seconds. Raises AgentError."""
    try:
        return codec.read(Status, json.loads(_ask(network, "GET", "/status", timeout=timeout)))
    except (ValueError, TypeError, KeyError):
        raise _other_version(network) from None


def _other_version(network: str) -> AgentError:
    return AgentError(f"the agent of {network} is of another version: restart it")


def rename(network: str, name: str) -> None:
    """Return once the coordinator has it. Raises AgentError."""
    _ask(network, "POST", "/rename", {"name": name})


def set_keepalive(network: str, keepalive: str) -> None:
    """keepalive: `auto`, `off` or seconds. Raises AgentError."""
    _ask(network, "POST", "/keepalive", {"keepalive": keepalive})


def change_endpoints(network: str, change: EndpointChange) -> None:
    """Return once the names are resolved. Raises AgentError."""
    _ask(network, "POST", "/endpoints", codec.write(change))


def use_exit(network: str, name: str) -> None:
    """Send by an exit what no other route has; name: of a site, "" for none. Raises AgentError."""
    _ask(network, "POST", "/exit", {"name": name})


def change_routes(network: str, change: RouteChange) -> None:
    """Return once the coordinator has it. Raises AgentError."""
    _ask(network, "POST", "/routes", codec.write(change))


def add_site(network: str, addition: SiteAddition) -> SiteAnswer:
    """Return once the coordinator has it. Raises AgentError."""
    return codec.read(SiteAnswer, json.loads(_ask(network, "POST", "/sites/add", codec.write(addition))))


def change_return(network: str, change: SiteReturn) -> None:
    """Raises AgentError."""
    _ask(network, "POST", "/sites/return", codec.write(change))


def remove_site(network: str, name: str) -> None:
    """Return once the coordinator has it. Raises AgentError."""
    _ask(network, "POST", "/sites/remove", {"name": name})


def change_coredns(network: str, site: str) -> CoreDnsAnswer:
    """Have the cluster's CoreDNS ask the gateways of a site of it, nobody for "". Raises AgentError."""
    return codec.read(CoreDnsAnswer, json.loads(_ask(network, "POST", "/sites/coredns", {"name": site})))


def ask_by_udp(network: str, identity: VerifyKey) -> tuple[UdpAnswer, ...]:
    """Ask a peer's host outside of the tunnel, at each of its endpoints. Takes seconds. Raises AgentError."""
    answer = _ask(network, "POST", "/ping", {"identity": str(identity)})
    try:
        return codec.read(_UdpAnswers, json.loads(answer)).answers
    except (ValueError, TypeError, KeyError):
        raise _other_version(network) from None


def measure(network: str, wanted: RoundTripWanted) -> RoundTrip:
    """Raises AgentError."""
    try:
        return codec.read(RoundTrip, json.loads(_ask(network, "POST", "/round-trip", codec.write(wanted))))
    except (ValueError, TypeError, KeyError):
        raise _other_version(network) from None


def check_network(network: str) -> NetworkCheck:
    """Ask all relays. Takes seconds. Raises AgentError."""
    try:
        return read_check(json.loads(_ask(network, "POST", "/netcheck")))
    except (ValueError, TypeError, KeyError):
        raise _other_version(network) from None


def leave(network: str) -> None:
    """Return once the coordinator knows; the agent then ends. Raises AgentError."""
    _ask(network, "POST", "/leave")


def _ask(network: str, method: str, target: str, body: Any = None, *, timeout: float = _TIMEOUT) -> bytes:
    """Raises AgentError."""
    try:
        return asyncio.run(asyncio.wait_for(_request(network, method, target, body), timeout))
    except TimeoutError:
        raise AgentError(f"the agent of {network} did not answer within {timeout:.0f} s") from None


async def _request(network: str, method: str, target: str, body: Any) -> bytes:
    """Raises AgentError."""
    path = socket_path(network)
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
    except OSError as error:
        raise AgentError(f"the agent of {network} does not run ({path}: {error.strerror})") from None
    try:
        client = HttpClient(reader, writer, "agent")
        return b"".join([data async for data in client.request(method, target, body=body, limit=_MAX_ANSWER)])
    except HttpError as error:
        raise AgentError(str(error)) from None
    except BROKEN as error:
        raise AgentError(f"the agent of {network} broke off: {error}") from None
    finally:
        writer.close()
