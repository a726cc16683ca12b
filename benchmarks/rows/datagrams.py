"""UDP through the tunnel: loss and order at a low rate, the rate at full rate, and the highest rate."""

from collections.abc import Callable
from math import sqrt
from typing import Final

from benchmarks.suite.namespaces import INSIDE, Tunnel
from benchmarks.suite.readings import Datagrams
from benchmarks.suite.tools import STARTING, datagrams
from benchmarks.suite.values import Measure, Plan, Row, Samples

REMOTE: Final = INSIDE[1]
GENTLE: Final = 10e6  # bits per second, 1,250 datagrams: any tunnel can, on any host
GENTLE_SIZE: Final = 1000
TRIES: Final = 3
WRONG: Final = 1.0  # percent of them

TOLERATED: Final = 0.01  # of the datagrams
TRIAL: Final = 1  # second
FINE: Final = 1.05  # the search ends where the next rates are nearer to each other than this
LEAST: Final = 1e6  # bits per second; who loses more than is tolerated even then has no rate at all


# -- Whether a tunnel does what it must ------------------------------------------------------------


def _faithful(tunnel: Tunnel, seconds: float) -> Samples:
    """Return the least loss of some attempts: a host that stalls makes any tunnel lose packets."""
    lost = reordered = 100.0
    for _ in range(TRIES):
        # Back, since iperf3's server does not tell its client what came out of order.
        came = datagrams(tunnel.left, tunnel.right, REMOTE, TRIAL, GENTLE, GENTLE_SIZE, "--reverse")
        lost, reordered = min(lost, came.lost * 100), min(reordered, came.out_of_order * 100)
        if max(lost, reordered) < WRONG:
            break
    return {"udp_lost": lost, "udp_reordered": reordered}


FAITHFUL: Final = Row(
    "faithful",
    "UDP at 10 Mbit/s",
    (
        Measure("udp_lost", "UDP at 10 Mbit/s, lost", "%", more_is_better=False, wrong_from=WRONG),
        Measure(
            "udp_reordered", "UDP at 10 Mbit/s, out of order", "%", more_is_better=False, wrong_from=WRONG
        ),
    ),
    _faithful,
    Plan.DEFAULT,
    streams=0,
    seconds=TRIAL + STARTING,
)


# -- At full rate ----------------------------------------------------------------------------------


def _flood(tunnel: Tunnel, seconds: float, size: int) -> float:
    """Return the bits per second received at full rate."""
    return datagrams(tunnel.left, tunnel.right, REMOTE, seconds, 0, size).received


FLOOD_1380: Final[Row[Tunnel]] = Row(
    "udp1380",
    "UDP 1,380 B",
    (Measure("udp_1380", "UDP 1,380 B, received", "Gbit/s", more_is_better=True),),
    lambda tunnel, seconds: {"udp_1380": _flood(tunnel, seconds, 1380) / 1e9},
    Plan.DEFAULT,
    seconds=STARTING,
)
FLOOD_64: Final[Row[Tunnel]] = Row(
    "udp64",
    "UDP 64 B",
    (Measure("udp_64", "UDP 64 B, received", "1,000/s", more_is_better=True),),
    lambda tunnel, seconds: {"udp_64": _flood(tunnel, seconds, 64) / 64 / 8 / 1000},
    Plan.QUICK,
    seconds=STARTING,
)


# -- The rate at which hardly anything is lost -------------------------------------------------------


def highest_rate(offer: Callable[[float], Datagrams]) -> float:
    """Return the most bits per second received while less than TOLERATED was lost; 0 if it never was.

    offer: send at bits per second, 0 for as fast as can be. A rate is too high only if it was twice, so that
    what disturbs the host for a moment does not decide. After RFC 2544 (26.1), which tolerates no loss.
    """
    flood = offer(0)
    if flood.lost < TOLERATED:
        return flood.received
    found, low, high = 0.0, 0.0, flood.offered
    rate = flood.received
    while rate >= LEAST and high > low * FINE:
        came = offer(rate)
        if came.lost >= TOLERATED:
            came = offer(rate)
        if came.lost >= TOLERATED:
            high = rate
        else:
            found, low = max(found, came.received), rate
        rate = sqrt(low * high) if low else high / 2
    return found


def _search(name: str, size: int, unit: str, bits: float) -> Row[Tunnel]:
    """Return the row of a payload's size. bits: how many the unit has, per second."""

    def measure(tunnel: Tunnel, seconds: float) -> Samples:
        rate = highest_rate(
            lambda offered: datagrams(tunnel.left, tunnel.right, REMOTE, TRIAL, offered, size)
        )
        return {f"udp_{size}_kept": rate / bits}

    title = f"UDP {size:,} B, rate at under 1 % loss"
    return Row(
        name,
        title,
        (Measure(f"udp_{size}_kept", title, unit, more_is_better=True),),
        measure,
        Plan.FULL,
        streams=0,
        seconds=15,
    )


SEARCHES: Final = (
    _search("rate1380", 1380, "Gbit/s", 1e9),
    _search("rate512", 512, "1,000/s", 512 * 8 * 1000),
    _search("rate64", 64, "1,000/s", 64 * 8 * 1000),
)
