"""Who watches the wall clock is told when it is set."""

import select
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.mesh.wallclock import set_clock
from wgpy.host.wallclock import ClockMonitor


@pytest.fixture
def monitor() -> Iterator[ClockMonitor]:
    with closing(ClockMonitor()) as made:
        yield made


def tells(monitor: ClockMonitor, within: float = 0) -> bool:
    readable, _, _ = select.select([monitor], [], [], within)
    return bool(readable)


def test_as_long_as_nobody_sets_the_clock_nothing_is_told(monitor: ClockMonitor) -> None:
    assert not tells(monitor)
    monitor.acknowledge()
    assert not tells(monitor)


def test_it_tells_each_time_that_the_clock_was_set(monitor: ClockMonitor) -> None:
    for _ in range(3):
        set_clock()
        assert tells(monitor, within=10)

        monitor.acknowledge()
        assert not tells(monitor)
