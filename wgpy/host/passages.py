"""The ways between a mesh and the networks behind this host, and what is in their way. Only reads."""

import socket
from collections.abc import Iterable, Iterator, Mapping
from errno import EINVAL, EXDEV
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Final

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.lazy_dataclass import dataclass

from .firewall.passage import Firewall, unread_programs
from .firewall.verdict import Flow
from .forwarding import forwards
from .netlink import RouteLookup, Way

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network
OwnAddresses = Mapping[str, tuple[IPv4Interface | IPv6Interface, ...]]  # by interface

_FORWARDING: Final = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
_NO_REVERSE_PATH: Final = (EXDEV, EINVAL)
# Of the networks for documentation: a host that only a default route leads to.
_ANYWHERE: Final[Mapping[int, Address]] = {4: IPv4Address("192.0.2.1"), 6: IPv6Address("2001:db8::1")}


@dataclass(frozen=True, slots=True)
class Mesh:
    """interface: of this host; members: the address of another member, by version of IP."""

    interface: str
    members: Mapping[int, Address]


@dataclass(frozen=True, slots=True)
class Passage:
    """From the mesh to a network, which this host is to forward.

    host: an address there; lan: the interface that leads there, "" for none; why_not: then.
    """

    mesh: Mesh
    prefix: Prefix
    host: Address
    lan: str
    why_not: str = ""

    @property
    def member(self) -> Address:
        return self.mesh.members[self.prefix.version]

    @property
    def interfaces(self) -> tuple[str, str]:
        return self.mesh.interface, self.lan

    def flows(self) -> tuple[Flow, Flow]:
        """Return what a member begins, and what answers."""
        begun = Flow(*self.interfaces, self.member, self.host, "new")
        return begun, begun.reply()


def passages(mesh: Mesh, prefixes: Iterable[Prefix], own: OwnAddresses) -> list[Passage]:
    """Return those to networks that are not this host alone. Raises OSError."""
    routes = RouteLookup()
    try:
        found = [_passage(mesh, prefix, own, routes) for prefix in prefixes]
    finally:
        routes.close()
    return [passage for passage in found if passage]


def own_addresses(prefix: Prefix, own: OwnAddresses) -> list[Address]:
    """Return this host's addresses in a prefix, those that share a network with other hosts first."""
    found = [
        address
        for addresses in own.values()
        for address in addresses
        if address.version == prefix.version and address.ip in prefix
    ]
    return [address.ip for address in sorted(found, key=lambda address: address.network.prefixlen)]


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What keeps packets from passing, each a sentence with what to do.

    ways: that the host lacks; closed: what a gateway can open.
    """

    ways: tuple[str, ...]
    closed: tuple[str, ...]


def obstacles(found: Iterable[Passage], own: OwnAddresses, firewall: Firewall | None = None) -> Obstacles:
    """Return what keeps packets from passing. firewall: None if it is to be read. Raises OSError."""
    found = list(found)
    ways = (
        f"this host has no way to {passage.prefix} ({passage.why_not}): add an address or a route of it"
        for passage in found
        if not passage.lan
    )
    open_ones = [passage for passage in found if passage.lan]
    return Obstacles(tuple(ways), tuple(_closed(open_ones, own, firewall or Firewall.read())))


def _closed(open_ones: list[Passage], own: OwnAddresses, firewall: Firewall) -> Iterator[str]:
    yield from _unforwarded(open_ones)
    for name in strict_interfaces(open_ones, own):
        yield (
            f"this host drops what comes by {name} for the mesh, as its reverse path filter is strict: "
            f"`sysctl -w net.ipv4.conf.{name}.rp_filter=2` lets it in"
        )
    yield from dropped((flow for passage in open_ones for flow in passage.flows()), firewall)


def strict_interfaces(found: Iterable[Passage], own: OwnAddresses) -> list[str]:
    """Return the interfaces by which answers may come, and are refused by the kernel. Raises OSError."""
    routes = RouteLookup()
    try:
        names = [
            name
            for passage in found
            if passage.prefix.version == 4
            for name in {passage.lan: None, **dict.fromkeys(_near(passage.prefix, own))}
            if _answer(passage, name, routes).number in _NO_REVERSE_PATH
        ]
    finally:
        routes.close()
    return list(dict.fromkeys(names))


def _passage(mesh: Mesh, prefix: Prefix, own: OwnAddresses, routes: RouteLookup) -> Passage | None:
    host = _host(prefix, own)
    if host is None or prefix.version not in mesh.members:
        return None
    way = routes.way(Endpoint(str(host), 0), 0)
    lan = socket.if_indextoname(way.interface) if way.interface else ""
    if lan == mesh.interface:
        return Passage(mesh, prefix, host, "", "it leads into the mesh")
    return Passage(mesh, prefix, host, lan, way.error)


def _host(prefix: Prefix, own: OwnAddresses) -> Address | None:
    """Return an address of a prefix that is not this host's; None if there is none."""
    if not prefix.prefixlen:
        return _ANYWHERE[prefix.version]
    taken = set(own_addresses(prefix, own))
    first = 0 if prefix.num_addresses <= 2 else 1
    others = (prefix[number] for number in range(first, prefix.num_addresses))
    return next((address for address in others if address not in taken), None)


def _near(prefix: Prefix, own: OwnAddresses) -> list[str]:
    return [
        name
        for name, addresses in own.items()
        if any(
            address.version == prefix.version and address.network.overlaps(prefix) for address in addresses
        )
    ]


def _answer(passage: Passage, name: str, routes: RouteLookup) -> Way:
    """Return the way of what answers, if it comes by an interface."""
    answer = Endpoint(str(passage.member), 0, local_address=str(passage.host))
    try:
        return routes.way(answer, 0, arrives_by=socket.if_nametoindex(name))
    except OSError:  # it went
        return Way(0)


def _unforwarded(found: Iterable[Passage]) -> Iterator[str]:
    closed: dict[tuple[int, str], list[str]] = {}
    for passage in found:
        if not forwards(passage.interfaces, passage.prefix.version):
            closed.setdefault((passage.prefix.version, passage.lan), []).append(str(passage.prefix))
    for (version, _), prefixes in closed.items():
        yield (
            f"this node announces {', '.join(prefixes)}, but its host does not forward IPv{version}: "
            f"`sysctl -w {_FORWARDING[version]}=1`, and a file in /etc/sysctl.d, let packets through"
        )


def unread_firewalls(found: Iterable[Passage]) -> Iterator[str]:
    """Give a sentence, with what to do, for each firewall of which that cannot be told."""
    pairs = [passage.interfaces for passage in found if passage.lan]
    for program in unread_programs() if pairs else ():
        mesh, lan = pairs[0]
        yield (
            f"wgpyd may not read the rules of {program}: if `{program} -S FORWARD` shows that they drop what "
            f"this host forwards, `{program} -I FORWARD -i {mesh} -o {lan} -j ACCEPT` lets it pass"
        )


def dropped(flows: Iterable[Flow], firewall: Firewall) -> Iterator[str]:
    """Give a sentence, with what to do, for each rule of this host's firewalls that drops one of these."""
    sentences: dict[str, None] = {}
    for drop in (drop for flow in flows for drop in firewall.drops(flow)):
        sentences[
            f"{drop.what} drops what this host forwards from {drop.flow.arrives_by} to "
            f"{drop.flow.leaves_by}: `{drop.remedy}` lets it pass"
        ] = None
    yield from sentences
