"""The administrator of a network: the holder of its key, who reads all records and signs admin records.

Invariant: the sequence number of an admin record is in the key's file before the record leaves this
process, so no two admin records have the same.
"""

import time
from argparse import Namespace
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import networks
from wgpy.cli.mesh.membership import read_ledger
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import AdminRecord, Node, encode, network_id
from wgpy.mesh.topology import Topology, derive
from wgpy.node.coordinator_client import Address, Coordinator
from wgpy.node.files import NetworkKeyFile


@dataclass(slots=True)
class Administrator:
    """A connection to the coordinator in the name of the network's key, and the ledger of all records."""

    file: NetworkKeyFile
    path: Path
    coordinator: Coordinator
    ledger: Ledger

    @property
    def topology(self) -> Topology:
        return derive(self.ledger, int(time.time()))

    async def publish(self, kind: Callable[..., AdminRecord], **fields: Any) -> None:
        """Sign an admin record, and return once the coordinator has stored it.

        Raises CommandError, CoordinatorError and StorageError.
        """
        sequence = max(self.file.sequence, self.ledger.state_digest().sequence) + 1
        self.file = replace(self.file, sequence=sequence, used=int(time.time()))
        self.file.save(self.path)
        key = self.file.key
        try:
            record = kind(
                network=network_id(key.verify_key()),
                signer=key.verify_key(),
                sequence=sequence,
                time=self.file.used,
                **fields,
            )
            signed = key.sign(encode(record))
        except ValueError as error:
            raise CommandError(str(error)) from None
        (outcome,) = await self.coordinator.submit([signed])
        if outcome.verdict != "new":
            raise CommandError(
                f"the coordinator refused the record: {outcome.reason or 'it has a newer one'}; "
                "run the command again"
            )
        self.ledger.add(signed)

    def node(self, name: str) -> Node:
        """Return the node of a name or identity. Raises CommandError."""
        named = {member.name: member.identity for member in self.topology.members}
        identity = named.get(name)
        nodes = self.ledger.nodes()
        found = [node for node in nodes if node.signer == identity] or [
            node for node in nodes if name in (node.name, str(node.signer))
        ]
        if len(found) != 1:
            raise CommandError(
                f"several nodes had the name {name}; give the identity: `wgpy mesh node-list --json` shows it"
                if found
                else f"there is no node {name}; there are {', '.join(sorted(named)) or 'none'}"
            )
        return found[0]


@asynccontextmanager
async def administrator(arguments: Namespace) -> AsyncIterator[Administrator]:
    """Read the network's key, connect, and read all records. Raises CommandError and others."""
    path, address = _key_and_address(arguments)
    file = NetworkKeyFile.load(path)
    network = file.key.verify_key()
    async with Coordinator(address or Address(file.url, file.key_hash), network, file.key) as coordinator:
        yield Administrator(file, path, coordinator, read_ledger(network, await coordinator.records()))


def _key_and_address(arguments: Namespace) -> tuple[Path, Address | None]:
    """Return the path of the key, and the coordinator's address in this host's node file, if there is one."""
    if arguments.key:
        return Path(arguments.key), None
    network = networks.selected(arguments)
    path = networks.key_path(network)
    if not path.exists():
        raise CommandError(
            f"the key of {network} is not on this host ({path}); use the host that has the key, or --key FILE"
        )
    node = networks.node_file(network)
    return path, node.coordinator if node else None
