"""Whose endpoint is changed when this host is somewhere else, and whose is not."""

import time

from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PrivateKey, PublicKey
from wgpy.mesh.plan import Tunnel
from wgpy.model import PeerPath, PeerUpdate
from wgpyd.agent.unreachable import moved_peers

KEY = PrivateKey(bytes([1]) * 32).public_key()
FOUR, SIX, SIX_TOO = Endpoint("192.0.2.1", 1), Endpoint("2001:db8::1", 1), Endpoint("2001:db8::2", 1)
OTHER_FOUR = Endpoint("192.0.2.9", 1)


def changes(present: PeerPath, *endpoints: Endpoint, has_four: bool = False) -> list[PeerUpdate]:
    """On a host that has IPv6, and perhaps IPv4."""
    tunnels = {KEY: Tunnel(frozenset(), endpoints)}

    def path(key: PublicKey) -> PeerPath:
        return present

    return list(moved_peers(tunnels, path, lambda endpoint: endpoint.is_ipv6 or has_four))


def test_a_peer_is_moved_to_its_first_endpoint_that_there_is_a_way_to() -> None:
    now = time.time_ns()

    found = changes(PeerPath(FOUR, now), OTHER_FOUR, SIX, SIX_TOO)

    assert found == [PeerUpdate(KEY, update_only=True, endpoint=SIX, handshake=True)]


def test_one_that_is_not_used_is_not_called() -> None:
    found = changes(PeerPath(FOUR), SIX)

    assert found == [PeerUpdate(KEY, update_only=True, endpoint=SIX, handshake=False)]


def test_one_that_there_is_a_way_to_stays_where_it_is() -> None:
    assert changes(PeerPath(FOUR), SIX, has_four=True) == []
    assert changes(PeerPath(SIX_TOO), SIX) == []


def test_one_that_is_nowhere_else_stays_too() -> None:
    assert changes(PeerPath(FOUR), OTHER_FOUR) == []
    assert changes(PeerPath(), SIX) == []
