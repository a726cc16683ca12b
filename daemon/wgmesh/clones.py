"""Clones: hosts that have one identity, as a copied disk or machine makes them. Time is given, never read.

Invariant: a host alone is never taken for two. The kernel ends the connection of a host that is gone or has
moved within 90 s (see the listener's options), so two connections that both last longer are of two hosts.
"""

from typing import Final

from wgpy.mesh.signing import VerifyKey

AGE: Final = 120.0  # seconds


class Clones:
    """The connections of one process, by identity: when each began, and its address."""

    def __init__(self) -> None:
        self._connections: dict[VerifyKey, list[tuple[float, str]]] = {}

    def connect(self, identity: VerifyKey, address: str, now: float) -> bool:
        """Return whether the identity has another connection. now: seconds of a monotonic clock."""
        connections = self._connections.setdefault(identity, [])
        connections.append((now, address))
        return len(connections) > 1

    def disconnect(self, identity: VerifyKey, address: str) -> None:
        connections = self._connections[identity]
        connections.remove(max(found for found in connections if found[1] == address))
        if not connections:
            del self._connections[identity]

    def addresses(self, identity: VerifyKey, now: float) -> list[str]:
        """Return the addresses of the hosts that have an identity if there are several, else none."""
        lasting = [address for began, address in self._connections.get(identity, ()) if now - began >= AGE]
        return sorted(lasting) if len(lasting) > 1 else []

    def identities(self, now: float) -> set[VerifyKey]:
        """Return the identities that several hosts have."""
        return {identity for identity in self._connections if self.addresses(identity, now)}
