"""What topology and plan cost grows as the network does, and no faster: counted in calls, not in time."""

from collections.abc import Callable
from cProfile import Profile
from ipaddress import IPv4Address, ip_network

import pytest

from tests.mesh.network import NOW, Administrator, key_of, prefixes, site
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.plan import LocalView, NodePlan, Routing, plan
from wgpy.mesh.topology import derive

TOKEN, FIRST = key_of(2), 10  # the first node's key; it is the one that plans
SIZE = 60
DOUBLE = 2.1  # with a little more, as numbers and tables do not grow evenly

Shape = Callable[[Administrator, range], None]


def have_relays(administrator: Administrator, nodes: range) -> None:
    relay = key_of(nodes[1])
    administrator.relay(relay)
    for number in nodes[2:]:
        administrator.register(key_of(number), (relay, 5))


def have_rules(administrator: Administrator, nodes: range) -> None:
    for number in nodes[1:]:
        administrator.rule(key_of(FIRST), key_of(number))


def have_sites_with_rules(administrator: Administrator, nodes: range) -> None:
    for number in nodes[1:]:
        administrator.announce(key_of(number), site(f"s{number}", f"10.8.{number}.0/24"))
        administrator.rule(key_of(FIRST), administrator.scope(f"site:s{number}"))


def stand_by(administrator: Administrator, nodes: range) -> None:
    for one, other in zip(nodes[1::2], nodes[2::2], strict=False):
        administrator.join(key_of(other), TOKEN, sequence=2, routes=prefixes(f"10.9.{one}.0/24"))


def go(administrator: Administrator, nodes: range) -> None:
    for number in nodes[1::2]:
        administrator.remove(key_of(number))


def joined(size: int, shape: Shape) -> Administrator:
    administrator = Administrator()
    administrator.found()
    administrator.invite(TOKEN, uses=2 * size, routes=prefixes("10.0.0.0/8"))
    nodes = range(FIRST, FIRST + size)
    for number in nodes:
        endpoint = Endpoint(f"198.51.100.{number}", 51820)
        routes = prefixes(f"10.9.{number}.0/24") if number > FIRST else ()
        administrator.join(key_of(number), TOKEN, endpoints=(endpoint,), routes=routes)
    shape(administrator, nodes)
    return administrator


def calls(work: Callable[[], object]) -> int:
    profile = Profile()
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())


def costs(size: int, shape: Shape) -> tuple[int, int, int]:
    """Return what topology, plan, and the same plan again cost at a host with as many networks as nodes."""
    ledger, viewer = joined(size, shape).ledger(), key_of(FIRST).verify_key()
    networks = {ip_network(f"172.16.{number}.0/24"): "a network of this host" for number in range(size)}
    view = LocalView(
        viewer, IPv4Address("100.80.0.10"), networks, frozenset(), frozenset((4, 6)), Routing(7, 8)
    )
    charter, topology = ledger.charter(), derive(ledger, NOW, viewer=viewer)
    assert charter
    found = plan(charter, topology, view, NodePlan.empty())
    return (
        calls(lambda: derive(ledger, NOW, viewer=viewer)),
        calls(lambda: plan(charter, topology, view, NodePlan.empty())),
        calls(lambda: plan(charter, topology, view, found)),
    )


@pytest.mark.parametrize("shape", [have_relays, have_rules, have_sites_with_rules, stand_by, go])
def test_a_network_of_twice_the_size_costs_a_node_twice_as_much(shape: Shape) -> None:
    few, many = costs(SIZE, shape), costs(2 * SIZE, shape)

    print(few, many)
    assert all(more <= DOUBLE * less for less, more in zip(few, many, strict=True))
