"""The administrator of a network: the holder of its key, who reads all records and signs admin records.

Invariant: the sequence number of an admin record is in the key's file, which is locked, before the record
leaves this process; so no two admin records of this host have the same, and a coordinator takes only one of
those of several hosts.
"""

import time
from argparse import Namespace
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import networks
from wgpy.cli.mesh.clock import check_clock
from wgpy.cli.mesh.membership import read_ledger
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import AdminRecord, Node, encode, network_id
from wgpy.mesh.selectors import Names, names_of
from wgpy.mesh.signing import Signed
from wgpy.mesh.topology import Topology, derive
from wgpy.node.coordinator_client import Address, Coordinator
from wgpy.node.files import NetworkKeyFile, locked

_MAX_OVERTAKINGS: Final = 8  # sequence numbers that other hosts took at the same moment


@dataclass(slots=True)
class Administrator:
    """A connection to the coordinator in the name of the network's key, and the ledger of all records.

    trusts_clock: whether this host's clock is right although the newest record is of its future.
    """

    file: NetworkKeyFile
    path: Path
    coordinator: Coordinator
    ledger: Ledger
    trusts_clock: bool = False

    @property
    def topology(self) -> Topology:
        return derive(self.ledger, int(time.time()))

    @property
    def names(self) -> Names:
        return names_of(self.ledger.nodes(), self.topology)

    async def publish(self, kind: Callable[..., AdminRecord], **fields: Any) -> None:
        """Sign an admin record, and return once the coordinator has stored it.

        Raises CommandError, CoordinatorError and StorageError.
        """
        check_clock(int(time.time()), self.coordinator.ahead, self.ledger.newest, trusted=self.trusts_clock)
        async with locked(self.path.parent):
            for others in range(_MAX_OVERTAKINGS + 1):
                record, signed = self._sign(kind, fields)
                (outcome,) = await self.coordinator.submit([signed])
                if outcome.verdict == "new":
                    self.ledger.add(signed)
                    return
                if others == _MAX_OVERTAKINGS or not await self._was_overtaken(record):
                    raise CommandError(
                        f"the coordinator refused the record: {outcome.reason or 'it has a newer one'}; "
                        "run the command again"
                    )

    def _sign(self, kind: Callable[..., AdminRecord], fields: dict[str, Any]) -> tuple[AdminRecord, Signed]:
        """Take the next sequence number, and sign with it. Raises CommandError and StorageError."""
        file = NetworkKeyFile.load(self.path)
        sequence = max(file.sequence, self.ledger.state_digest().sequence) + 1
        self.file = replace(file, sequence=sequence, used=int(time.time()))
        self.file.save(self.path)
        key = self.file.key.verify_key()
        try:
            record = kind(
                network=network_id(key), signer=key, sequence=sequence, time=self.file.used, **fields
            )
            return record, self.file.key.sign(encode(record))
        except ValueError as error:
            raise CommandError(str(error)) from None

    async def _was_overtaken(self, record: AdminRecord) -> bool:
        """Return whether another host took the sequence number for a record on another subject.

        Raises CommandError if it was on the same subject, as the command may then mean something else, and
        CoordinatorError.
        """
        before = self.ledger.newest_of(record)
        self.ledger = read_ledger(self.ledger.key, await self.coordinator.records())
        if self.ledger.newest_of(record) != before:
            raise CommandError("another administrator has just changed the same; run the command again")
        return self.ledger.state_digest().sequence >= record.sequence

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
        ledger = read_ledger(network, await coordinator.records())
        trusts_clock = bool(vars(arguments).get("trust_clock"))
        yield Administrator(file, path, coordinator, ledger, trusts_clock)


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
