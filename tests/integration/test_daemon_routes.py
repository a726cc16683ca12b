"""The daemon follows the routes of its host.

Topology: topologies.Pair with a second wire.

left                                        right
eth1  10.11.0.1/24 fd11::1/64  ───────────  eth1  10.11.0.2/24 fd11::2/64
"""

import pytest

from tests.integration.hosts import Lab, add_addresses, connect
from tests.integration.peers import PORT, Implementation
from tests.integration.topologies import Pair, endpoint


@pytest.mark.parametrize(
    ("outside", "far", "near"), [(4, "10.10.0.2/32", "10.11.0.1"), (6, "fd10::2/128", "fd11::1")]
)
def test_the_very_next_packet_takes_a_better_route_from_its_own_address(
    lab: Lab, daemon: Implementation, outside: int, far: str, near: str
) -> None:
    pair = Pair.build(lab, daemon, daemon)
    connect(pair.left.machine, "eth1", pair.right.machine, "eth1")
    add_addresses(pair.left.machine, "eth1", "10.11.0.1/24", "fd11::1/64")
    add_addresses(pair.right.machine, "eth1", "10.11.0.2/24", "fd11::2/64")
    pair.introduce(outside)
    pair.left.ping(pair.right)  # from the address of eth0, which is kept from now on

    via = ["via", "fd11::2"] if outside == 6 else ["via", "10.11.0.2"]
    pair.left.machine.run("ip", "route", "add", far, *via, "dev", "eth1", "src", near)
    pair.left.ping(pair.right)

    assert pair.right.traffic(pair.left).endpoint == endpoint(near, PORT)
