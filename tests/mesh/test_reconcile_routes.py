"""From the routes that a host has to those that the plan says, and nothing of what is another's."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.network import prefixes
from wgpy.address import Prefix
from wgpyd.agent.reconcile.routes import PROTOCOL, Route, read_routes, route_changes

MESH, OTHER_MESH = "mesh0", "mesh1"
PREFIXES = prefixes("10.42.1.0/24", "10.42.2.0/24", "100.80.0.0/16", "fd00::/32", "10.0.0.7/32")
POD = ip_network("10.42.1.0/24")
DEFAULT_METRIC = {4: 0, 6: 1024}
KERNEL, STATIC = "2", "4"


@st.composite
def tables(draw: st.DrawFn) -> list[Route]:
    """What a kernel can hold: one route to a prefix of each metric."""
    routes = st.builds(
        Route,
        prefix=st.sampled_from(PREFIXES),
        device=st.sampled_from(["", "eth0", MESH, OTHER_MESH]),
        via=st.sampled_from(["", "192.0.2.1"]),
        protocol=st.sampled_from([PROTOCOL, KERNEL, STATIC]),
        metric=st.sampled_from([0, 100, 1024, 5000]),
        leads_nowhere=st.booleans(),
    )
    return draw(st.lists(routes, unique_by=lambda route: (route.prefix, route.metric)))


wishes = st.lists(st.sampled_from(PREFIXES), unique=True)


def is_ours(route: Route) -> bool:
    return (route.protocol, route.device) == (PROTOCOL, MESH)


def carried_out(table: Sequence[Route], lines: Sequence[str]) -> list[Route]:
    """What a kernel makes of lines for `ip`, each of which must succeed."""
    after = list(table)
    for line in lines:
        match line.split(" "):
            case ["route", "add", text, "dev", device, "proto", protocol]:
                prefix = ip_network(text)
                added = Route(prefix, device, "", protocol, DEFAULT_METRIC[prefix.version])
                assert (prefix, added.metric) not in {(route.prefix, route.metric) for route in after}
                after.append(added)
            case ["route", "delete", text, "dev", device, "proto", protocol]:
                found = (ip_network(text), device, protocol)
                after.remove(
                    next(route for route in after if (route.prefix, route.device, route.protocol) == found)
                )
            case other:
                raise AssertionError(other)
    return after


def reconciled(table: Sequence[Route], wanted: Sequence[Prefix]) -> tuple[list[Route], Mapping[Prefix, str]]:
    """What a host then has, which is not to be changed any more."""
    after = carried_out(table, route_changes(table, wanted, MESH).lines)
    changes = route_changes(after, wanted, MESH)
    assert changes.lines == ()
    return after, changes.conflicts


@given(tables(), wishes)
def test_from_any_host_every_prefix_leads_into_the_mesh_unless_another_route_has_it(
    table: list[Route], wanted: list[Prefix]
) -> None:
    after, conflicts = reconciled(table, wanted)

    leading = {route.prefix for route in after if route.device == MESH}
    assert {prefix for prefix in wanted if prefix not in conflicts} <= leading
    assert {route.prefix for route in after if is_ours(route)} <= set(wanted) - set(conflicts)


@given(tables(), wishes)
def test_what_is_not_ours_stays_as_it_is(table: list[Route], wanted: list[Prefix]) -> None:
    after, _ = reconciled(table, wanted)

    assert [route for route in after if not is_ours(route)] == [
        route for route in table if not is_ours(route)
    ]


@given(tables(), wishes)
def test_a_conflict_is_with_another_route_that_is_there(table: list[Route], wanted: list[Prefix]) -> None:
    _, conflicts = reconciled(table, wanted)

    foreign = {route.prefix for route in table if route.device != MESH}
    assert set(conflicts) <= foreign & set(wanted)


@given(tables(), wishes, wishes)
def test_when_everything_foreign_is_gone_all_of_the_plan_is_there_and_nothing_of_an_older_one(
    table: list[Route], before: list[Prefix], wanted: list[Prefix]
) -> None:
    after, _ = reconciled(table, before)

    alone, conflicts = reconciled([route for route in after if is_ours(route)], wanted)

    assert {route.prefix for route in alone} == set(wanted)
    assert conflicts == {}


def test_the_kernels_own_route_of_an_address_is_enough() -> None:
    table = [Route(POD, MESH, protocol=KERNEL)]

    assert route_changes(table, [POD], MESH).lines == ()


def test_what_leads_nowhere_while_ours_is_away_is_no_conflict() -> None:
    table = [Route(POD, metric=5000, leads_nowhere=True)]

    assert route_changes(table, [POD], MESH).conflicts == {}


def test_a_conflict_says_whose_the_other_route_is() -> None:
    rivals = [
        Route(POD, "eth0", "192.0.2.1", STATIC),
        Route(POD, OTHER_MESH, protocol=PROTOCOL),
        Route(POD, leads_nowhere=True),
        Route(POD),
    ]

    said = [route_changes([rival], [POD], MESH).conflicts[POD] for rival in rivals]

    assert [sentence.partition(": ")[2] for sentence in said] == [
        "this host routes it via 192.0.2.1 by eth0",
        "another network of this host has it, on mesh1",
        "a route of this host makes it unreachable",
        "this host routes it by several interfaces",
    ]


def test_what_ip_answers_is_read() -> None:
    answer: list[dict[str, Any]] = [
        {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "protocol": "16", "metric": 100},
        {"dst": "10.42.1.0/24", "dev": MESH, "protocol": PROTOCOL, "scope": "253", "flags": ["linkdown"]},
        {"dst": "10.0.0.7", "dev": "eth0", "via": {"family": "inet6", "host": "fe80::1"}},
        {"type": "6", "dst": "10.43.0.0/16", "metric": 5000, "flags": []},
        {"dst": "10.44.0.0/16", "flags": [], "nexthops": [{"dev": "eth0"}, {"dev": "eth1"}]},
    ]

    assert read_routes(answer, 4) == [
        Route(ip_network("0.0.0.0/0"), "eth0", "192.0.2.1", "16", 100),
        Route(POD, MESH, protocol=PROTOCOL),
        Route(ip_network("10.0.0.7/32"), "eth0", "fe80::1"),
        Route(ip_network("10.43.0.0/16"), metric=5000, leads_nowhere=True),
        Route(ip_network("10.44.0.0/16")),
    ]
