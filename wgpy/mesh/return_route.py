"""How a node that is a host of a site reaches the mesh with an address of the site: by a gateway of it. Pure.

The others know the addresses of a site by its gateways alone, since one of these translates them or is whom
they are accepted from. So what bears such an address leaves by the gateway, in the site's own network, as it
does from hosts that are no nodes. What bears the node's address in the mesh does not.

Invariant: which site it is, an operator has said: sites with the same addresses are as good as each other.
"""

from collections.abc import Iterable

from wgpy.address import Address, Prefix
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.mesh.records import Network
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import Site


@dataclass(frozen=True, slots=True)
class ReturnRoute:
    """Of one node.

    site: its name; gateways: addresses of a gateway in networks of this host, one of each version of IP at
    most; sources: the site's own prefixes; destinations: what is reached by the gateway; trouble: why there
    is none, or "".
    """

    site: str
    gateways: tuple[Address, ...]
    sources: tuple[Prefix, ...] = ()
    destinations: tuple[Prefix, ...] = ()
    trouble: str = ""

    @property
    def warning(self) -> str:
        """A sentence if there is none, or else ""."""
        return self.trouble and (
            f"this host has no return route as a host of {self.site} ({self.trouble}), so what it sends with "
            "an address of the site does not arrive: `wgpy mesh site return --none` has it have none"
        )


def ranges(network: Network) -> tuple[Prefix, ...]:
    """Return what hosts of a site need a route to: the mapped sites and the nodes."""
    return network.pool, network.addresses, network.addresses6


def return_route(
    name: str,
    gateways: tuple[Address, ...],
    network: Network,
    sites: Iterable[Site],
    identity: VerifyKey,
) -> ReturnRoute | None:
    """Return that of a host of a site, None for no name. sites: those in force; identity: of the node."""
    if not name:
        return None
    site = next((site for site in sites if site.name == name), None)
    if trouble := _trouble(site, identity):
        return ReturnRoute(name, gateways, trouble=trouble)
    versions = {gateway.version for gateway in gateways}
    sources, destinations = (
        tuple(prefix for prefix in prefixes if prefix.version in versions)
        for prefixes in (site.real if site else (), ranges(network))
    )
    return ReturnRoute(name, gateways, sources, destinations)


def _trouble(site: Site | None, identity: VerifyKey) -> str:
    if site is None:
        return "no node that is known here is a gateway of it"
    if site.is_exit:
        return "it is an exit, which has no hosts"
    return "this node is a gateway of it itself" if site.gateway(identity) else ""
