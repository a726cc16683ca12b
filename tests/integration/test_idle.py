"""An idle tunnel wakes nobody, nor does an idle network.

Topology: topologies.Pair; meshlan.
"""

import time
from pathlib import Path

import pytest

from tests.integration.hosts import Lab
from tests.integration.meshlan import Lan
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
    before = _context_switches(_pid(pair.left)), _context_switches(_pid(pair.right))

    time.sleep(_WATCHED)

    assert (_context_switches(_pid(pair.left)), _context_switches(_pid(pair.right))) == before


@pytest.mark.slow
def test_a_minute_without_traffic_is_a_minute_without_a_wakeup_in_a_network(lab: Lab) -> None:
    lan = Lan(lab)
    hub = lan.add("hub")
    lan.init()
    web = lan.joined("web")
    hub.ping(web)
    web.ping(hub)
    time.sleep(_SETTLING)
    processes = [*hub.agents(), *web.agents(), *lan.coordinator.processes()]
    assert len(processes) == 3
    before = list(map(_context_switches, processes))

    time.sleep(_WATCHED)

    assert list(map(_context_switches, processes)) == before


def _pid(peer: Peer) -> int:
    assert peer.process is not None
    return peer.process.pid


def _context_switches(pid: int) -> int:
    """Return how often the threads of a process have gone to sleep: a wake-up ends in one more."""
    count = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        fields = dict(line.split(":\t") for line in status.read_text().splitlines() if "ctxt" in line)
        count += int(fields["voluntary_ctxt_switches"])
    assert count > 0
    return count
