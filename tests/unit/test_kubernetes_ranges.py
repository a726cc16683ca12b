"""The prefixes of a cluster, of what its API tells of Nodes and services."""

from collections.abc import Sequence
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from wgpy.address import Prefix, overlap, parse_global_prefix
from wgpy.kubernetes.cluster_ranges import cluster_ranges
from wgpy.kubernetes.objects import NodeObject, ServiceRange
from wgpy.kubernetes.watch import MAX_OBJECTS

SERVICES = ("10.96.0.0/16", "fd77:96::/112")


def found(nodes: Sequence[tuple[str, ...]], services: tuple[str, ...] = SERVICES) -> list[str]:
    objects = [NodeObject(f"n{number}", prefixes(*ranges)) for number, ranges in enumerate(nodes)]
    return list(map(str, cluster_ranges(objects, [ServiceRange("kubernetes", prefixes(*services))])))


def prefixes(*texts: str) -> tuple[Prefix, ...]:
    return tuple(map(parse_global_prefix, texts))


def test_the_usual_range_of_a_cluster_is_found_from_one_node_on() -> None:
    one = found([("10.244.0.0/24", "fd77:244::/64")])
    three = found([(f"10.244.{n}.0/24", f"fd77:244:0:{n}::/64") for n in (0, 7, 99)])

    assert one == three == ["10.244.0.0/16", "fd77:244::/56", *SERVICES]


def test_a_wider_range_grows_with_its_nodes() -> None:
    assert found([("10.4.0.0/24",), ("10.5.3.0/24",)]) == ["10.4.0.0/15", *SERVICES]


def test_pods_beside_services_in_one_range_have_their_exact_prefixes() -> None:
    nodes = [("10.96.128.0/24",), ("10.96.129.0/24",)]

    assert found(nodes, ("10.96.0.0/20",)) == ["10.96.128.0/23", "10.96.0.0/20"]


def test_services_within_the_range_of_a_node_are_of_its_prefix() -> None:
    assert found([("10.96.0.0/16",)], ("10.96.4.0/24",)) == ["10.96.0.0/16"]


def test_as_many_ranges_as_an_api_may_have_take_no_time() -> None:
    """A server that lies must not hold up whoever asks it: each with each would be minutes."""
    nodes = [(f"10.{n >> 6}.{n << 2 & 0xFF}.0/32",) for n in range(MAX_OBJECTS)]
    services = tuple(f"11.{n >> 6}.{n << 2 & 0xFF}.0/32" for n in range(MAX_OBJECTS))

    assert len(found(nodes, services)) == 2 * MAX_OBJECTS


def test_a_cluster_without_ranges_has_services_alone() -> None:
    assert found([(), ()]) == list(SERVICES)
    assert found([], ()) == []


_NETWORKS = st.builds(
    lambda third, length: f"10.{third}.{third}.0/{length}", st.integers(0, 255), st.integers(24, 32)
)


@given(st.lists(st.tuples(_NETWORKS), max_size=6))
def test_prefixes_hold_every_pod_overlap_nothing_and_are_no_wider_than_a_site_may_be(
    nodes: list[tuple[str, ...]],
) -> None:
    wanted = prefixes(*found(nodes, ("10.96.0.0/16",)))

    for (text,) in nodes:
        assert any(overlap(parse_global_prefix(text), one) for one in wanted)
    assert not any(overlap(one, other) for one, other in combinations(wanted, 2))
    assert all(one.prefixlen >= 8 for one in wanted)


def test_the_order_of_nodes_changes_nothing() -> None:
    nodes = [("10.4.0.0/24",), ("172.16.0.0/24",), ("10.9.3.0/24",)]

    assert found(nodes) == found(nodes[::-1]) == ["10.4.0.0/16", "10.9.0.0/16", "172.16.0.0/16", *SERVICES]
