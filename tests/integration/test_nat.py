"""A peer behind a router that translates addresses and soon forgets.

Topology: topologies.BehindNAT.
"""

import time

import pytest

from tests.integration.hosts import Lab, eventually
from tests.integration.peers import Implementation, on_both_data_paths
from tests.integration.topologies import BehindNAT, endpoint

_MAPPING_SECONDS = 3
_SILENCE = 6.0  # seconds: the router forgets, and no timer of WireGuard has sent yet (10 s)


@on_both_data_paths
@pytest.mark.parametrize("hidden", ["daemon", "peer"])
def test_a_persistent_keepalive_keeps_the_way_in_open(
    lab: Lab, daemon: Implementation, peer: Implementation, hidden: str
) -> None:
    inside, outside = (daemon, peer) if hidden == "daemon" else (peer, daemon)
    network = BehindNAT.build(lab, inside, outside, mapping_seconds=_MAPPING_SECONDS)
    network.outside.introduce(network.hidden)
    network.hidden.introduce(network.outside, endpoint("10.10.0.2"), keepalive=1)
    eventually(
        lambda: network.outside.traffic(network.hidden).handshake > 0, "the keepalive begins a session"
    )

    time.sleep(_SILENCE)

    network.outside.ping(network.hidden)


def test_without_a_keepalive_the_way_in_closes(lab: Lab, daemon: Implementation) -> None:
    """Shows that the test above tests something."""
    network = BehindNAT.build(lab, daemon, daemon, mapping_seconds=_MAPPING_SECONDS)
    network.outside.introduce(network.hidden)
    network.hidden.introduce(network.outside, endpoint("10.10.0.2"))
    network.hidden.ping(network.outside)
    network.outside.ping(network.hidden)

    time.sleep(_SILENCE)

    assert not network.outside.reaches(network.hidden)
