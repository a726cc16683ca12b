"""The exit of a node: the site by which it sends what no other route has. Pure.

An exit is a site whose prefixes are default routes. It takes no traffic but that of nodes whose own file
names it, so an announcement changes nothing anywhere.

Invariant: what a node with an exit sends by no other route goes to a gateway of the exit or nowhere, in both
versions of IP, whether there is such a gateway or not.
"""

from collections.abc import Collection, Iterable, Mapping

from wgpy.address import Prefix
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import Site


@dataclass(frozen=True, slots=True)
class Exit:
    """What a node uses as its exit.

    name: of the site; gateway: by which it is reached, None for none; routes: default routes that lead to it,
    those of the other version of IP lead nowhere; trouble: why none leads to it, or "".
    """

    name: str
    gateway: VerifyKey | None = None
    routes: tuple[Prefix, ...] = ()
    trouble: str = ""

    @property
    def warning(self) -> str:
        """A sentence if it is not there, or else ""."""
        return self.trouble and (
            f"the exit {self.name} is not there ({self.trouble}), so this host reaches its own networks and "
            "the mesh alone: `wgpy mesh use --none` has it use its own default route"
        )


def exit_of(
    name: str, sites: Iterable[Site], used: Mapping[VerifyKey, Collection[Site]], identity: VerifyKey
) -> Exit | None:
    """Return the exit with a name, None for no name.

    used: the sites that are reached by each peer; identity: of the node that uses it.
    """
    if not name:
        return None
    known = [site for site in sites if site.is_exit]
    if own := next((site.name for site in known if site.gateway(identity)), ""):
        return Exit(name, trouble=f"this node is a gateway of {own} itself")
    site = next((site for site in known if site.name == name), None)
    if site is None:
        exits = ", ".join(site.name for site in known) or "none"
        return Exit(name, trouble=f"no site of that name has a default route; the exits: {exits}")
    gateway = next((peer for peer, behind in used.items() if site in behind), None)
    if gateway is None:
        return Exit(name, trouble="no rule joins this node with a gateway of it")
    return Exit(name, gateway, site.mapped)
