"""The alarm on the boot clock."""

import select
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from wgpy.contract.constants import MILLISECOND, SECOND
from wgpy.host.bootclock import Alarm, boottime


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    with closing(Alarm()) as made:
        yield made


def rings(alarm: Alarm, within: float = 0) -> bool:
    readable, _, _ = select.select([alarm], [], [], within)
    return bool(readable)


def test_the_boot_clock_is_the_hosts() -> None:
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    assert before <= boottime() <= before + SECOND


def test_it_rings_when_its_time_has_come(alarm: Alarm) -> None:
    when = boottime() + 20 * MILLISECOND
    alarm.set(when)

    assert rings(alarm, within=10)
    assert boottime() >= when


def test_a_time_that_has_passed_rings_at_once(alarm: Alarm) -> None:
    alarm.set(0)

    assert rings(alarm, within=10)


def test_it_does_not_ring_before_nor_when_nothing_is_set(alarm: Alarm) -> None:
    assert not rings(alarm)
    alarm.set(boottime() + 1000 * SECOND)
    assert not rings(alarm)


def test_it_can_be_taken_back(alarm: Alarm) -> None:
    alarm.set(1)
    alarm.set(None)

    assert not rings(alarm)


def test_once_acknowledged_it_rings_again_for_the_same_time(alarm: Alarm) -> None:
    alarm.set(1)
    assert rings(alarm, within=10)

    alarm.acknowledge()
    assert not rings(alarm)

    alarm.set(1)
    assert rings(alarm, within=10)
