"""The clients of a network: which are in force, and why others are not. Pure.

Invariant: a client takes no name, address or key from a node, nor from a client that was made before it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from enum import Enum
from ipaddress import IPv4Address
from math import inf
from typing import Protocol

from wgpy.keys import PublicKey
from wgpy.mesh.addressing import client_address6
from wgpy.mesh.records import Client, Ingress, Network
from wgpy.mesh.signing import VerifyKey


class ClientExclusion(Enum):
    """Why a client with a record is none."""

    REMOVED = "it was removed"
    EXPIRED = "it has expired"
    NAME_TAKEN = "its name is another's"
    KEY_TAKEN = "its WireGuard key is a node's"
    NO_INGRESS = "none of its gateways is a node of the network, or none of its addresses there is its own"


class _Member(Protocol):
    """What a member of the network has."""

    @property
    def identity(self) -> VerifyKey: ...
    @property
    def name(self) -> str: ...
    @property
    def key(self) -> PublicKey: ...
    @property
    def address(self) -> IPv4Address: ...


class Clients:
    """The clients that are in force, the one that was made first first. excluded: why others are not."""

    def __init__(
        self, network: Network, members: Iterable[_Member], clients: Iterable[Client], now: int
    ) -> None:
        """now: Unix seconds."""
        members = tuple(members)
        self._network = network
        self._now = now
        self._gateways = {member.identity for member in members}
        self._names = {member.name for member in members}
        self._keys = {member.key for member in members}
        self._addresses = {member.address for member in members}
        self.excluded: dict[PublicKey, ClientExclusion] = {}
        self.in_force = tuple(self._settle(sorted(clients, key=lambda client: client.sequence)))

    @property
    def until(self) -> float:
        """When the next one expires, Unix seconds; infinity if none does."""
        return min((client.expires for client in self.in_force if client.expires), default=inf)

    def _settle(self, clients: Sequence[Client]) -> Iterator[Client]:
        for client in clients:
            ingresses = tuple(one for one in client.ingresses if self._is_usable(client.key, one))
            if reason := self._exclusion(client, ingresses):
                self.excluded[client.key] = reason
                continue
            self._names.add(client.name)
            self._addresses.update(ingress.address for ingress in ingresses)
            yield client if ingresses == client.ingresses else replace(client, ingresses=ingresses)

    def _exclusion(self, client: Client, ingresses: Sequence[Ingress]) -> ClientExclusion | None:
        if client.removed:
            return ClientExclusion.REMOVED
        if not client.is_valid_at(self._now):
            return ClientExclusion.EXPIRED
        if client.name in self._names:
            return ClientExclusion.NAME_TAKEN
        if client.key in self._keys:
            return ClientExclusion.KEY_TAKEN
        return None if ingresses else ClientExclusion.NO_INGRESS

    def _is_usable(self, key: PublicKey, ingress: Ingress) -> bool:
        own6 = client_address6(self._network.addresses6, key, ingress.gateway)
        return (
            ingress.gateway in self._gateways
            and ingress.address6 == own6
            and ingress.address in self._network.addresses
            and ingress.address not in self._addresses
        )
