"""Where the kernel says that routes lead. No root: only loopback is asked for."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.host.netlink import RouteLookup

LOOPBACK = socket.if_nametoindex("lo")


@pytest.fixture
def routes() -> Iterator[RouteLookup]:
    with closing(RouteLookup()) as made:
        yield made


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("mark", [0, 0xFFFFFFFF])
def test_it_names_the_interface_that_a_datagram_leaves_by(
    routes: RouteLookup, address: str, mark: int
) -> None:
    assert routes.interface_towards(Endpoint(address, 9), mark) == LOOPBACK
    assert routes.interface_towards(Endpoint(address, 9, local_address=address), mark) == LOOPBACK


def test_from_an_address_that_is_not_ours_nothing_leaves(routes: RouteLookup) -> None:
    assert routes.interface_towards(Endpoint("127.0.0.1", 9, local_address="192.0.2.1"), 0) is None


def test_a_link_local_address_is_behind_its_interface(routes: RouteLookup) -> None:
    there_is_no_such_interface = 0x7FFFFFFF

    assert routes.interface_towards(Endpoint("fe80::1", 9, scope_id=there_is_no_such_interface), 0) is None
