"""The clocks of keys on disk: what the next life of a daemon goes on from."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from wgpy.contract.constants import SECOND
from wgpyd.state import TimestampFiles

KEY = b"\x01" * 32
OTHER = b"\x02" * 32
MINUTE = 60 * SECOND
TODAY = 1_800_000_000 * SECOND


def life(directory: Path, wall: int = TODAY) -> TimestampFiles:
    return TimestampFiles(directory, wall_clock=lambda: wall, beside=lambda call: call())


def test_a_key_that_was_never_used_has_no_past(tmp_path: Path) -> None:
    assert life(tmp_path).load(KEY) == 0


def test_after_an_orderly_end_the_next_life_goes_on_from_the_newest(tmp_path: Path) -> None:
    first = life(tmp_path)
    first.keep(KEY, TODAY)
    first.keep(KEY, TODAY + SECOND)
    first.close()

    assert life(tmp_path, wall=0).load(KEY) == TODAY + SECOND


def test_after_a_crash_with_the_clock_behind_it_goes_on_a_minute_later(tmp_path: Path) -> None:
    life(tmp_path).keep(KEY, TODAY)

    assert life(tmp_path, wall=0).load(KEY) == TODAY + MINUTE


def test_after_a_crash_with_the_clock_in_order_it_goes_on_from_now_and_not_ahead(tmp_path: Path) -> None:
    life(tmp_path).keep(KEY, TODAY)

    assert life(tmp_path, wall=TODAY + SECOND).load(KEY) == TODAY + SECOND


def test_long_after_a_crash_it_goes_on_a_minute_later_whatever_becomes_of_the_clock(tmp_path: Path) -> None:
    life(tmp_path).keep(KEY, TODAY)

    assert life(tmp_path, wall=TODAY + 10 * MINUTE).load(KEY) == TODAY + MINUTE


def test_the_disk_is_written_at_most_once_a_minute(tmp_path: Path) -> None:
    running = life(tmp_path)
    running.keep(KEY, TODAY)
    running.keep(KEY, TODAY + 59 * SECOND)
    assert life(tmp_path).load(KEY) == TODAY

    running.keep(KEY, TODAY + MINUTE)
    assert life(tmp_path, wall=TODAY + 5 * MINUTE).load(KEY) == TODAY + 2 * MINUTE


def test_a_clock_that_is_set_right_is_written_at_once(tmp_path: Path) -> None:
    """Else a crash right after, and a boot in 1970, would lead back behind what was sent."""
    running = life(tmp_path, wall=0)
    running.keep(KEY, SECOND)
    running.keep(KEY, TODAY)

    assert life(tmp_path, wall=0).load(KEY) == TODAY + MINUTE


def test_a_disk_that_takes_long_keeps_no_handshake_waiting(tmp_path: Path) -> None:
    waiting: list[Callable[[], None]] = []
    running = TimestampFiles(tmp_path, wall_clock=lambda: TODAY, beside=waiting.append)

    running.keep(KEY, TODAY)
    assert life(tmp_path).load(KEY) == 0

    (write,) = waiting
    write()
    assert life(tmp_path).load(KEY) == TODAY


def test_for_a_disk_that_takes_for_ever_one_write_waits_and_has_the_newest(tmp_path: Path) -> None:
    waiting: list[Callable[[], None]] = []
    running = TimestampFiles(tmp_path, wall_clock=lambda: TODAY + 9 * MINUTE, beside=waiting.append)
    for minute in range(4):
        running.keep(KEY, TODAY + minute * MINUTE)
    running.keep(OTHER, TODAY)
    assert len(waiting) == 2

    waiting.pop(0)()
    running.keep(KEY, TODAY + 4 * MINUTE)

    assert life(tmp_path, wall=TODAY + 3 * MINUTE).load(KEY) == TODAY + 3 * MINUTE
    assert len(waiting) == 2


def test_what_a_slow_disk_writes_after_the_end_is_the_end(tmp_path: Path) -> None:
    waiting: list[Callable[[], None]] = []
    ended = TimestampFiles(tmp_path, wall_clock=lambda: TODAY, beside=waiting.append)
    ended.keep(KEY, TODAY)
    ended.keep(KEY, TODAY + SECOND)
    ended.close()
    for write in waiting:
        write()

    assert life(tmp_path, wall=0).load(KEY) == TODAY + SECOND


def test_a_thread_writes_and_the_end_waits_for_it(tmp_path: Path) -> None:
    running = TimestampFiles(tmp_path, wall_clock=lambda: TODAY)
    for minute in range(10):
        running.keep(KEY, TODAY + minute * MINUTE)
    running.close()

    assert life(tmp_path, wall=0).load(KEY) == TODAY + 9 * MINUTE


def test_within_one_life_a_key_goes_on_exactly_where_it_was(tmp_path: Path) -> None:
    running = life(tmp_path)
    running.keep(KEY, TODAY)
    running.keep(KEY, TODAY + SECOND)

    assert running.load(KEY) == TODAY + SECOND


def test_keys_do_not_share_a_clock(tmp_path: Path) -> None:
    running = life(tmp_path)
    running.keep(KEY, TODAY)
    running.keep(OTHER, TODAY + SECOND)
    running.close()

    assert (life(tmp_path).load(KEY), life(tmp_path).load(OTHER)) == (TODAY, TODAY + SECOND)


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    life(directory).keep(KEY, TODAY)

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    (file,) = directory.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_disk_that_cannot_be_written_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "state"
    in_the_way.write_text("")
    running = life(in_the_way)

    running.keep(KEY, TODAY)
    running.keep(KEY, TODAY + MINUTE)
    running.close()

    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("content", ["", "yesterday running\n", "\xff"])
def test_a_file_that_cannot_be_read_is_one_warning(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life(tmp_path).keep(KEY, TODAY)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content.encode("latin-1"))

    assert life(tmp_path).load(KEY) == 0
    assert [record.levelname for record in caplog.records] == ["WARNING"]
