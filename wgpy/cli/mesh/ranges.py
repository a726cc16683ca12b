"""What `wgpy mesh join` refuses: a network whose range takes from the host what the node itself needs."""

from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_interface
from urllib.parse import urlsplit

from wgpy.address import Address, HostPort, Prefix
from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.mesh.records import Network
from wgpy.node.coordinator_client import DEFAULT_PORT
from wgpy.node.coordinator_client import Address as Coordinator
from wgpy.node.names import addresses_of
from wgpy.node.overlaps import loses, read_gateways, read_route_prefixes


async def check_ranges(host: Host, network: Network, coordinator: Coordinator) -> None:
    """Raises CommandError if this host would lose its default gateway or the coordinator."""
    ranges, routes = (network.addresses, network.addresses6), _routes(host)
    prefixes = [*_networks(host), *read_route_prefixes(routes)]
    needed: dict[Address, str] = dict.fromkeys(read_gateways(routes), "the default gateway of this host")
    needed |= dict.fromkeys(await _addresses(coordinator), "the coordinator as this host reaches it")
    for address, what in needed.items():
        if lost := loses(address, ranges, prefixes):
            raise CommandError(
                f"{address}, {what}, would be lost, as it is within {lost}, the range of {network.name}: "
                "this host needs another network, or that one another range (`wgpy mesh init --addresses`)"
            )


def _routes(host: Host) -> list[dict[str, object]]:
    return [route for family in ("-4", "-6") for route in host.query_ip("-N", family, "route", "show")]


def _networks(host: Host) -> Iterator[Prefix]:
    for link in host.query_ip("address"):
        for found in link.get("addr_info", ()):
            if "local" in found:
                yield ip_interface(f"{found['local']}/{found['prefixlen']}").network


async def _addresses(coordinator: Coordinator) -> list[Address]:
    """Return the coordinator's addresses; a name that cannot be resolved now has none."""
    url = urlsplit(coordinator.near or coordinator.url)
    host = HostPort(url.hostname or "", url.port or DEFAULT_PORT)
    with suppress(OSError):
        return list(map(ip_address, await addresses_of(host, coordinator.mark)))
    return []
