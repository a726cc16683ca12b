"""What this node is: its file, and its record in the network.

Invariant: nobody hears a record that the file does not know of, so no two records have one sequence.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, Self

from wgpy.address import Address
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import WgpyError
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.mesh.codec import MAX_NUMBER
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.plan import LocalView, Routing
from wgpy.mesh.records import Node, Paths, RegisteredRelay, Sites, encode
from wgpy.mesh.signing import Signed
from wgpy.node.files import NodeFile, StorageError

from .host_networks import HostNetworks

_NO_WAYS: Final[Mapping[Address, str]] = {}
_KEPT: Final = "network.key"  # the administrator's, which outlives a node


class IdentityUsedUp(WgpyError):
    """No record can be signed any more: another host has the key, and signed the last that there can be."""


@dataclass(frozen=True, slots=True)
class OwnPaths:
    """What leads to this node beside its endpoints, as in `records.Paths`."""

    endpoints: tuple[Endpoint, ...] = ()
    relays: tuple[RegisteredRelay, ...] = ()
    nat: str = ""

    @classmethod
    def of(cls, record: Paths) -> Self:
        return cls(record.endpoints, record.relays, record.nat)


class LocalIdentity:
    """Of one node in one network. key: the public half of its identity key."""

    def __init__(self, folder: Path, node: NodeFile, ledger: Ledger) -> None:
        self._folder = folder
        self._ledger = ledger
        self.node = node
        self.key = node.identity.verify_key()
        self._routing = Routing(
            node.routing_table, node.mark, node.local_coordinator_port(folder.name), node.exit_table,
            node.clients_table, node.return_table,
        )  # fmt: skip

    def record(self) -> Node | None:
        """Return the newest that is known, whichever life of this node it is of."""
        return self._ledger.node(self.key)

    def signed(self) -> Signed | None:
        """Return the same as it was signed: a signature is always the same."""
        record = self.record()
        return None if record is None else self.node.identity.sign(encode(record))

    def signed_sites(self) -> Signed | None:
        """Return the newest announcement of this node's sites, as it was signed."""
        record = self._sites()
        return None if record is None else self.node.identity.sign(encode(record))

    def signed_paths(self) -> Signed | None:
        """Return the newest record of the paths to this node, as it was signed."""
        record = self._paths()
        return None if record is None else self.node.identity.sign(encode(record))

    def _sites(self) -> Sites | None:
        return self._ledger.find(Sites, bytes(self.key))

    def view(self, host: HostNetworks, ways: Mapping[Address, str] = _NO_WAYS) -> LocalView:
        """Return from where this node sees the others.

        ways: addresses that must not lead into the mesh, each with what is there.
        """
        record = self.record()
        return LocalView(
            self.key,
            self.node.address,
            {
                **host.networks,
                **{ip_network(address): what for address, what in ways.items()},
                **dict.fromkeys(self.node.routes, "a route of this node"),
            },
            frozenset(endpoint.address for endpoint in record.endpoints) if record else frozenset(),
            frozenset(address.version for address in host.addresses),
            self._routing,
            self.node.exit,
            self.node.return_site,
            self.node.return_gateways,
        )

    def is_published(self, endpoints: Sequence[Endpoint]) -> bool:
        """Return whether the network's record of this node is what it is now."""
        record, node = self.record(), self.node
        return record is not None and (
            record.name, record.key, record.address, record.routes, record.endpoints
        ) == (node.name, node.key.public_key(), node.address, node.routes, tuple(endpoints))  # fmt: skip

    def are_sites_published(self) -> bool:
        """Return whether the network's record of this node's sites is what they are now."""
        record = self._sites()
        return (record.sites if record else ()) == self.node.sites

    def published_paths(self) -> OwnPaths:
        """Return what the network's record says of the paths to this node."""
        record = self._paths()
        return OwnPaths.of(record) if record else OwnPaths()

    def _paths(self) -> Paths | None:
        return self._ledger.find(Paths, bytes(self.key))

    def is_foreign(self) -> bool:
        """Return whether the newest record was not signed by this host, as far as its file knows."""
        record = self.record()
        return record is not None and record.sequence > self.node.sequence

    def sign(self, endpoints: Sequence[Endpoint], **changes: Any) -> Signed:
        """Sign what this node is now, above all that it ever signed.

        changes: of its file. Raises StorageError and IdentityUsedUp.
        """
        last = _last(self.node.sequence, self.record())
        node, signed = replace(self.node, sequence=last, **changes).signed(endpoints)
        self._save(node)
        return signed

    def sign_sites(self, **changes: Any) -> Signed:
        """Sign of which sites this node is a gateway now, above all that it ever signed of them.

        changes: of its file. Raises StorageError, IdentityUsedUp, and ValueError for more than fits.
        """
        last = _last(self.node.sites_sequence, self._sites())
        node, signed = replace(self.node, sites_sequence=last, **changes).signed_sites()
        self._save(node)
        return signed

    def sign_paths(self, found: OwnPaths) -> Signed:
        """Sign what leads to this node now, above all that it ever signed of that.

        Raises StorageError and IdentityUsedUp.
        """
        last = _last(self.node.paths_sequence, self._paths())
        node, signed = replace(self.node, paths_sequence=last).signed_paths(
            found.endpoints, found.relays, found.nat
        )
        self._save(node)
        return signed

    def change_file(self, **changes: Any) -> None:
        """Change the file alone, which is no news for others. Raises StorageError."""
        self._save(replace(self.node, **changes))

    def forget(self) -> None:
        """Delete the node's folder, but not the administrator's key. Raises StorageError."""
        try:
            for path in self._folder.iterdir():
                if path.name != _KEPT:
                    path.unlink()
        except OSError as error:
            raise StorageError(f"{self._folder} cannot be deleted: {error.strerror}") from None
        with suppress(OSError):  # the key is there
            self._folder.rmdir()

    def _save(self, node: NodeFile) -> None:
        node.save(self._folder)
        self.node = node


def _last(sequence: int, record: Node | Paths | Sites | None) -> int:
    """Return the highest sequence that was signed. sequence: in the file. Raises IdentityUsedUp."""
    last = max(sequence, record.sequence if record else 0)
    if last >= MAX_NUMBER:
        raise IdentityUsedUp(
            "another host has this node's identity key, and signed a record that none can follow: "
            "`wgpy mesh leave` and join anew"
        )
    return last
