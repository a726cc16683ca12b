"""A suspended host wakes up: its boot clock jumped, its sessions are old.

Topology: topologies.Pair. The left daemon's boot clock is moved by bootclock.c; the right one lives on.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.hosts import HostProcess, Lab, Machine, eventually
from tests.integration.movedclock import MovedClock
from tests.integration.peers import Implementation, Userspace
from tests.integration.topologies import Pair, endpoint

# Bytes of UDP payload. A keepalive, for the answer to the first ping, is due unless the second is faster.
_INITIATION, _KEEPALIVE, _PACKET = 148, 32, 128


@dataclass(frozen=True, slots=True)
class MovableClock:
    """A daemon whose boot clock the test moves."""

    daemon: Userspace
    moved: MovedClock

    def machine(self, lab: Lab, name: str) -> Machine:
        return self.daemon.machine(lab, name)

    def start(self, machine: Machine, interface: str) -> HostProcess | None:
        return self.daemon.start(machine, interface)

    def stop(self, machine: Machine, interface: str, process: HostProcess | None) -> None:
        self.daemon.stop(machine, interface, process)

    def suspend(self, seconds: int) -> None:
        """Wake up after that long; once in a test."""
        self.moved.move(boot=seconds)


@pytest.fixture
def clock(tmp_path: Path, program: str) -> MovableClock:
    if Path(program).name == "wireguard-go":
        pytest.skip("wireguard-go asks the kernel for the time without the C library")
    moved = MovedClock.build(tmp_path)
    return MovableClock(Userspace(program, moved.environment), moved)


def test_after_a_suspend_the_first_packet_goes_through_a_new_session(
    lab: Lab, clock: MovableClock, peer: Implementation
) -> None:
    pair = Pair.build(lab, clock, peer)
    pair.introduce()
    pair.left.ping(pair.right)
    sent = pair.left.traffic(pair.right).sent

    time.sleep(0.1)  # the other side, which has not slept, answers an initiation every 20 ms at most
    clock.suspend(seconds=200)  # more than REJECT_AFTER_TIME, 180 s
    pair.left.ping(pair.right, within=2)

    begun = _INITIATION + _PACKET
    assert pair.left.traffic(pair.right).sent - sent in {begun, begun + _KEEPALIVE}


def test_a_short_suspend_does_not_end_the_session(
    lab: Lab, clock: MovableClock, daemon: Implementation
) -> None:
    pair = Pair.build(lab, clock, daemon)
    pair.introduce()
    pair.left.ping(pair.right)
    sent = pair.left.traffic(pair.right).sent

    clock.suspend(seconds=60)
    pair.left.ping(pair.right, within=2)

    assert pair.left.traffic(pair.right).sent - sent in {_PACKET, _PACKET + _KEEPALIVE}


def test_a_keepalive_that_became_due_in_the_suspend_goes_out_at_once(
    lab: Lab, clock: MovableClock, daemon: Implementation
) -> None:
    pair = Pair.build(lab, clock, daemon)
    pair.right.introduce(pair.left)
    pair.left.introduce(pair.right, endpoint("10.10.0.2"), keepalive=100)
    eventually(lambda: pair.right.traffic(pair.left).handshake > 0, "the first keepalive begins a session")
    eventually(pair.counters_agree, "and has arrived")
    received = pair.right.traffic(pair.left).received

    clock.suspend(seconds=110)

    eventually(lambda: pair.right.traffic(pair.left).received > received, "a keepalive", within=1)
