"""Where this host is: its networks, and the endpoints that others may reach it at. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv6Address, ip_address, ip_interface
from typing import Any, Final

from wgpy.address import Address, Prefix, is_private
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.lazy_dataclass import dataclass, field
from wgpy.node.overlaps import read_route_prefixes

MAX_FOUND: Final = 8  # endpoints beside those that the operator gave
# Links whose packets travel in those of another, or do not leave this host at all.
_TUNNELS: Final = {"geneve", "gre", "gretap", "ipip", "sit", "tun", "vti", "vxlan", "wireguard", "xfrm"}
_TUNNELS6: Final = {"ip6gre", "ip6gretap", "ip6tnl", "vti6"}
_INNER_KINDS: Final = {"dummy", "ifb", *_TUNNELS, *_TUNNELS6}
_NOT_TO_BE_USED: Final = {"deprecated", "tentative", "dadfailed", "temporary"}
_CONTAINER_PORTS: Final = ("veth", "tun")  # ports of a bridge that lead to containers and virtual machines


@dataclass(frozen=True, slots=True)
class HostNetworks:
    """What a host knows of where it is.

    networks: that it is in, and by which interface; addresses: that others may reach it at; routes: of the
    main table, beside these networks and the default route, and by what; user_mode: the interface by which
    the default route leads to a network in user space, as in a rootless container, "" for none.
    """

    networks: Mapping[Prefix, str]
    addresses: tuple[Address, ...]
    routes: Mapping[Prefix, str] = field(default_factory=dict)
    user_mode: str = ""

    def has_near(self, address: Address) -> bool:
        """Whether what is sent there does not take the default route."""
        return any(address in network for network in (*self.networks, *self.routes))


NOWHERE: Final = HostNetworks({}, ())


def read_host_networks(
    links: Sequence[Mapping[str, Any]],
    interface: str,
    routes: Sequence[Mapping[str, Any]] = (),
    *,
    is_contained: bool = False,
    is_rootless: bool = False,
) -> HostNetworks:
    """Read what `ip -details -json address` and `ip -json -N route show` answer.

    interface: that of the mesh, which does not count; is_contained: whether this is a user namespace;
    is_rootless: whether all ways out are a network in user space.
    """
    others = [link for link in links if link["ifname"] != interface]
    networks = {
        network: f"a network of {link['ifname']}"
        for link in others
        for found in _addresses(link)
        if counts((network := ip_interface(f"{found['local']}/{found['prefixlen']}").network).network_address)
    }
    addresses = (
        address
        for link in others
        if "UP" in link["flags"] and _leads_out(link, others)
        for found in _addresses(link)
        if not _NOT_TO_BE_USED & found.keys() and counts(address := ip_address(found["local"]))
    )
    in_user_space = {link["ifname"] for link in others if is_rootless or (is_contained and _is_tap(link))}
    return HostNetworks(
        networks,
        tuple(sorted(addresses, key=preference)),
        read_route_prefixes(routes, interface),
        next(
            (
                route["dev"]
                for route in routes
                if route["dst"] == "default" and route.get("dev") in in_user_space
            ),
            "",
        ),
    )


def _addresses(link: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (found for found in link.get("addr_info", ()) if "local" in found)


def counts(address: Address) -> bool:
    """Return whether an address may mean one host to all others."""
    return not (
        address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    )


def _leads_out(link: Mapping[str, Any], links: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether others can come in by a link, as far as can be seen."""
    kind = _kind(link)
    if kind != "bridge":
        return kind not in _INNER_KINDS
    ports = (other for other in links if other.get("master") == link["ifname"])
    return any(_kind(port) not in _CONTAINER_PORTS for port in ports)


def _kind(link: Mapping[str, Any]) -> str:
    return str(link.get("linkinfo", {}).get("info_kind", ""))


def _is_tap(link: Mapping[str, Any]) -> bool:
    return bool(link.get("linkinfo", {}).get("info_data", {}).get("type") == "tap")


def preference(address: Address) -> tuple[bool, int, int]:
    """The lesser first. Always the same for the same addresses, so that nothing is published without need."""
    return not address.is_global, address.version, int(address)


def choose(
    given: Sequence[Endpoint], seen: str, here: HostNetworks, port: int, mesh: Sequence[Prefix]
) -> tuple[Endpoint, ...]:
    """Return a node's endpoints, the best first.

    given: by the operator; seen: the address that the coordinator saw, "" if unknown; mesh: networks inside
    the tunnel, which lead nowhere outside it.
    """
    found = (*_seen(seen, here), *here.addresses)
    outside = (address for address in found if not any(address in network for network in mesh))
    ours = dict.fromkeys(Endpoint(str(address), port) for address in outside)
    return tuple(dict.fromkeys((*given, *list(ours)[:MAX_FOUND])))


def nat_address(seen: str, published: Iterable[Endpoint], here: HostNetworks) -> str:
    """Return the address of the NAT that this host is behind, or "" if it is behind none.

    seen: as in `choose`; while it is unknown, what was published before counts.
    """
    candidates = [seen] if seen else [endpoint.address for endpoint in published]
    return next((str(address) for text in candidates for address in _seen(text, here)), "")


def dialled_versions(seen: str, given: Iterable[Endpoint], here: HostNetworks) -> frozenset[int]:
    """Return the versions of IP by which others may dial this host, if nothing is in front of it.

    seen, given: as in `choose`. A private address of another version than the coordinator saw does not count,
    as a NAT may be before it that nobody saw.
    """
    address = _address(seen)
    own = (
        one.version
        for one in here.addresses
        if address is None or address.version == one.version or not is_private(one)
    )
    return frozenset((*own, *(6 if endpoint.is_ipv6 else 4 for endpoint in given)))


def global_ipv6(here: HostNetworks) -> IPv6Address | None:
    """Return the address of IPv6 that everybody may know this host by, None for none."""
    return next((one for one in here.addresses if isinstance(one, IPv6Address) and not is_private(one)), None)


def _seen(text: str, here: HostNetworks) -> Iterator[Address]:
    """What was seen is of use if it is a NAT's: with an address of this host itself, we know better."""
    address = _address(text)
    if address and counts(address) and not any(address in network for network in here.networks):
        yield address


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
