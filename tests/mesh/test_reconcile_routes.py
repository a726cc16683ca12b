"""From the routes that a host has to those that the plan says, and nothing of what is another's."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.network import prefixes
from wgpy.address import Prefix
from wgpy.host.iprule import MAIN_TABLE, PROTOCOL
from wgpy.mesh.prefix_set import Prefixes
from wgpyd.agent.reconcile.routes import (
    Route,
    leading_nowhere,
    read_marked_routes,
    read_routes,
    route_changes,
)

MESH, OTHER_MESH = "mesh0", "mesh1"
TABLE, OTHER_TABLE = 151_000_007, 151_000_008
PREFIXES = prefixes(
    "10.42.0.0/16",
    "10.42.1.0/24",
    "10.42.2.0/24",
    "10.42.1.128/25",
    "100.80.0.0/16",
    "fd00::/32",
    "10.0.0.7/32",
)
POD = ip_network("10.42.1.0/24")
DEFAULT_METRIC = {4: 0, 6: 1024}
KERNEL, STATIC = "2", "4"
UNICAST, BLACKHOLE, UNREACHABLE, THROW = "1", "6", "7", "9"
KINDS = {"unreachable": UNREACHABLE, "throw": THROW}


def main_routes() -> st.SearchStrategy[Route]:
    return st.builds(
        Route,
        prefix=st.sampled_from(PREFIXES),
        device=st.sampled_from(["", "eth0", MESH, OTHER_MESH]),
        via=st.sampled_from(["", "192.0.2.1"]),
        protocol=st.sampled_from([PROTOCOL, KERNEL, STATIC]),
        metric=st.sampled_from([0, 100, 1024, 5000]),
        kind=st.sampled_from([UNICAST, BLACKHOLE]),
    )


def marked_routes(table: int, device: str) -> st.SearchStrategy[Route]:
    """What a network of this host may have left in its table, also under another name of its interface."""
    unicast = st.builds(
        lambda prefix, name: Route(
            prefix, name, "", PROTOCOL, DEFAULT_METRIC[prefix.version], UNICAST, str(table)
        ),
        st.sampled_from(PREFIXES),
        st.sampled_from([device, "old0"]),
    )
    others = st.builds(
        lambda prefix, kind: Route(
            prefix,
            "",
            "",
            PROTOCOL,
            DEFAULT_METRIC[prefix.version] if kind == THROW else 4278198272,
            kind,
            str(table),
        ),
        st.sampled_from(PREFIXES),
        st.sampled_from([UNREACHABLE, THROW]),
    )
    return unicast | others


@st.composite
def hosts(draw: st.DrawFn) -> list[Route]:
    """What a kernel can hold: of each table one route to a prefix of each metric."""
    routes = main_routes() | marked_routes(TABLE, MESH) | marked_routes(OTHER_TABLE, OTHER_MESH)
    return draw(
        st.lists(routes, max_size=12, unique_by=lambda route: (route.table, route.prefix, route.metric))
    )


wishes = st.lists(st.sampled_from(PREFIXES), unique=True)


def is_ours(route: Route) -> bool:
    return route.protocol == PROTOCOL and (route.table == str(TABLE) or route.device == MESH)


def is_left_over(route: Route, wanted: Sequence[Prefix]) -> bool:
    """What the kernel made of our address in the main table."""
    return (route.device, route.protocol) == (MESH, KERNEL) and route.prefix in wanted


def carried_out(host: Sequence[Route], lines: Sequence[str]) -> list[Route]:
    """What a kernel makes of lines for `ip`, each of which must succeed."""
    after = list(host)
    for line in lines:
        words = line.split(" ")
        verb, kind = words[1], KINDS.get(words[2], UNICAST)
        text, *rest = words[2 if kind == UNICAST else 3 :]
        said = dict(zip(rest[::2], rest[1::2], strict=True))
        prefix, device, table = ip_network(text), said.get("dev", ""), said["table"]
        metric = int(said.get("metric", DEFAULT_METRIC[prefix.version]))
        if verb == "add":
            assert (table, prefix, metric) not in {
                (route.table, route.prefix, route.metric) for route in after
            }
            after.append(Route(prefix, device, "", said["proto"], metric, kind, table))
        else:
            found = (prefix, device, said["proto"], kind, table)
            after.remove(next(route for route in after if named(route) == found))
    return after


def named(route: Route) -> tuple[Prefix, str, str, str, str]:
    """What `ip route delete` finds it by. It does not ask for the kind of one with a device."""
    kind = UNICAST if route.device else route.kind
    return route.prefix, route.device, route.protocol, kind, route.table


def reconciled(
    host: Sequence[Route], wanted: Sequence[Prefix], reserved: Sequence[Prefix] = ()
) -> tuple[list[Route], Mapping[Prefix, str]]:
    """What a host then has, which is not to be changed any more."""
    after = carried_out(host, route_changes(host, wanted, MESH, TABLE, reserved).lines)
    changes = route_changes(after, wanted, MESH, TABLE, reserved)
    assert changes.lines == ()
    return after, changes.conflicts


def way(host: Sequence[Route], address: str, *tables: str) -> Route | None:
    """The route that a packet takes: of the first table that has one, the longest, then the least metric."""
    for table in tables:
        found = [route for route in host if route.table == table and ip_address(address) in route.prefix]
        if found:
            best = max(found, key=lambda route: (route.prefix.prefixlen, -route.metric))
            if best.kind != THROW:
                return best
    return None


@given(hosts(), wishes)
def test_from_any_host_every_prefix_leads_into_the_mesh_unless_another_route_has_it(
    host: list[Route], wanted: list[Prefix]
) -> None:
    after, conflicts = reconciled(host, wanted)

    leading = {route.prefix for route in after if route.device == MESH and route.table == str(TABLE)}
    assert leading == set(wanted) - set(conflicts)
    assert {route.prefix for route in after if is_ours(route) and route.kind != THROW} == leading


@given(hosts(), wishes)
def test_what_is_not_ours_stays_as_it_is(host: list[Route], wanted: list[Prefix]) -> None:
    after, _ = reconciled(host, wanted)

    assert [route for route in after if not is_ours(route)] == [
        route for route in host if not is_ours(route) and not is_left_over(route, wanted)
    ]


@given(hosts(), wishes)
def test_a_conflict_is_with_another_route_that_is_there(host: list[Route], wanted: list[Prefix]) -> None:
    _, conflicts = reconciled(host, wanted)

    foreign = {route.prefix for route in host if not is_ours(route) and route.device != MESH}
    assert set(conflicts) <= foreign & set(wanted)


@given(hosts(), wishes, st.sampled_from(["10.42.1.1", "10.42.1.200", "10.42.2.1", "100.80.0.1", "fd00::1"]))
def test_the_longest_prefix_counts_as_if_there_were_one_table(
    host: list[Route], wanted: list[Prefix], address: str
) -> None:
    alone = [route for route in host if route.table != str(OTHER_TABLE)]
    after, conflicts = reconciled(alone, wanted)

    taken = way(after, address, str(TABLE), MAIN_TABLE)

    foreign = [route for route in after if route.table == MAIN_TABLE]
    other = way(foreign, address, MAIN_TABLE)
    own = [prefix for prefix in wanted if prefix not in conflicts and ip_address(address) in prefix]
    longest = max((prefix.prefixlen for prefix in own), default=-1)
    if other and other.prefix.prefixlen > longest:
        assert taken == other
    elif own:
        assert taken
        assert (taken.device, taken.prefix.prefixlen) == (MESH, longest)


@given(hosts(), wishes)
def test_without_the_interface_what_led_into_it_leads_nowhere(
    host: list[Route], wanted: list[Prefix]
) -> None:
    after, conflicts = reconciled(host, wanted)

    remaining = [route for route in after if route.device != MESH and route.table == str(TABLE)]
    for prefix in set(wanted) - set(conflicts):
        assert Route(prefix, "", "", PROTOCOL, 4278198272, UNREACHABLE, str(TABLE)) in remaining


@given(
    hosts(),
    wishes,
    wishes,
    st.sampled_from(["10.42.1.1", "10.42.1.200", "10.42.2.1", "100.80.0.1", "fd00::1"]),
)
def test_what_is_reserved_leads_nowhere_unless_a_route_of_the_host_is_as_long(
    host: list[Route], wanted: list[Prefix], others: list[Prefix], address: str
) -> None:
    alone = [route for route in host if route.table != str(OTHER_TABLE)]
    reserved = [prefix for prefix in others if not Prefixes(wanted).cover(prefix)]
    after, conflicts = reconciled(alone, wanted, reserved)

    taken = way(after, address, str(TABLE), MAIN_TABLE)

    other = way([route for route in after if route.table == MAIN_TABLE], address, MAIN_TABLE)
    other_length = other.prefix.prefixlen if other else -1
    ways = [prefix for prefix in wanted if prefix not in conflicts]
    way_length, end_length = longest(ways, address), longest(reserved, address)
    if end_length > max(other_length, way_length):
        assert taken
        assert (taken.kind, taken.table, taken.prefix.prefixlen) == (UNREACHABLE, str(TABLE), end_length)
    elif other and other_length >= end_length and other_length > way_length:
        assert taken
        assert taken == other or (other.leads_nowhere and taken.leads_nowhere)
    assert set(conflicts) <= set(wanted)


def longest(among: Sequence[Prefix], address: str) -> int:
    return max((prefix.prefixlen for prefix in among if ip_address(address) in prefix), default=-1)


def test_what_is_withdrawn_leads_nowhere_at_once_and_is_found_by_the_next_daemon() -> None:
    host, _ = reconciled([], [POD])

    changes = route_changes(host, [], MESH, TABLE, [POD])

    assert changes.lines == (f"route delete {POD} dev {MESH} table {TABLE} proto {PROTOCOL}",)
    after = carried_out(host, changes.lines)
    assert leading_nowhere(after, TABLE) == {POD}
    assert leading_nowhere(after, OTHER_TABLE) == frozenset()


def test_what_leads_nowhere_is_never_without_a_route_while_it_changes() -> None:
    host, _ = reconciled([], [], [POD])

    lines = route_changes(host, [], MESH, TABLE, [ip_network("10.42.0.0/16")]).lines

    assert [line.split(" ")[1] for line in lines] == ["add", "delete"]


@given(hosts(), wishes, wishes)
def test_when_everything_foreign_is_gone_all_of_the_plan_is_there_and_nothing_of_an_older_one(
    host: list[Route], before: list[Prefix], wanted: list[Prefix]
) -> None:
    after, _ = reconciled(host, before)

    alone, conflicts = reconciled([route for route in after if is_ours(route)], wanted)

    assert {route.prefix for route in alone} == set(wanted)
    assert {route.table for route in alone} <= {str(TABLE)}
    assert conflicts == {}


def test_of_two_networks_that_have_a_prefix_one_gives_way() -> None:
    host = [
        Route(POD, MESH, "", PROTOCOL, 0, UNICAST, str(TABLE)),
        Route(POD, OTHER_MESH, "", PROTOCOL, 0, UNICAST, str(OTHER_TABLE)),
    ]

    first = route_changes(host, [POD], MESH, TABLE)
    second = route_changes(host, [POD], OTHER_MESH, OTHER_TABLE)

    assert (list(first.conflicts), list(second.conflicts)) == ([], [POD])


def test_what_leads_nowhere_while_ours_is_away_is_no_conflict() -> None:
    host = [Route(POD, metric=5000, kind=BLACKHOLE)]

    assert route_changes(host, [POD], MESH, TABLE).conflicts == {}


def test_a_conflict_says_whose_the_other_route_is() -> None:
    rivals = [
        Route(POD, "eth0", "192.0.2.1", STATIC),
        Route(POD, OTHER_MESH, protocol=PROTOCOL, table=str(OTHER_TABLE)),
        Route(POD, kind=BLACKHOLE),
        Route(POD),
    ]

    said = [route_changes([rival], [POD], MESH, TABLE).conflicts[POD] for rival in rivals]

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
        Route(ip_network("10.43.0.0/16"), metric=5000, kind=BLACKHOLE),
        Route(ip_network("10.44.0.0/16")),
    ]


def test_what_ip_answers_of_routes_with_our_mark_is_read() -> None:
    answer: list[dict[str, Any]] = [
        {"dst": "10.42.1.0/24", "dev": MESH, "table": "151000007", "scope": "253", "flags": []},
        {
            "type": "7",
            "dst": "fd00::/32",
            "dev": "lo",
            "table": "151000007",
            "metric": 4278198272,
            "flags": [],
        },
        {"dst": "10.42.2.0/24", "dev": MESH, "flags": []},
    ]

    assert read_marked_routes(answer, 4) == [
        Route(POD, MESH, "", PROTOCOL, 0, UNICAST, "151000007"),
        Route(ip_network("fd00::/32"), "", "", PROTOCOL, 4278198272, UNREACHABLE, "151000007"),
    ]


def test_a_prefix_whose_path_passes_less_has_a_route_with_its_mtu() -> None:
    network, peer = prefixes("100.80.0.0/16", "100.80.0.7/32")
    made = route_changes([], [network], MESH, TABLE, (), {peer: 1300}).lines
    assert f"route add 100.80.0.7/32 dev mesh0 table {TABLE} proto {PROTOCOL} mtu 1300" in made
    present = [
        Route(network, MESH, "", PROTOCOL, 0, UNICAST, str(TABLE)),
        Route(peer, MESH, "", PROTOCOL, 0, UNICAST, str(TABLE), 1300),
        *(Route(one, "", "", PROTOCOL, 4278198272, UNREACHABLE, str(TABLE)) for one in (network, peer)),
    ]

    assert route_changes(present, [network], MESH, TABLE, (), {peer: 1300}).lines == ()
    assert route_changes(present, [network], MESH, TABLE, (), {peer: 1280}).lines == (
        f"route delete 100.80.0.7/32 dev mesh0 table {TABLE} proto {PROTOCOL} mtu 1300",
        f"route add 100.80.0.7/32 dev mesh0 table {TABLE} proto {PROTOCOL} mtu 1280",
    )
    assert len(route_changes(present, [network], MESH, TABLE).lines) == 2


def test_the_mtu_of_the_way_to_an_exit_makes_no_default_route_among_those_of_the_mesh() -> None:
    assert route_changes([], [], MESH, TABLE, mtus={ip_network("0.0.0.0/0"): 1280}).lines == ()


def test_the_mtu_of_a_route_is_read() -> None:
    said = {"dst": "100.80.0.7", "dev": MESH, "table": str(TABLE), "metrics": [{"mtu": 1300}]}

    (found,) = read_marked_routes([said], 4)

    assert found == Route(ip_network("100.80.0.7/32"), MESH, "", PROTOCOL, 0, UNICAST, str(TABLE), 1300)
