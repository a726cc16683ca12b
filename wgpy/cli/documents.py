"""What `--json` prints: the fields of every command.

A document is a TypedDict, and what stands in it a TypedDict or a value's own dataclass, whose fields are
those of the JSON: keys, addresses and prefixes are strings there, and tuples lists. The page of the site is
made of this module.
"""

from typing import Any, NotRequired, TypedDict

from wgpy.node.agent_client import CoreDnsAnswer, Site, Status


class ShownPeer(TypedDict):
    """endpoint: None if none is known; latest_handshake: Unix seconds, None for never;
    persistent_keepalive: seconds, None for off; preshared_key: with --show-keys alone, None for none.
    """

    public_key: str
    has_preshared_key: bool
    endpoint: str | None
    allowed_ips: list[str]
    latest_handshake: float | None
    rx_bytes: int
    tx_bytes: int
    persistent_keepalive: int | None
    preshared_key: NotRequired[str | None]


class ShownInterface(TypedDict):
    """public_key: None without a private key; listen_port: None while there is no socket; fwmark: None for
    off; private_key: with --show-keys alone.
    """

    public_key: str | None
    listen_port: int | None
    fwmark: int | None
    peers: list[ShownPeer]
    private_key: NotRequired[str | None]


class Interfaces(TypedDict):
    """interfaces: by name."""

    interfaces: dict[str, ShownInterface]


class Counters(TypedDict):
    """interfaces: by name, how many packets and messages were dropped, by reason."""

    interfaces: dict[str, dict[str, int]]


class Check(TypedDict):
    """check: its name; verdict: good, wrong or unknown; found: what is so, a phrase; remedy: what to do, ""
    for nothing.
    """

    check: str
    verdict: str
    found: str
    remedy: str


class Doctor(TypedDict):
    """network: of the mesh that was examined; interface: its interface."""

    network: str
    interface: str
    findings: list[Check]


class Init(TypedDict):
    """network_key: its public half; coordinator: URL; answers: whether the coordinator answers from this
    host; addresses, addresses6: of nodes; pool: of mapped sites; key_file: path; token: a secret, for one
    more host.
    """

    network: str
    network_key: str
    coordinator: str
    answers: bool
    addresses: str
    addresses6: str
    pool: str
    key_file: str
    token: str


class Join(TypedDict):
    """All but network, name and address are left out with --no-start.

    peers: how many other nodes it knows; requested: prefixes that it may not announce yet; connected:
    whether to the coordinator.
    """

    network: str
    name: str
    address: str
    address6: NotRequired[str]
    interface: NotRequired[str]
    peers: NotRequired[int]
    requested: NotRequired[list[str]]
    connected: NotRequired[bool]


class Dependents(TypedDict):
    """lost_sites: that lose their only gateway; lost_clients: that enter by no other node."""

    lost_sites: list[str]
    lost_clients: list[str]


class Leave(Dependents):
    """name: that the node had; told: whether the coordinator knows; rules: for the node."""

    network: str
    name: str
    told: bool
    rules: list[str]


class Pause(TypedDict):
    """paused: what is so now."""

    network: str
    paused: bool


class KeyPlace(TypedDict):
    """used: when the key last signed, Unix seconds, 0 for never."""

    path: str
    used: int


class Networks(TypedDict):
    """networks: by name; network_keys: by name, of those networks whose key is on this host."""

    networks: dict[str, Status]
    network_keys: dict[str, KeyPlace]


class Page(TypedDict):
    """link: with a secret."""

    link: str


class Map(TypedDict):
    """What a picture shows; what stands in ends, edges, rules and rejected may change in any version.

    connected: whether to the coordinator; trouble: why not; remarks: sentences.
    """

    network: str
    name: str
    connected: bool
    trouble: str
    member: bool
    revision: int
    ends: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    remarks: list[str]
    rejected: list[dict[str, Any]]
    rejected_count: int


class Found(TypedDict):
    """good: None where nobody can tell; decisive: whether nothing is reached without it; text: a phrase."""

    good: bool | None
    decisive: bool
    text: str


class Why(TypedDict):
    """name: as it was given; reachable: None where nobody can tell; findings: by subject; advice:
    sentences.
    """

    name: str
    reachable: bool | None
    findings: dict[str, Found]
    advice: list[str]


class Path(TypedDict):
    """endpoint: "" if none is known; relay: its name, "" for directly; by_connection: whether datagrams go
    by the connection to the coordinator.
    """

    endpoint: str
    relay: str
    by_connection: bool


class PingAnswer(Path):
    """number: from 1; milliseconds: None without an answer."""

    number: int
    milliseconds: float | None


class PingPath(Path):
    """least, median, most: milliseconds."""

    answered: int
    least: float
    median: float
    most: float


class Ping(TypedDict):
    """name: as it was given; sent, answered: numbers of questions; paths: those that answers came by."""

    name: str
    sent: int
    answered: int
    answers: list[PingAnswer]
    paths: list[PingPath]


class MeasuredPath(Path):
    """milliseconds: None without an answer; to the relay alone if it is by one and by UDP."""

    milliseconds: float | None
    in_use: bool


class AllPaths(TypedDict):
    """name: as it was given."""

    name: str
    paths: list[MeasuredPath]


class NodeIp(TypedDict):
    """addresses: IPv4 first."""

    network: str
    interface: str
    addresses: list[str]


class Rename(TypedDict):
    """old, new: names; rules: for the node; lost_rules: for the name, no longer for this node."""

    network: str
    old: str
    new: str
    rules: list[str]
    lost_rules: list[str]


class Endpoints(TypedDict):
    """endpoints: that were given, HOST:PORT; none if the node publishes what it finds."""

    network: str
    endpoints: list[str]


class Keepalive(TypedDict):
    """keepalive: seconds, off or auto, as it was given."""

    network: str
    keepalive: str


class Exit(TypedDict):
    """exit: a site, "" for none; gateway: name of the node, "" while there is none; routes: default routes
    that lead there.
    """

    network: str
    exit: str
    gateway: str
    routes: list[str]


class Routes(TypedDict):
    """name: of this node; routes: that it announces; requested: those that nobody has approved."""

    network: str
    name: str
    routes: list[str]
    requested: list[str]


class SiteAdded(TypedDict):
    """reason: why the site is reached as it is, or ""; back: what hosts of a routed site need a route to."""

    network: str
    reason: str
    back: list[str]
    site: Site


class SiteRemoved(TypedDict):
    """removed: the site; gateways: names of those that it still has."""

    network: str
    removed: str
    gateways: list[str]


class SiteReturned(TypedDict):
    """site: "" for none; gateways: addresses of its gateway in networks of this host."""

    network: str
    site: str
    gateways: list[str]


class CoreDns(TypedDict):
    """coredns: what the cluster's CoreDNS asks now."""

    network: str
    coredns: CoreDnsAnswer


class Sites(TypedDict):
    """sites: those in force, then those that are announced in vain."""

    sites: list[Site]
