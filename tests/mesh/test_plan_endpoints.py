"""Where a peer is looked for, and in which order."""

from dataclasses import replace

import pytest

from tests.mesh.network import prefixes
from tests.mesh.test_plan import ENDPOINTS, members, network, view
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.plan import reachable


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "169.254.1.1", "::1", "fe80::1"])
def test_an_address_that_means_this_host_or_its_link_is_no_way_to_another(address: str) -> None:
    public, there = Endpoint("203.0.113.9", 2), Endpoint(address, 53)
    bob = replace(members(network())["bob"], endpoints=(there, public))

    (peer,) = reachable([bob], view())
    (on_this_host,) = reachable([bob], replace(view(), own_endpoints=frozenset(("127.0.0.1",))))

    assert peer.tunnel.endpoints == (public,)
    assert set(on_this_host.tunnel.endpoints) == {public, there}


def test_what_leads_back_to_our_own_nat_is_tried_after_what_does_not() -> None:
    bob = replace(members(network())["bob"], endpoints=(Endpoint("203.0.113.9", 2), Endpoint("10.0.0.2", 1)))

    (peer,) = reachable([bob], view(own=["203.0.113.9", "10.0.0.1"]))

    assert [endpoint.address for endpoint in peer.tunnel.endpoints] == ["10.0.0.2", "203.0.113.9"]


def test_what_is_reached_from_everywhere_is_tried_first_and_networks_of_others_last() -> None:
    found = tuple(
        Endpoint(address, 1) for address in ("172.17.0.1", "192.168.1.7", "fd00::7", "198.51.100.7")
    )
    bob = replace(members(network())["bob"], endpoints=found)

    (peer,) = reachable([bob], view(dict.fromkeys(prefixes("192.168.1.0/24"), "of lan")))

    tried = [endpoint.address for endpoint in peer.tunnel.endpoints]
    assert tried == ["198.51.100.7", "192.168.1.7", "172.17.0.1", "fd00::7"]


def test_what_this_host_cannot_send_to_is_tried_last() -> None:
    bob = replace(members(network())["bob"], endpoints=(ENDPOINTS[2], ENDPOINTS[0], ENDPOINTS[1]))

    (peer,) = reachable([bob], view(versions=[4]))

    assert peer.tunnel.endpoints == (ENDPOINTS[0], ENDPOINTS[1], ENDPOINTS[2])
