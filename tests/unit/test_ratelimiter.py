"""The rate limiter's memory: bounded, whoever sends. What it lets through is in the chapter on cookies."""

from wgpy.contract.constants import RATE_LIMIT_BURST, RATE_LIMIT_MAX_SOURCES, RATE_LIMIT_PER_SECOND, SECOND
from wgpy.ratelimiter import RateLimiter


def make_limiter() -> RateLimiter:
    """The engine's."""
    return RateLimiter(
        per_second=RATE_LIMIT_PER_SECOND, burst=RATE_LIMIT_BURST, max_sources=RATE_LIMIT_MAX_SOURCES
    )


def _fill(limiter: RateLimiter, now: int) -> None:
    for number in range(RATE_LIMIT_MAX_SOURCES):
        assert limiter.allow(number.to_bytes(4, "big"), now)


def test_when_memory_is_full_of_active_sources_a_new_one_is_refused_and_the_old_ones_are_not() -> None:
    limiter = make_limiter()
    _fill(limiter, now=SECOND)

    assert not limiter.allow(b"\xff\xff\xff\xff", SECOND)
    assert limiter.allow(bytes(4), SECOND)
    assert len(limiter) == RATE_LIMIT_MAX_SOURCES


def test_when_sources_may_be_forged_the_one_silent_longest_makes_room_for_a_new_one() -> None:
    limiter = RateLimiter(per_second=20, burst=1, max_sources=2, forged=True)
    for source in (b"aaaa", b"bbbb", b"aaaa", b"cccc"):
        limiter.allow(source, SECOND)

    assert not limiter.allow(b"aaaa", SECOND)
    assert limiter.allow(b"bbbb", SECOND)
    assert len(limiter) == 2


def test_sources_that_have_been_silent_make_room() -> None:
    limiter = make_limiter()
    _fill(limiter, now=SECOND)

    assert limiter.allow(b"\xff\xff\xff\xff", 2 * SECOND)
    assert len(limiter) == 1


def test_a_refused_message_does_not_put_off_the_next_that_is_allowed() -> None:
    limiter = make_limiter()
    for _ in range(RATE_LIMIT_BURST):
        assert limiter.allow(bytes(4), SECOND)

    step = SECOND // 100
    answers = [limiter.allow(bytes(4), SECOND + number * step) for number in range(1, 11)]

    assert answers.count(True) == 2  # 100 ms at 20 a second
