"""From the rules that a host has to those that lead to a mesh's table, and nothing of what is another's."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from wgpy.host.iprule import Json, TableUse, rule_changes, rule_removals

TABLE, MARK, PORT = 151_000_007, 0x1097, 51900
PLAIN = TableUse(TABLE, MARK, "100.80.0.0/16")
WITH_COORDINATOR = TableUse(TABLE, MARK, "100.80.0.0/16", PORT)
EXIT_TABLE, OTHER_EXIT = 152_000_007, 152_000_008
WITHOUT_EXIT = TableUse(TABLE, MARK, "100.80.0.0/16", 0, EXIT_TABLE)
WITH_EXIT = TableUse(TABLE, MARK, "100.80.0.0/16", 0, EXIT_TABLE, is_exit=True)
WITH_BOTH = TableUse(TABLE, MARK, "100.80.0.0/16", PORT, EXIT_TABLE, is_exit=True)
CLIENTS_TABLE = 153_000_007
WITH_CLIENTS = replace(WITHOUT_EXIT, clients_table=CLIENTS_TABLE, entry="mesh0")
WITH_ALL = replace(WITH_BOTH, clients_table=CLIENTS_TABLE, entry="mesh0")
RETURN_TABLE = 154_000_007
WITHOUT_RETURN = replace(WITH_BOTH, is_exit=False, return_table=RETURN_TABLE)
WITH_RETURN = replace(WITHOUT_RETURN, sources=("10.42.0.0/16", "10.43.0.0/16"))
OTHER_NETWORK = TableUse(151_000_008, MARK, "100.81.0.0/16", 51901, OTHER_EXIT)
OTHER_WITH_EXIT = TableUse(151_000_008, MARK, "100.81.0.0/16", 51901, OTHER_EXIT, is_exit=True)

LOCAL: Json = {"priority": 0, "src": "all", "table": "255"}
MAIN: Json = {"priority": 32766, "src": "all", "table": "254"}
DEFAULT: Json = {"priority": 32767, "src": "all", "table": "253"}
SUPPRESSING: Json = {"priority": 32764, "src": "all", "table": "254", "suppress_prefixlen": 0}
FULL_TUNNEL: Json = {"priority": 32765, "not": None, "src": "all", "fwmark": "0xca6c", "table": "51820"}
FOREIGN: list[Json] = [
    {"priority": 100, "src": "10.0.0.1", "table": "254"},
    {"priority": 5210, "src": "all", "fwmark": "0x80000", "fwmask": "0xff0000", "table": "254"},
    {"priority": 32000, "not": None, "src": "all", "fwmark": "0x1097", "table": "77"},
    {"priority": 32760, "src": "all", "ipproto": "ipproto-6", "sport": PORT, "goto": 32766},
]

foreign = st.lists(st.sampled_from([*FOREIGN, SUPPRESSING, FULL_TUNNEL]), unique_by=str)
uses = st.sampled_from([PLAIN, WITH_COORDINATOR])


def kernel(rules: Sequence[Json]) -> list[Json]:
    return sorted(rules, key=lambda rule: rule["priority"])


def carried_out(rules: Sequence[Json], lines: Sequence[str]) -> list[Json]:
    """What a kernel makes of lines for `ip`, each of which must succeed."""
    after = list(rules)
    for line in lines:
        verb, rule = line.split(" ")[1], parsed(line)
        if verb == "add":
            assert rule not in after
            after.append(rule)
        else:
            after.remove(rule)
    return kernel(after)


def parsed(line: str) -> Json:
    """A line as `ip -N -json rule` then answers it."""
    words = line.split(" ")[2:]
    rule: dict[str, object] = {"src": "all"}
    if "not" in words:
        words.remove("not")
        rule["not"] = None
    for key, value in zip(words[::2], words[1::2], strict=True):
        match key:
            case "preference":
                rule["priority"] = int(value)
            case "lookup":
                rule["table"] = value
            case "ipproto":
                rule["ipproto"] = {"tcp": "ipproto-6", "icmp": "ipproto-1", "ipv6-icmp": "ipproto-58"}[value]
            case "dport":
                first, last = value.split("-")
                rule["dport_start"], rule["dport_end"] = int(first), int(last)
            case "from":
                rule["src"], length = value.split("/")
                rule["srclen"] = int(length)
            case "to":
                rule["dst"], length = value.split("/")
                rule["dstlen"] = int(length)
            case "suppress_prefixlength":
                rule["suppress_prefixlen"] = int(value)
            case "sport" | "goto":
                rule[key] = int(value)
            case _:
                rule[key] = value
    return rule


def reconciled(rules: Sequence[Json], use: TableUse) -> list[Json]:
    """What a host then has, which is not to be changed any more."""
    after = carried_out(rules, rule_changes(rules, use))
    assert rule_changes(after, use) == []
    return after


@given(foreign, uses, uses)
def test_the_table_is_looked_up_just_before_the_main_one_from_any_host(
    others: list[Json], before: TableUse, use: TableUse
) -> None:
    after = reconciled(reconciled(kernel([LOCAL, MAIN, DEFAULT, *others]), before), use)

    ours = next(rule for rule in after if rule.get("table") == str(TABLE) and "fwmark" in rule)
    main = next(rule for rule in after if rule in (MAIN, SUPPRESSING))
    assert ours["priority"] == main["priority"] - 1
    assert (ours["not"], ours["fwmark"]) == (None, "0x1097")


@given(foreign, uses)
def test_what_is_not_ours_stays_and_all_of_ours_can_be_removed(others: list[Json], use: TableUse) -> None:
    before = reconciled(kernel([LOCAL, MAIN, DEFAULT, *others]), OTHER_NETWORK)

    after = reconciled(before, use)

    assert carried_out(after, rule_removals(after, PORT, TABLE)) == before


def test_answers_of_a_coordinator_go_past_the_table_unless_they_are_for_the_mesh() -> None:
    after = reconciled([LOCAL, MAIN, DEFAULT], WITH_COORDINATOR)

    assert after[1:4] == [
        {
            "priority": 32763, "src": "all", "dst": "100.80.0.0", "dstlen": 16, "ipproto": "ipproto-6",
            "sport": PORT, "table": str(TABLE), "protocol": "151",
        },
        {
            "priority": 32764, "src": "all", "ipproto": "ipproto-6", "sport": PORT, "goto": 32766,
            "protocol": "151",
        },
        {
            "priority": 32765, "not": None, "src": "all", "fwmark": "0x1097", "table": str(TABLE),
            "protocol": "151",
        },
    ]  # fmt: skip


# -- An exit ---------------------------------------------------------------------------------------

exits = st.sampled_from([WITH_EXIT, WITH_BOTH])


def tables(rules: Sequence[Json]) -> list[tuple[str, bool]]:
    """Which tables what has no mark is looked up in, from the first of ours on, and if without defaults."""
    asked = [rule for rule in rules if "sport" not in rule]
    first = next(place for place, rule in enumerate(asked) if rule.get("protocol") == "151")
    return [
        (rule["table"], "suppress_prefixlen" in rule)
        for rule in asked[first:]
        if rule not in (*FOREIGN, FULL_TUNNEL)
    ]


@given(foreign, st.sampled_from([PLAIN, WITH_COORDINATOR, WITHOUT_EXIT, WITH_EXIT, WITH_BOTH]), exits)
def test_an_exit_has_what_neither_the_mesh_nor_the_hosts_own_networks_have(
    others: list[Json], before: TableUse, use: TableUse
) -> None:
    after = reconciled(reconciled(kernel([LOCAL, MAIN, DEFAULT, *others]), before), use)

    found = tables(after)
    assert found[:3] == [(str(TABLE), False), ("254", True), (str(EXIT_TABLE), False)]
    assert found[3] in (("254", True), ("254", False))
    marked = [rule for rule in after if rule.get("table") in (str(TABLE), str(EXIT_TABLE))]
    assert all(rule.get("fwmark") == "0x1097" or "sport" in rule for rule in marked)


@given(foreign, exits)
def test_nothing_of_an_exit_stays_that_is_used_no_more(others: list[Json], use: TableUse) -> None:
    without = TableUse(TABLE, MARK, use.network, use.port, EXIT_TABLE)
    never = reconciled(kernel([LOCAL, MAIN, DEFAULT, *others]), without)

    assert reconciled(reconciled(never, use), without) == never


@given(foreign, exits)
def test_all_of_an_exit_can_be_removed(others: list[Json], use: TableUse) -> None:
    before = reconciled(kernel([LOCAL, MAIN, DEFAULT, *others]), OTHER_NETWORK)

    after = reconciled(before, use)

    assert carried_out(after, rule_removals(after, PORT, TABLE, EXIT_TABLE)) == before


@given(st.sampled_from([PLAIN, WITH_COORDINATOR, WITHOUT_EXIT]), st.booleans())
def test_networks_without_an_exit_come_before_the_exit_of_another_one_of_the_host(
    use: TableUse, is_first: bool
) -> None:
    uses = [use, OTHER_WITH_EXIT] if is_first else [OTHER_WITH_EXIT, use]
    rules: list[Json] = [LOCAL, MAIN, DEFAULT]
    for one in (*uses, *uses):
        rules = carried_out(rules, rule_changes(rules, one))

    assert all(rule_changes(rules, one) == [] for one in uses)
    assert {table for table, _ in tables(rules)[:2]} == {str(TABLE), "151000008"}
    assert tables(rules)[2:4] == [("254", True), (str(OTHER_EXIT), False)]
    assert all(rule["goto"] == 32766 for rule in rules if "goto" in rule)


def test_what_is_left_of_an_exit_without_its_table_is_removed() -> None:
    whole = reconciled([LOCAL, MAIN, DEFAULT], WITH_EXIT)
    torn = [rule for rule in whole if rule.get("table") != str(EXIT_TABLE)]

    assert tables(reconciled(torn, WITHOUT_EXIT)) == [(str(TABLE), False), ("254", False), ("253", False)]
    assert reconciled(torn, WITH_EXIT) == whole


def test_a_rule_in_another_place_is_moved_without_a_moment_without_it() -> None:
    moved = {**FULL_TUNNEL, "fwmark": "0x1097", "table": str(TABLE), "protocol": "151"}

    lines = rule_changes(kernel([LOCAL, SUPPRESSING, moved, MAIN, DEFAULT]), PLAIN)

    assert lines == [
        f"rule add preference 32763 not fwmark 0x1097 lookup {TABLE} protocol 151",
        f"rule delete preference 32765 not fwmark 0x1097 lookup {TABLE} protocol 151",
    ]


@given(
    foreign,
    st.sampled_from([PLAIN, WITH_EXIT, WITH_CLIENTS, WITH_ALL]),
    st.sampled_from([WITH_CLIENTS, WITH_ALL]),
)
def test_what_comes_by_the_mesh_and_is_not_for_it_goes_to_the_exit_of_clients_before_all_else(
    others: list[Json], before: TableUse, use: TableUse
) -> None:
    after = reconciled(reconciled(kernel([LOCAL, MAIN, DEFAULT, *others]), before), use)

    entering = next(rule for rule in after if rule.get("table") == str(CLIENTS_TABLE))
    table = next(rule for rule in after if rule.get("table") == str(TABLE) and "fwmark" in rule)
    assert (entering["iif"], entering["priority"]) == ("mesh0", table["priority"] + 1)


@given(foreign, st.sampled_from([WITH_CLIENTS, WITH_ALL]))
def test_all_of_an_exit_of_clients_can_be_removed_and_nothing_stays_that_is_used_no_more(
    others: list[Json], use: TableUse
) -> None:
    without = replace(use, entry="")
    before = reconciled(kernel([LOCAL, MAIN, DEFAULT, *others]), OTHER_NETWORK)
    never = reconciled(before, without)

    after = reconciled(never, use)

    assert reconciled(after, without) == never
    assert carried_out(after, rule_removals(after, PORT, *use.tables)) == before


# -- A return route --------------------------------------------------------------------------------


def test_what_bears_an_address_of_the_site_goes_by_its_gateway_and_what_bears_the_nodes_does_not() -> None:
    after = reconciled([LOCAL, MAIN, DEFAULT], WITH_RETURN)

    asked = [(rule["src"], rule["table"]) for rule in after[1:4]]
    assert asked == [
        ("10.42.0.0", str(RETURN_TABLE)), ("10.43.0.0", str(RETURN_TABLE)), ("100.80.0.0", str(TABLE)),
    ]  # fmt: skip


def test_icmp_errors_go_by_the_gateway_of_the_site_and_pings_do_not() -> None:
    after = reconciled([LOCAL, MAIN, DEFAULT], WITH_RETURN)

    ranges = [
        range(rule["dport_start"], rule["dport_end"] + 1)
        for rule in after
        if rule.get("ipproto") == "ipproto-1" and rule["table"] == str(RETURN_TABLE)
    ]
    kinds = {kind for kind in range(256) if any(kind << 8 in found for found in ranges)}
    assert kinds == {3, 11, 12}


def test_icmpv6_errors_are_types_1_to_4() -> None:
    use = replace(WITH_RETURN, network="fd12::/32", sources=("fd00:42::/48",))

    (rule,) = (one for one in reconciled([LOCAL, MAIN, DEFAULT], use) if "dport_start" in one)

    assert (rule["ipproto"], rule["dport_start"] >> 8, rule["dport_end"] >> 8) == ("ipproto-58", 1, 4)


@given(foreign)
def test_nothing_of_a_return_route_stays_that_there_is_no_more(others: list[Json]) -> None:
    never = reconciled(kernel([LOCAL, MAIN, DEFAULT, *others]), WITHOUT_RETURN)

    assert reconciled(reconciled(never, WITH_RETURN), WITHOUT_RETURN) == never


@given(foreign)
def test_all_of_a_return_route_can_be_removed(others: list[Json]) -> None:
    before = reconciled(kernel([LOCAL, MAIN, DEFAULT, *others]), OTHER_NETWORK)

    after = reconciled(before, WITH_RETURN)

    assert carried_out(after, rule_removals(after, PORT, *WITH_RETURN.tables)) == before
