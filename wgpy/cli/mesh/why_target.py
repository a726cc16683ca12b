"""What is to be reached, in the words of a command line. Pure."""

from dataclasses import dataclass
from ipaddress import ip_address

from wgpy.address import Address, Prefix, is_address
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import why_clients, why_pods, why_sites
from wgpy.node.agent_client import Client, Peer, Site, Status


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached: a peer, or an address behind it.

    prefix: behind the peer, that the address is in; client: that enters by the peer; site: that is meant, or
    that the address is of.
    """

    peer: Peer
    address: Address
    prefix: Prefix | None = None
    client: Client | None = None
    site: Site | None = None

    @property
    def whole_site(self) -> str:
        """The name of the site that is meant, "" if an address is."""
        return self.site.name if self.site and self.prefix is None else ""

    @property
    def ruled(self) -> Address | str:
        """What rules are for."""
        return self.whole_site or self.address


def find(status: Status, name: str) -> Target | None:
    """Return the peer of a name, an identity or an address. Raises CommandError for this node itself."""
    if name in (status.name, str(status.identity), str(status.address), str(status.address6)):
        raise CommandError(f"{name} is this node; `wgpy mesh status` shows it")
    if name.startswith(why_sites.KIND):
        return _find_site(status, name.removeprefix(why_sites.KIND))
    if client := why_clients.named(status, name):
        peer = next((peer for peer in status.peers if peer.name == client.gateway), None)
        return Target(peer, client.address, client=client) if peer else None
    if is_address(name):
        if pod := why_pods.own_pod(status, name):
            raise CommandError(f"{pod}; `ip route get {name}` shows where it leads here")
        return _find_address(status, ip_address(name))
    peer = next((peer for peer in status.peers if name in (peer.name, str(peer.identity))), None)
    return Target(peer, peer.address) if peer else _find_site(status, name)


def _find_site(status: Status, name: str) -> Target | None:
    """Return the gateway by which a site is reached. Raises CommandError for a site of this node itself."""
    site = why_sites.named(status, name)
    if site is not None and site.own:
        raise CommandError(f"this node is a gateway of {name}; `wgpy mesh site show {name}` shows it")
    peer = next((peer for peer in status.peers if site and peer.name == site.used), None)
    return Target(peer, peer.address, site=site) if peer else None


def _find_address(status: Status, address: Address) -> Target | None:
    for peer in status.peers:
        if address in (peer.address, peer.address6):
            return Target(peer, address)
    behind = [
        Target(peer, address, route, site=why_sites.of_prefix(status, route))
        for peer in status.peers
        for route in peer.routes
        if address in route
    ]
    longest = max(behind, key=lambda target: target.prefix.prefixlen if target.prefix else 0, default=None)
    return longest or _find_exit(status, address)


def _find_exit(status: Status, address: Address) -> Target | None:
    """Return the gateway of the exit that this node uses, if that takes an address."""
    prefix, site = why_sites.default_route(status, address), why_sites.named(status, status.exit)
    peer = next((peer for peer in status.peers if peer.name == status.exit_gateway), None)
    return Target(peer, address, prefix, site=site) if peer and prefix and site else None
