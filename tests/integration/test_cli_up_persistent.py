"""`wgpy up --persistent`: while the daemon is dead nothing leaves in the clear, and all goes on afterwards.

left                                        right
wg0   10.20.0.1/24 fd20::1/64               wg0   10.20.0.2/24 fd20::2/64
eth0  10.10.0.1/24 fd10::1/64  ───────────  eth0  10.10.0.2/24 fd10::2/64
"""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.integration.hosts import add_addresses, eventually
from tests.integration.tunnel_sides import FILE, Side, left, right

__all__ = ["left", "right"]  # fixtures

OUTSIDE, OUTSIDE6 = "203.0.113.7", "2001:db8::7"


def bring_up(left: Side, right: Side, *lines: str, allowed: str = "0.0.0.0/0, ::/0") -> None:
    """Send all of left's packets through the tunnel; without it they have another way to the same place."""
    left.host.run("ip", "route", "add", "default", "via", "10.10.0.2")
    left.host.run("ip", "-6", "route", "add", "default", "via", "fd10::2")
    add_addresses(right.host, "lo", f"{OUTSIDE}/32", f"{OUTSIDE6}/128")
    left.write(*lines, peer=right, allowed=allowed)
    right.write(peer=left, allowed="10.20.0.1/32, fd20::1/128")
    right.wgpy("up", FILE)
    left.wgpy("up", "--persistent", FILE)


def kill_daemon(side: Side) -> None:
    pids = side.host.processes(Path(side.daemon).name)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: side.host.processes(Path(side.daemon).name) == [], "the daemon has gone")


def index(side: Side) -> int:
    return int(json.loads(side.host.run("ip", "-json", "link", "show", "dev", "wg0"))[0]["ifindex"])


def reaches_outside(side: Side) -> list[bool]:
    return [
        side.host.attempt("ping", "-n", "-c", "1", "-W", "1", address).status == 0
        for address in (OUTSIDE, OUTSIDE6)
    ]


def test_nothing_leaves_in_the_clear_while_the_daemon_is_dead(left: Side, right: Side) -> None:
    bring_up(left, right)
    assert reaches_outside(left) == [True, True]
    before, device = left.network()[1:6], index(left)

    kill_daemon(left)

    assert reaches_outside(left) == [False, False]
    assert left.wgpy("up", FILE).startswith("wg0 is up with ")
    assert reaches_outside(left) == [True, True]
    assert [text.replace(" linkdown", "") for text in left.network()[1:6]] == before
    assert index(left) == device


def test_nothing_leaves_in_the_clear_where_routes_need_a_carrier(left: Side, right: Side) -> None:
    for version in ("ipv4", "ipv6"):
        left.host.run("sysctl", "-qw", f"net.{version}.conf.default.ignore_routes_with_linkdown=1")
    bring_up(left, right)

    kill_daemon(left)

    assert reaches_outside(left) == [False, False]


@pytest.mark.parametrize("allowed", ["0.0.0.0/0, ::/0", "192.0.2.0/24"])
@pytest.mark.parametrize("is_alive", [True, False])
def test_down_takes_it_away_with_or_without_a_daemon(
    left: Side, right: Side, allowed: str, is_alive: bool
) -> None:
    before = left.network()
    left.write("PostDown = touch /run/hook", peer=right, allowed=allowed)
    left.wgpy("up", "--persistent", FILE)
    if not is_alive:
        kill_daemon(left)

    left.wgpy("down", FILE)

    assert left.host.path("/run/hook").exists()
    after = left.network()
    assert [*after[:6], after[7]] == [*before[:6], before[7]]
    assert left.attempt("down", FILE).status == 1


def test_a_changed_file_counts_when_it_is_up_again(left: Side, right: Side) -> None:
    bring_up(left, right, allowed="10.20.0.0/24, fd20::/64")
    kill_daemon(left)
    left.write("MTU = 1300", peer=right, allowed=f"10.20.0.0/24, fd20::/64, {OUTSIDE}/32")

    left.wgpy("up", FILE)

    (link,) = json.loads(left.host.run("ip", "-json", "link", "show", "dev", "wg0"))
    assert link["mtu"] == 1300
    (way,) = json.loads(left.host.run("ip", "-json", "route", "get", OUTSIDE))
    assert way["dev"] == "wg0"
    assert left.pings("10.20.0.2")


def test_without_the_option_it_goes_with_its_daemon(left: Side, right: Side) -> None:
    left.write(peer=right)
    left.wgpy("up", FILE)

    kill_daemon(left)

    shown = ("ip", "link", "show", "wg0")
    eventually(lambda: left.host.attempt(*shown).status != 0, "the interface is gone with its daemon")
