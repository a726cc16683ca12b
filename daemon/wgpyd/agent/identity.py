"""What this node says of itself: its file, and its record in the network.

Invariant: nobody hears a record that the file does not know of, so no two records have one sequence.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import Node, encode
from wgpy.mesh.signing import Signed
from wgpy.node.files import NodeFile, StorageError

_KEPT: Final = "network.key"  # the administrator's, which outlives a node


class LocalIdentity:
    """One node's own word."""

    def __init__(self, folder: Path, node: NodeFile, ledger: Ledger) -> None:
        self._folder = folder
        self._ledger = ledger
        self.node = node
        self.identity = node.identity.verify_key()

    def record(self) -> Node | None:
        """Return the newest that is known, whichever life of this node it is of."""
        return self._ledger.node(self.identity)

    def signed(self) -> Signed | None:
        """Return the same as it was signed: a signature is always the same."""
        record = self.record()
        return None if record is None else self.node.identity.sign(encode(record))

    def is_said(self, endpoints: Sequence[Endpoint]) -> bool:
        """Say whether the network's record of this node is what it is now."""
        said, node = self.record(), self.node
        return said is not None and (said.name, said.key, said.address, said.routes, said.endpoints) == (
            node.name, node.key.public_key(), node.address, node.routes, tuple(endpoints)
        )  # fmt: skip

    def is_foreign(self) -> bool:
        """Say whether the newest record was not signed by this host, as far as its file knows."""
        said = self.record()
        return said is not None and said.sequence > self.node.sequence

    def say(self, endpoints: Sequence[Endpoint], name: str = "") -> Signed:
        """Sign what this node is now, above all that it ever said. Raises StorageError."""
        said = self.record()
        last = max(self.node.sequence, said.sequence if said else 0)
        node, signed = replace(self.node, sequence=last, name=name or self.node.name).signed(endpoints)
        node.save(self._folder)
        self.node = node
        return signed

    def take_back_name(self, name: str) -> None:
        """The new one was not accepted. Raises StorageError."""
        self.node = replace(self.node, name=name)
        self.node.save(self._folder)

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
