"""An idle tunnel wakes nobody.

Topology: topologies.Pair.
"""

import time
from pathlib import Path

import pytest

from tests.integration.hosts import Lab
from tests.integration.peers import Implementation, Peer, on_both_data_paths
from tests.integration.topologies import Pair

# After the last packet the timers of the session still run: a keepalive for what was received (10 s), a new
# handshake for what was not answered (15 s and jitter). The next one erases old keys, after 540 s.
_SETTLING = 20.0
_WATCHED = 60.0


@on_both_data_paths
@pytest.mark.slow
def test_a_minute_without_traffic_is_a_minute_without_a_wakeup(
    lab: Lab, daemon: Implementation, program: str
) -> None:
    if Path(program).name == "wireguard-go":
        pytest.skip("wireguard-go wakes up 330 to 460 times")
    pair = Pair.build(lab, daemon, daemon)
    pair.introduce()
    pair.left.ping(pair.right)
    pair.right.ping(pair.left)
    time.sleep(_SETTLING)
    before = _context_switches(pair.left), _context_switches(pair.right)

    time.sleep(_WATCHED)

    assert (_context_switches(pair.left), _context_switches(pair.right)) == before


def _context_switches(peer: Peer) -> int:
    """Return how often the threads of the peer's daemon have gone to sleep: a wake-up ends in one more."""
    assert peer.process is not None
    count = 0
    for status in Path(f"/proc/{peer.process.pid}/task").glob("*/status"):
        fields = dict(line.split(":\t") for line in status.read_text().splitlines() if "ctxt" in line)
        count += int(fields["voluntary_ctxt_switches"])
    assert count > 0
    return count
