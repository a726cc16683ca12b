"""What nodes that cease to be members take with them: sites without another gateway, and clients. Pure."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Self

from wgpy.cli import documents
from wgpy.cli.mesh.output import listed
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import Topology


@dataclass(frozen=True, slots=True)
class Dependents:
    """sites: that lose their only gateway; clients: that enter by no other node; names, sorted."""

    sites: tuple[str, ...]
    clients: tuple[str, ...]

    @classmethod
    def of(cls, topology: Topology, nodes: Collection[VerifyKey]) -> Self:
        """nodes: identities of those that go, which are still in the topology."""
        sites = (one.name for one in topology.sites if all(each.identity in nodes for each in one.gateways))
        clients = (
            one.name for one in topology.clients if all(each.gateway in nodes for each in one.ingresses)
        )
        return cls(tuple(sorted(sites)), tuple(sorted(clients)))

    def lines(self) -> Iterator[str]:
        """Give sentences for people."""
        if self.sites:
            yield f"Sites that lose their only gateway, and are reached by nobody now: {listed(self.sites)}."
        if self.clients:
            yield (
                f"Clients that entered only by it, and are none now: {listed(self.clients)}. `wgpy mesh "
                "client add NAME --gateway NODE` makes a new file."
            )

    def document(self) -> documents.Dependents:
        return {"lost_sites": list(self.sites), "lost_clients": list(self.clients)}
