"""A member of a network: what the topology makes of a node's records. A value."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from wgpy.address import Prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.keys import PublicKey
from wgpy.mesh.links import selectors_of
from wgpy.mesh.records import Paths
from wgpy.mesh.signing import VerifyKey


@dataclass(frozen=True, slots=True)
class Member:
    """A node that is admitted.

    name: "" if another member has it; routes: those that it may announce and that no earlier member has;
    standby: those that it may announce and that an earlier member has; requested: the others; paths: what
    else leads to it, as far as it has published that.
    """

    identity: VerifyKey
    name: str
    key: PublicKey
    address: IPv4Address
    address6: IPv6Address
    tags: frozenset[str]
    routes: tuple[Prefix, ...]
    requested: tuple[Prefix, ...]
    endpoints: tuple[Endpoint, ...]
    standby: tuple[Prefix, ...] = ()
    paths: Paths | None = None

    @property
    def announced(self) -> tuple[Prefix, ...]:
        """What leads to it, perhaps only if another node fails."""
        return *self.routes, *self.standby

    @property
    def allowed_ips(self) -> tuple[Prefix, ...]:
        return IPv4Network(self.address), IPv6Network(self.address6), *self.routes

    @property
    def selectors(self) -> list[str]:
        """What selects it in a rule."""
        return selectors_of(self.identity, self.name, self.tags)
