"""What the commands of this host ask of a node, by the local API."""

import asyncio
from typing import Final

from wgpy.address import Address, parse_host_port
from wgpy.dns.zone import domain_of
from wgpy.driver.interface import Interface
from wgpy.host.iproute import IpFailed
from wgpy.mesh.exit import exit_of
from wgpy.mesh.plan import Peer, first_gateway, used_sites
from wgpy.mesh.return_route import return_route
from wgpy.node.agent_client import (
    AgentError,
    CoreDnsAnswer,
    EndpointChange,
    RoundTrip,
    RoundTripWanted,
    RouteChange,
    SiteAddition,
    SiteAnswer,
    SiteReturn,
    Status,
    UdpAnswer,
)
from wgpy.node.files import StorageError, parse_keepalive
from wgpy.node.names import describe
from wgpy.node.network_check import NetworkCheck

from .network_check import check_network
from .path_report import measure, used_path
from .publisher import Publisher
from .rejected_records import RejectedRecords
from .sites import SiteAnnouncer
from .status import Node, report
from .wake import Wake

_MAX_WAIT: Final = 30.0  # seconds, for a peer's answer


class Control:
    """Of one node."""

    def __init__(self, node: Node, publisher: Publisher, wake: Wake) -> None:
        self._node = node
        self._publisher = publisher
        self._sites = SiteAnnouncer(node.identity, node.store, node.subscription, publisher)
        self._wake = wake

    @property
    def interface(self) -> Interface:
        return self._node.interface

    @property
    def rejected(self) -> RejectedRecords:
        return self._node.store.rejected

    async def status(self) -> Status:
        """Raises LookupError with a sentence as long as the node does not know what the network is."""
        return await report(self._node)

    async def rename(self, name: str) -> None:
        """Return once the coordinator has it. Raises AgentError."""
        await self._publisher.rename(name)
        self._wake.now()

    async def set_keepalive(self, keepalive: str) -> None:
        """Raises AgentError."""
        try:
            self._node.identity.change_file(keepalive=parse_keepalive(keepalive))
        except (StorageError, ValueError) as error:
            raise AgentError(str(error)) from None
        self._wake.now()

    async def change_routes(self, change: RouteChange) -> None:
        """Return once the coordinator has it. Raises AgentError."""
        await self._publisher.change_routes(change)
        self._node.membership.derive()
        self._wake.now()

    async def add_site(self, addition: SiteAddition) -> SiteAnswer:
        """Return once the coordinator has it. Raises AgentError."""
        if addition.kubernetes:
            addition = await self._node.cluster.completed(addition)
        addition = self._sites.completed(addition)
        await self._sites.check(addition)
        await self._check_host(addition)
        reason = await self._sites.add(addition)
        self._node.cluster.follow_site(addition.name, is_followed=addition.kubernetes)
        self._learn_sites()
        return SiteAnswer(reason, self._sites.ranges_back(addition))

    async def remove_site(self, name: str) -> None:
        """Return once the coordinator has it. Raises AgentError."""
        self._node.cluster.follow_site(name, is_followed=False)
        await self._sites.remove(name)
        self._learn_sites()

    async def change_coredns(self, site: str) -> CoreDnsAnswer:
        """Have CoreDNS of the cluster ask the gateways of a site of it, nobody for "". Raises AgentError."""
        network = self._node.store.ledger.charter()
        if network is None:
            raise AgentError("this node does not know its network yet: try again when it is connected")
        domain, servers = domain_of(network.name), self._name_servers(site) if site else ()
        return CoreDnsAnswer(await self._node.cluster.change_dns(domain, servers), domain, servers)

    def _name_servers(self, name: str) -> tuple[Address, ...]:
        """Return the addresses of a site's gateways, this one's first, as its hosts have them reach it.

        Raises AgentError.
        """
        site = next((one for one in self._node.plan.own_sites if one.name == name), None)
        if site is None:
            raise AgentError(f"this node is no gateway of a site {name} that is in force")
        own, topology = self._node.identity.key, self._node.membership.topology
        identities = sorted((one.identity for one in site.gateways), key=lambda one: one != own)
        members = [member for one in identities if (member := topology.member(one))]
        has_ipv4 = any(prefix.version == 4 for prefix in site.real)
        return tuple(member.address if has_ipv4 else member.address6 for member in members)

    async def _check_host(self, addition: SiteAddition) -> None:
        """Raise AgentError if packets to the site do not pass this host, nor would with --firewall."""
        try:
            found = await self._node.reconciler.gateway.obstacles(self._node.plan, addition.prefixes)
        except IpFailed as error:
            raise AgentError(str(error)) from None
        if found.ways:
            raise AgentError("; ".join(found.ways))
        if found.closed and not addition.firewall:
            raise AgentError(f"{'; '.join(found.closed)}; or --firewall has the node see to that")

    def _learn_sites(self) -> None:
        self._node.membership.derive()
        self._wake.now()

    async def use_exit(self, name: str) -> None:
        """Use an exit, or the host's own default route if the name is "". Raises AgentError."""
        if name and (trouble := self._trouble_of_exit(name)):
            raise AgentError(f"{name} cannot be the exit of this node: {trouble}")
        try:
            self._node.identity.change_file(exit=name)
        except StorageError as error:
            raise AgentError(str(error)) from None
        self._wake.now()

    def _trouble_of_exit(self, name: str) -> str:
        topology, identity = self._node.membership.topology, self._node.identity.key
        used = used_sites(topology.sites, topology.joined_peers(identity), identity, first_gateway, {name})
        found = exit_of(name, topology.sites, used, identity)
        return found.trouble if found else ""

    async def change_return(self, change: SiteReturn) -> None:
        """Have the return route of a host of a site, none if its name is "". Raises AgentError."""
        if change.site and (trouble := self._trouble_of_return(change)):
            raise AgentError(f"this host cannot have a return route as a host of {change.site}: {trouble}")
        try:
            self._node.identity.change_file(return_site=change.site, return_gateways=change.gateways)
        except StorageError as error:
            raise AgentError(str(error)) from None
        self._wake.now()

    def _trouble_of_return(self, change: SiteReturn) -> str:
        network, view = self._node.store.ledger.charter(), self._node.plan.view
        if network is None or view is None:
            return "this node does not know its network yet"
        for gateway in change.gateways:
            if not any(gateway.version == one.version and gateway in one for one in view.networks):
                return (
                    f"{gateway} is in no network of this host; give the gateway's address in such a network"
                )
        sites, key = self._node.membership.topology.sites, self._node.identity.key
        found = return_route(change.site, change.gateways, network, sites, key)
        return found.trouble if found else ""

    def interface_changed(self) -> None:
        """Compare the interface with the plan, since another program has configured it, `wg` say."""
        self._wake.now()

    async def change_endpoints(self, change: EndpointChange) -> None:
        """Return once the names are resolved. Raises AgentError."""
        try:
            await self._node.endpoints.change([parse_host_port(host) for host in change.hosts])
        except (StorageError, ValueError) as error:
            raise AgentError(str(error)) from None
        except OSError as error:
            raise AgentError(f"{', '.join(change.hosts)} cannot be resolved: {describe(error)}") from None

    async def ask_by_udp(self, identity: str) -> tuple[UdpAnswer, ...]:
        """Raises AgentError."""
        peer, interface, paths = self._peer(identity), self._node.interface, self._node.paths
        key = peer.member.key
        path, present = used_path(interface, paths, self._node.plan, key), interface.path(key).endpoint
        current = [present] if present and not (path.relay or path.by_connection) else []
        return await paths.pings.ask(key, [*current, *paths.nat64.endpoints(peer.tunnel.endpoints)])

    async def measure(self, wanted: RoundTripWanted) -> RoundTrip:
        """Raises AgentError."""
        key, plan = self._peer(str(wanted.identity)).member.key, self._node.plan
        seconds = min(wanted.milliseconds / 1000, _MAX_WAIT)
        return await measure(self._node.interface, self._node.paths, plan, key, seconds)

    def _peer(self, identity: str) -> Peer:
        """Raises AgentError."""
        peers = self._node.plan.peers
        if found := next((peer for peer in peers if str(peer.member.identity) == identity), None):
            return found
        raise AgentError(f"no peer has the identity {identity}")

    async def check_network(self) -> NetworkCheck:
        """Ask all relays."""
        return await check_network(self._node.paths, self._node.plan, self._node.interface.listen_port)

    async def leave(self) -> None:
        """Have the coordinator know, forget the network, and end soon. Raises AgentError."""
        await self._publisher.leave(is_over=self._node.membership.is_over)
        asyncio.get_running_loop().call_soon(self._node.interface.close)
