"""Whether the gateways of a client can pass on what it sends to an exit. Pure."""

from collections.abc import Iterator

from wgpy.mesh.client_exit import exit_name, exit_users
from wgpy.mesh.ingress import entering_by_gateway
from wgpy.mesh.records import Client
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import Site, own_sites
from wgpy.mesh.topology import Topology


def exit_troubles(topology: Topology, client: Client) -> Iterator[str]:
    """Give sentences. client: of the topology, or one that is to be made."""
    exits = [site for site in topology.sites if site.is_exit]
    wanted = [site for site in exits if exit_users(topology, site, (client,))]
    for ingress in client.ingresses:
        member = topology.member(ingress.gateway)
        name = (member.name if member else "") or str(ingress.gateway)
        if wanted and not any(own_sites(wanted, ingress.gateway)):
            yield from _of_gateway(topology, exits, wanted, client, ingress.gateway, name)


def _of_gateway(
    topology: Topology, exits: list[Site], wanted: list[Site], client: Client, gateway: VerifyKey, name: str
) -> Iterator[str]:
    if own := next(own_sites(exits, gateway), None):
        yield (
            f"{name} is a gateway of {own.name} itself, so clients that enter by it do not reach "
            f"{wanted[0].name}: choose another --gateway"
        )
        return
    others = (one.client for one in entering_by_gateway(topology).get(gateway, ()))
    earlier = [one for one in others if one.key != client.key]
    used = exit_name(topology, [*earlier, client], gateway, "")
    if used not in {site.name for site in wanted}:
        yield (
            f"the exit of clients that enter by {name} is {used}, and a gateway passes on to one exit alone, "
            f"so {client.name} does not reach {wanted[0].name}: choose another --gateway"
        )
