"""A tunnel of `wgpy up` whose endpoint is a name: the daemon looks it up again when the network changes.

left                                        right
wg0   10.20.0.1/24 fd20::1/64               wg0   10.20.0.2/24 fd20::2/64
eth0  10.10.0.1/24 fd10::1/64  ───────────  eth0  10.10.0.2/24 fd10::2/64
"""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.hosts import eventually
from tests.integration.tunnel_sides import FILE, Side, left, right

__all__ = ["left", "right"]  # fixtures

_NOBODY, _RIGHT = "10.10.0.99 vpn.test\n", "10.10.0.2 vpn.test\n"


def test_a_peer_that_moves_is_found_by_its_name_until_the_tunnel_is_down(left: Side, right: Side) -> None:
    hosts = _name_right(left, right, _NOBODY)
    right.write(peer=left)
    right.wgpy("up", FILE)
    left.wgpy("up", FILE)
    assert "endpoint: 10.10.0.99:51820" in left.wgpy("show", "wg0")

    left.host.path(hosts).write_text(_RIGHT)
    left.host.run("ip", "address", "add", "10.10.0.3/24", "dev", "eth0")

    eventually(lambda: "endpoint: 10.10.0.2:51820" in left.wgpy("show", "wg0"), "the name is looked up")
    assert left.pings("10.20.0.2")
    left.wgpy("down", FILE)
    assert left.host.run("ls", "-A", "/run/wgpy") == ""


def test_a_daemon_of_the_same_name_knows_no_names_of_one_that_was_killed(left: Side, right: Side) -> None:
    _name_right(left, right, _RIGHT)
    left.wgpy("up", FILE)
    (pid,) = left.host.processes("wgpyd")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not left.host.path("/sys/class/net/wg0").exists(), "the interface is gone")

    left.host.run(left.daemon, "wg0")

    assert "wg0.names" not in left.host.run("ls", "-A", "/run/wgpy")


def _name_right(left: Side, right: Side, hosts: str) -> str:
    """Have left's file give its peer by a name that these hosts have; return the file with them."""
    if Path(left.daemon).name == "wireguard-go":
        pytest.skip("wireguard-go knows no names")
    path = left.host.write("/run/hosts", hosts)
    left.host.run("mount", "--bind", path, "/etc/hosts")
    left.write(peer=right)
    left.host.write(FILE, left.host.path(FILE).read_text().replace("10.10.0.2:", "vpn.test:"))
    return path
