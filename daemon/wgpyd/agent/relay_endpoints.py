"""Where this node reaches the relays: where each was heard last, or by the coordinator's connection."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from wgpy.contract.endpoint import Endpoint
from wgpy.driver.interface import Interface
from wgpy.keys import PublicKey
from wgpy.mesh.plan import NodePlan, Tunnel
from wgpy.model import PeerUpdate

ByStream = Mapping[PublicKey, Endpoint]  # relays that are reached by a connection


class RelayEndpoints:
    """Of one node. endpoints: where each relay is."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._by_stream: ByStream = {}
        self.endpoints: Mapping[PublicKey, Endpoint] = {}
        self._relays: dict[Endpoint, PublicKey] = {}

    def configure(self, plan: NodePlan, by_stream: ByStream) -> tuple[NodePlan, list[PeerUpdate]]:
        """Return the plan with the relays where they are, and what moves those that are reached anew."""
        moves = [_moved(key, at) for key, at in by_stream.items()] if by_stream != self._by_stream else []
        self._by_stream = by_stream
        streams = {
            key: _before(endpoint, plan.tunnels[key])
            for key, endpoint in by_stream.items()
            if key in plan.tunnels
        }
        plan = replace(plan, tunnels={**plan.tunnels, **streams}) if streams else plan
        self.endpoints = dict(self._found(plan))
        self._relays = {endpoint: relay for relay, endpoint in self.endpoints.items()}
        return plan, moves

    def _found(self, plan: NodePlan) -> Iterator[tuple[PublicKey, Endpoint]]:
        """Give where each was heard last, unless that is another relay, by which it is reached itself."""
        relays = [one.key for one in plan.known.relays.values() if one.key in plan.tunnels]
        published = {endpoint: relay for relay in relays for endpoint in plan.tunnels[relay].endpoints}
        for relay in relays:
            present, endpoints = self._interface.path(relay).endpoint, plan.tunnels[relay].endpoints
            if present and relay not in self._by_stream and published.get(present, relay) == relay:
                yield relay, present
            elif endpoints:
                yield relay, endpoints[0]

    def get(self, relay: PublicKey) -> Endpoint | None:
        """Return where a relay is; None if that is not known, or if nothing passes to it."""
        return self.endpoints.get(relay) if not self._by_stream or relay in self._by_stream else None

    def relay_at(self, endpoint: Endpoint | None) -> PublicKey | None:
        return self._relays.get(endpoint) if endpoint else None

    def has_moved(self, key: PublicKey, endpoint: Endpoint) -> bool:
        """Return whether this is a relay that was heard somewhere else."""
        return self.endpoints.get(key, endpoint) != endpoint


def _moved(key: PublicKey, endpoint: Endpoint) -> PeerUpdate:
    return PeerUpdate(key, update_only=True, endpoint=endpoint, handshake=True)


def _before(endpoint: Endpoint, tunnel: Tunnel) -> Tunnel:
    return replace(tunnel, endpoints=(endpoint, *tunnel.endpoints))
