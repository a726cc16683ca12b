"""What of a network has changed so that the file of a client is not right any more. Pure."""

from collections.abc import Iterator

from wgpy.address import Prefix, parse_endpoint
from wgpy.cli.mesh.client_exits import exit_troubles
from wgpy.cli.mesh.output import listed
from wgpy.mesh.member import Member
from wgpy.mesh.reach import tunnelled
from wgpy.mesh.records import Client, Ingress, Network
from wgpy.mesh.topology import Topology


def changes(network: Network, topology: Topology, client: Client) -> Iterator[str]:
    """Give sentences. client: as its record has it."""
    for ingress in client.ingresses:
        gateway = topology.member(ingress.gateway)
        if gateway is None:
            yield f"the gateway {ingress.gateway} is no node of the network any more"
        else:
            yield from _of_gateway(gateway, ingress)
            yield from _of_prefixes(network, topology, client, ingress)
    yield from exit_troubles(topology, client)


def _of_gateway(gateway: Member, ingress: Ingress) -> Iterator[str]:
    if gateway.key != ingress.key:
        yield f"{gateway.name} has another WireGuard key"
    if _has_moved(gateway, ingress):
        now = listed(gateway.endpoints, "nothing")
        yield f"the file dials {ingress.endpoint}, and {gateway.name} publishes {now}"


def _has_moved(gateway: Member, ingress: Ingress) -> bool:
    """A name is resolved by the client."""
    try:
        return parse_endpoint(ingress.endpoint) not in gateway.endpoints
    except ValueError:
        return False


def _of_prefixes(network: Network, topology: Topology, client: Client, ingress: Ingress) -> Iterator[str]:
    gateway = topology.member(ingress.gateway) if ingress.names else None
    wanted = tunnelled(network, topology, client, gateway)
    missing = [prefix for prefix in wanted if not any(_is_within(prefix, one) for one in ingress.prefixes)]
    if missing:
        yield f"{listed(missing)} can be reached now, which the file does not lead into the tunnel"


def _is_within(prefix: Prefix, other: Prefix) -> bool:
    return prefix.version == other.version and prefix.subnet_of(other)  # type: ignore[arg-type]
