"""What a proxy tells of its tunnel: values in, text out."""

from wgpy.contract.constants import SECOND
from wgpy.keys import PresharedKey, PrivateKey
from wgpy.model import PeerStatus
from wgpy.prometheus import exposition
from wgpy.proxy.status_server import Connections, measures, silent_peers

_KEY = PrivateKey.generate().public_key()
_NOW = 1000 * SECOND


def peer(unanswered_since: int = 0) -> PeerStatus:
    return PeerStatus(
        _KEY,
        PresharedKey(bytes(32)),
        tx_bytes=7,
        rx_bytes=9,
        last_handshake_time=3 * SECOND,
        unanswered_since=unanswered_since,
    )


def test_a_peer_is_silent_when_it_leaves_something_unanswered_for_long() -> None:
    unanswered = peer(_NOW - 21 * SECOND)

    assert silent_peers([peer(), peer(_NOW - 19 * SECOND), unanswered], _NOW) == [unanswered]


def test_metrics_have_peers_and_connections() -> None:
    connections = Connections()
    connections.open["socks5h"] += 1
    connections.total["socks5h"] += 5

    text = exposition(measures([peer()], connections)).decode()

    for line in (
        f'wgpy_peer_sent_bytes_total{{key="{_KEY}"}} 7',
        f'wgpy_peer_received_bytes_total{{key="{_KEY}"}} 9',
        f'wgpy_peer_last_handshake_timestamp_seconds{{key="{_KEY}"}} 3.0',
        'wgpy_proxy_connections{listener="socks5h"} 1',
        'wgpy_proxy_connections_total{listener="socks5h"} 5',
    ):
        assert line in text.splitlines()
