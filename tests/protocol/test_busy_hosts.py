"""Chapter 22: hosts that are too busy to answer in time. Of this implementation."""

from dataclasses import dataclass, field
from random import Random

import pytest

from wgpy.testing.nat import LINUX, PORT_RESTRICTED

from . import whitepaper as wp
from .path_hosts import PathHost
from .test_paths import Pair

LOOK = wp.NS // 20
SEEDS = 4, 6, 13, 17, 20, 22  # with which a pause once grew although nothing was tried


@dataclass
class BusyPair:
    """Two hosts that stall for half a second to a second now and then; one pings the other twice a second."""

    seed: int
    pair: Pair = field(init=False)
    random: Random = field(init=False)
    answered: int = 0

    def __post_init__(self) -> None:
        self.pair = Pair.make((PORT_RESTRICTED, LINUX), seed=self.seed)
        self.random = Random(self.seed)
        for host in self.pair.hosts:
            self._stall_later(host)

    def _stall_later(self, host: PathHost) -> None:
        busy, idle = self.random.randint(wp.NS // 2, wp.NS), self.random.randint(0, 2 * wp.NS)

        def stall() -> None:
            host.stall(busy)
            self.pair.world.simulation.timeline.call_after(busy, lambda: self._stall_later(host))

        self.pair.world.simulation.timeline.call_after(idle, stall)

    def ping(self, duration: int) -> float:
        """Return for which share of this time both sent directly."""
        left, right, looks = *self.pair.hosts, []
        for number in range(duration // LOOK):
            if number % 10 == 0:
                self.pair.world.send(left, right)
            self.pair.world.run(LOOK)
            for _ in right.received[self.answered :]:
                self.pair.world.send(right, left)
            self.answered = len(right.received)
            looks.append(self.pair.is_direct)
        return sum(looks) / len(looks)


@pytest.mark.parametrize("number", SEEDS)
def test_a_path_that_was_left_because_a_host_was_busy_is_soon_in_use_again(number: int) -> None:
    pair = BusyPair(number)
    pair.ping(30 * wp.NS)

    assert pair.ping(60 * wp.NS) > 0.8
