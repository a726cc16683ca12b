"""The names of a network on one host: served at the node's addresses, and asked for by the host's resolver.

Invariant: whoever asks learns only of nodes that the rules let it know. What does not work is a warning.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from errno import EADDRNOTAVAIL
from importlib.util import find_spec
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface
from itertools import chain
from typing import Protocol

from wgpy.address import Address
from wgpy.dns.message import Labels, Query
from wgpy.dns.zone import Zone, domain_of
from wgpy.driver.interface import Interface
from wgpy.host import resolv_conf
from wgpy.host.split_dns import ResolverFailed, SplitDns
from wgpy.mesh.exit import Exit
from wgpy.mesh.plan import NodePlan
from wgpy.mesh.records import Network
from wgpy.node.files import NODES, NodeFile, StorageError

from .forwarder import Forwarder, Server
from .identity import LocalIdentity
from .known_names import KnownNames
from .membership import Membership
from .name_server import PORT, NameServer
from .reconcile.resolver import HostResolver
from .site_forwarder import SiteForwarder
from .warnings import Warnings


class Node(Protocol):
    """Whose names they are."""

    name: str
    interface: Interface
    identity: LocalIdentity
    membership: Membership
    plan: NodePlan
    warnings: Warnings


class Names:
    """On one host, from `apply` until it is closed."""

    def __init__(self, node: Node, on_change: Callable[[], None]) -> None:
        """on_change: called when `apply` is to be called again."""
        self._node = node
        self._known: KnownNames | None = None
        self._others: frozenset[str] = frozenset()
        self._is_closed = self._is_left = False
        self._forwarder = Forwarder(self._servers)
        self._exit_forwarder = Forwarder(self._servers_of_clients)
        self._site_forwarder = SiteForwarder()
        self._server = NameServer(self, self._forward)
        self._resolver = HostResolver(on_change)

    @property
    def resolver(self) -> str:
        """By what the host asks this node, "" if it does not."""
        return self._resolver.manager.value if self._resolver.manager else ""

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many questions were answered, forwarded and refused."""
        return self._server.outcomes

    def node_at(self, address: IPv6Address) -> str | None:
        """Return the name of the peer with an address, None if there is none."""
        return self._node.plan.names.get(address)

    async def apply(self, network: Network) -> None:
        """Serve what the plan has."""
        node = self._node
        if self._is_closed:
            return
        self._known = KnownNames(network, node.plan, node.membership.topology)
        self._check_library()
        is_serving = await self._serve(node.plan.link.addresses)
        await self._configure(network, is_asked=is_serving and node.identity.node.dns)

    def leave(self) -> None:
        """Have the host go on to ask: another process serves soon."""
        self._is_left = True

    async def close(self) -> None:
        """Serve no longer, and have the host ask no longer."""
        self._is_closed = True
        await self._server.close()
        if self._is_left:
            self._resolver.close()
        elif self._known is not None:
            await self._configure(self._known.network, is_asked=False)

    # -- What the server asks ------------------------------------------------------------------------

    def zone_for(self, asker: Address) -> Zone | None:
        """Return what somebody may know, None for nobody that is known."""
        return self._known.zone_for(asker) if self._known else None

    def is_local(self, asker: Address) -> bool:
        """Return whether this host itself asks: its kernel gives it the address that it asks at."""
        return any(asker == own.ip for own in self._node.plan.link.addresses)

    def may_ask_others(self, asker: Address, name: Labels) -> bool:
        """Return whether this host asks, or a client that enters here, whose file names no other server.

        Others ask a gateway of an exit, which they use; and hosts of a site, such as the name server of a
        cluster, may ask for what is below the names of sites.
        """
        is_client = self._known is not None and self._known.enters_here(asker)
        is_exit = any(site.is_exit for site in self._node.plan.own_sites)
        if self.is_local(asker) or is_client or is_exit:
            return True
        return self._known is not None and self._known.serves_hosts_of_sites(asker, name)

    async def _forward(self, data: bytes, query: Query, asker: Address, by_tcp: bool) -> bytes:
        """Ask the name servers of the site that a name is of, or else those that the host asked before."""
        found = self._known.delegation(asker, query.name) if self._known else None
        name = b".".join(query.name).decode(errors="replace")
        if found is None or name in self._node.identity.node.underlay_names:
            is_by_exit = self._known is not None and self._known.uses_exit(asker)
            forwarder = self._exit_forwarder if is_by_exit else self._forwarder
            return await forwarder.ask(data, query, by_tcp)
        servers = (Server(str(one)) for one in found.servers if not self.is_local(one))
        return await self._site_forwarder.ask(query, servers, found.site, by_tcp, found.renaming)

    def _servers(self) -> Iterator[Server]:
        """Give whom the host asked before, after those of its other networks, which know their own names."""
        own = {str(address.ip) for address in self._node.plan.link.addresses}
        text = resolv_conf.read()
        meshes = self._others & {*resolv_conf.servers(text)}
        yield from (Server(address, is_mesh=True) for address in sorted(meshes))
        others = (one for one in resolv_conf.foreign_servers(text) if one not in own | meshes)
        exit_ = self._node.plan.exit
        yield from map(Server, others if exit_ is None else self._exit_servers(exit_))

    def _servers_of_clients(self) -> Iterator[Server]:
        """Give whom clients ask that send by an exit of another node: nobody while it is not there."""
        found = self._node.plan.client_exit
        return map(Server, self._exit_servers(found.exit) if found else ())

    def _exit_servers(self, exit_: Exit) -> Iterator[str]:
        """Give the gateway of an exit, whose own servers are asked by it and not from here."""
        gateways = (peer.member for peer in self._node.plan.peers)
        return (str(one.address) for one in gateways if one.identity == exit_.gateway)

    def _check_library(self) -> None:
        """Warn if answers of sites cannot be read."""
        is_missing = self._known is not None and self._known.site_zones and find_spec("dns") is None
        sentence = "names of sites' own zones are not resolved: install the Python package dnspython"
        self._node.warnings.set("site zones", sentence if is_missing else "")

    # -- What is done to the host --------------------------------------------------------------------

    async def _serve(self, addresses: Iterable[IPv4Interface | IPv6Interface]) -> bool:
        """Return whether names are served."""
        try:
            await self._server.listen(address.ip for address in addresses)
        except OSError as error:
            is_missing = error.errno == EADDRNOTAVAIL  # the reconciler says why
            sentence = f"names are not served: port {PORT} of this node cannot be used: {error.strerror}"
            self._node.warnings.set("names", "" if is_missing else sentence)
            return False
        self._node.warnings.set("names", "")
        return True

    async def _configure(self, network: Network, *, is_asked: bool) -> None:
        name, interface = self._node.name, self._node.interface.name
        try:
            if is_asked and not self._is_closed and self._known is not None:
                self._others = frozenset(_addresses_of_others(name))
                server = str(self._node.identity.node.address)
                apexes = chain(self._known.apexes(), self._known.site_zones)
                domains = tuple(b".".join(apex).decode() for apex in apexes)
                is_for_all = self._node.plan.exit is not None
                await self._resolver.apply(SplitDns(name, interface, server, domains, is_for_all))
            elif self._resolver.is_told:
                await self._resolver.undo(name, interface)
            self._node.warnings.set("resolver", "")
        except (ResolverFailed, OSError) as error:
            sentence = f"this host does not resolve names of {domain_of(network.name)}: {error}"
            self._node.warnings.set("resolver", sentence)


def _addresses_of_others(network: str) -> Iterator[str]:
    """Give the addresses of this host's nodes in other networks."""
    for folder in NODES.glob("*"):
        if folder.name != network:
            try:
                yield str(NodeFile.load(folder).address)
            except StorageError:
                continue
