"""What is believed of a router's port mapping, and when the router is asked again, in virtual time."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from wgpy.contract.constants import SECOND
from wgpy.paths.port_mapping import (
    FIRST_PAUSE,
    LAST_PAUSE,
    LIFETIME,
    MAX_LIFETIME,
    MIN_LIFETIME,
    MIN_PAUSE,
    EpochClock,
    Grant,
    Renewal,
    trouble_of,
)

HERE = "198.41.0.4"
GRANT = Grant(IPv4Address(HERE), 51820, LIFETIME)
START = 1000 * SECOND
HOUR = 3600 * SECOND


def grant(address: str = HERE, port: int = 51820, lifetime: int = LIFETIME) -> Grant:
    return Grant(IPv4Address(address), port, lifetime)


# -- What a router says ----------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [(), (HERE,), ("10.0.0.9",), ("198.41.0.9", HERE)])
def test_a_public_address_that_nobody_contradicts_is_believed(seen: tuple[str, ...]) -> None:
    assert trouble_of(grant(), seen) == ""


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.9", "224.0.0.1",
     "240.0.0.1", "255.255.255.255"],
)  # fmt: skip
def test_an_address_that_is_not_public_is_of_no_use(address: str) -> None:
    assert trouble_of(grant(address), (HERE,)) == (
        f"it maps to {address}, which is no public address: it is behind a NAT itself"
    )


def test_a_private_address_at_which_others_see_this_host_is_of_use() -> None:
    assert trouble_of(grant("10.1.2.3"), (HERE, "10.1.2.3")) == ""


def test_an_address_at_which_nobody_sees_this_host_is_not_published() -> None:
    assert trouble_of(grant("8.8.8.8"), (HERE,)) == (
        f"it maps to 8.8.8.8, but others see this host at {HERE}"
    )


@pytest.mark.parametrize(
    ("lie", "trouble"),
    [
        (grant(port=0), "it maps to port 0"),
        (grant(lifetime=0), "it maps for 0 s, which is too short"),
        (grant(lifetime=MIN_LIFETIME - 1), "it maps for 59 s, which is too short"),
    ],
)
def test_what_cannot_be_used_is_named(lie: Grant, trouble: str) -> None:
    assert trouble_of(lie, (HERE,)) == trouble


# -- Its clock -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 1, 60, 3600, 10**6])
def test_a_clock_that_goes_with_ours_has_lost_nothing(seconds: int) -> None:
    for rate in (0.95, 1, 1.05):
        clock = EpochClock()
        assert not clock.note(500, START)
        assert not clock.note(500 + int(seconds * rate), START + seconds * SECOND)


@pytest.mark.parametrize(("epoch", "seconds"), [(0, 10), (499, 10), (3, 3600), (5000, 60), (0, 10**6)])
def test_a_clock_that_began_anew_or_is_another_one_has_lost_the_mappings(epoch: int, seconds: int) -> None:
    clock = EpochClock()
    clock.note(500, START)

    assert clock.note(epoch, START + seconds * SECOND)
    assert not clock.note(epoch + 5, START + (seconds + 5) * SECOND)


# -- When it is asked ------------------------------------------------------------------------------


def granted(lifetime: int = LIFETIME) -> Renewal:
    renewal = Renewal()
    renewal.begin(START)
    renewal.on_asked(START)
    renewal.on_granted(grant(lifetime=lifetime), START)
    return renewal


def test_a_mapping_is_renewed_at_half_of_its_lifetime() -> None:
    renewal = granted()

    assert renewal.due == START + HOUR
    renewal.on_asked(START + HOUR)
    renewal.on_granted(grant(), START + HOUR)
    assert (renewal.due, renewal.until) == (START + 2 * HOUR, START + 3 * HOUR)


def test_a_lifetime_without_end_is_a_day() -> None:
    renewal = granted((1 << 32) - 1)

    assert renewal.due == START + MAX_LIFETIME * SECOND // 2
    assert renewal.until == START + MAX_LIFETIME * SECOND


def test_a_renewal_that_fails_is_tried_again_until_the_mapping_ends() -> None:
    renewal, now, asked = granted(), START + HOUR, 0
    while renewal.grant:
        renewal.on_asked(now)
        renewal.on_failed(now)
        asked += 1
        assert renewal.due is not None
        now = renewal.due

    assert 5 <= asked <= 12
    assert START + 2 * HOUR <= now <= START + 2 * HOUR + FIRST_PAUSE


def test_a_router_that_grants_nothing_is_asked_more_and_more_rarely() -> None:
    renewal, now, asked = Renewal(), START, 0
    renewal.begin(now)
    while renewal.due is not None and renewal.due < START + 24 * HOUR:
        now = renewal.due
        renewal.on_asked(now)
        renewal.on_failed(now)
        asked += 1

    assert asked < 35
    assert renewal.due == now + LAST_PAUSE


def test_a_host_that_moves_asks_at_once_and_keeps_what_it_had_until_the_answer() -> None:
    renewal = granted()
    moved = START + HOUR // 2
    renewal.begin(moved)

    assert (renewal.due, renewal.grant) == (moved, GRANT)
    renewal.on_asked(moved)
    renewal.on_failed(moved)
    assert renewal.grant is None


def test_whatever_happens_it_is_not_asked_twice_within_the_pause() -> None:
    renewal = granted()
    for _ in range(100):
        renewal.begin(START + 1)
        renewal.on_lost(START + 1)

    assert renewal.due == START + MIN_PAUSE


def test_a_router_that_lost_its_mappings_is_asked_and_one_without_a_mapping_is_not() -> None:
    renewal = granted()
    renewal.on_lost(START + 20 * SECOND)
    assert renewal.due == START + 20 * SECOND

    renewal = Renewal()
    renewal.on_lost(START)
    assert renewal.due is None


def test_what_is_not_wanted_is_not_asked_for() -> None:
    renewal = granted()
    renewal.end()

    assert (renewal.due, renewal.grant) == (None, None)


def test_a_firewall_of_ipv6_lets_in_what_is_for_this_host_and_nothing_else() -> None:
    own, other = IPv6Address("2001:db8::7"), IPv6Address("2600::1")

    assert trouble_of(Grant(own, 51820, 7200), [str(own)]) == ""
    assert trouble_of(Grant(other, 51820, 7200), ["2600::7"]).endswith("but others see this host at 2600::7")
    assert trouble_of(Grant(IPv4Address("192.0.2.1"), 51820, 7200), [str(own)]) != ""
