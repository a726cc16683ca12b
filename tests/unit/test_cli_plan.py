"""What `wgpy up` plans, without a host: routes, rules, firewall, MTU and DNS."""

from collections.abc import Sequence
from typing import Any

import pytest

from wgpy.cli import plan
from wgpy.config import Config, parse
from wgpy.keys import PublicKey

MARK = 51820
# What `ip -json rule` says on a host without further rules.
PLAIN_RULES: list[dict[str, Any]] = [
    {"priority": 0, "src": "all", "table": "local"},
    {"priority": 32766, "src": "all", "table": "main"},
    {"priority": 32767, "src": "all", "table": "default"},
]


def config(*allowed: str, address: str = "", interface: str = "") -> Config:
    keys = (PublicKey(bytes([number]) * 32) for number in range(1, 99))
    peers = "".join(
        f"[Peer]\nPublicKey={key}\nAllowedIPs={one}\n" for key, one in zip(keys, allowed, strict=False)
    )
    return parse(f"[Interface]\nAddress={address}\n{interface}\n{peers}")


def routes(found: Config) -> tuple[str, ...]:
    return plan.plan_routes("wg0", found, MARK).lines


def test_each_allowed_ip_is_routed_once_and_narrow_ones_first() -> None:
    assert routes(config("10.0.0.0/8, fd00::/64, 10.1.0.0/16", "10.1.0.0/16")) == (
        "route add fd00::/64 dev wg0",
        "route add 10.1.0.0/16 dev wg0",
        "route add 10.0.0.0/8 dev wg0",
    )


def test_what_the_address_already_connects_needs_no_route() -> None:
    found = config("10.0.0.2/32, 10.0.0.0/24, 10.0.0.0/8, fd00::2/128", address="10.0.0.1/24, fd00::1/64")
    assert routes(found) == ("route add 10.0.0.0/8 dev wg0",)


def test_a_single_address_connects_nothing() -> None:
    assert routes(config("10.0.0.1/32", address="10.0.0.1/32")) == ("route add 10.0.0.1/32 dev wg0",)


def test_a_single_ipv6_address_and_the_link_local_prefix_need_no_route() -> None:
    found = config("fd00::1, fe80::/64, fe80::7, fe80::/10", address="fd00::1/128")
    assert routes(found) == ("route add fe80::/10 dev wg0",)


def test_table_off_means_no_routes() -> None:
    assert plan.plan_routes("wg0", config("0.0.0.0/0", interface="Table=off"), MARK) == plan.RoutePlan((), ())


def test_a_numbered_table_takes_all_routes_and_no_rules() -> None:
    found = plan.plan_routes("wg0", config("0.0.0.0/0, 10.0.0.0/8", interface="Table=7"), MARK)
    assert found.lines == ("route add 10.0.0.0/8 dev wg0 table 7", "route add 0.0.0.0/0 dev wg0 table 7")
    assert found.full_tunnel == ()


@pytest.mark.parametrize(
    ("allowed", "families"),
    [("0.0.0.0/0", (4,)), ("::/0", (6,)), ("::/0, 0.0.0.0/0", (4, 6)), ("0.0.0.0/1, 128.0.0.0/1", ())],
)
def test_a_default_route_goes_into_the_table_of_the_mark(allowed: str, families: tuple[int, ...]) -> None:
    found = plan.plan_routes("wg0", config(allowed), MARK)
    assert found.full_tunnel == families
    assert sum(line.endswith("table 51820") for line in found.lines) == len(families)


# -- rules -------------------------------------------------------------------------------------------


def applied(lines: Sequence[str], rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rules of a host after these lines, as `ip -json rule` gives them."""
    left = list(rules)
    for line in lines:
        words = line.split()
        priority = int(words[words.index("preference") + 1])
        rule: dict[str, Any] = {"priority": priority, "src": "all", "table": words[words.index("table") + 1]}
        if "not" in words:
            rule |= {"not": None, "fwmark": hex(int(words[words.index("fwmark") + 1]))}
        elif "fwmark" in words:
            rule["fwmark"] = hex(int(words[words.index("fwmark") + 1]))
        if "suppress_prefixlength" in words:
            rule["suppress_prefixlen"] = int(words[words.index("suppress_prefixlength") + 1])
        if words[1] == "add":
            left.append(rule)
        else:
            left.remove(rule)
    return sorted(left, key=lambda rule: int(rule["priority"]))


def test_routes_of_the_main_table_win_before_the_tunnels_default_route() -> None:
    found = applied(plan.rule_lines(MARK, PLAIN_RULES), PLAIN_RULES)
    assert [rule["table"] for rule in found] == ["local", "main", "51820", "main", "default"]
    assert "suppress_prefixlen" in found[1]
    assert "not" in found[2]


def test_a_second_tunnel_has_both_its_rules_before_those_of_the_first() -> None:
    one = applied(plan.rule_lines(MARK, PLAIN_RULES), PLAIN_RULES)
    both = applied(plan.rule_lines(7, one), one)
    tables = ["local", "main", "main", "7", "main", "51820", "main", "default"]
    assert [rule["table"] for rule in both] == tables
    assert both[1]["fwmark"] == hex(MARK), "the datagrams of the first tunnel go past the second"


def rules_at(*preferences: int) -> list[dict[str, Any]]:
    others = [{"priority": preference, "src": "all", "table": "9"} for preference in preferences]
    return sorted([*PLAIN_RULES, *others], key=lambda rule: int(rule["priority"]))


@pytest.mark.parametrize("taken", [(1,), (2,), (3,), (0,), (0, 1), (1, 2, 3)])
def test_the_rules_find_a_place_where_low_preferences_are_taken(taken: tuple[int, ...]) -> None:
    before = rules_at(*taken)
    found = applied(plan.rule_lines(MARK, before), before)
    tables = [rule["table"] for rule in found]
    assert tables[0] == "local"
    assert all(rule["priority"] >= 0 for rule in found)
    assert "suppress_prefixlen" in found[tables.index("51820") - 1]
    assert tables.index("51820") < tables.index("9") or found[tables.index("9")]["priority"] == 0
    assert applied(plan.rule_removal_lines(MARK, found), found) == before


def test_the_rules_stand_after_a_local_rule_that_was_moved() -> None:
    before = [{"priority": 100, "src": "all", "table": "255"}, *PLAIN_RULES[1:]]
    found = applied(plan.rule_lines(MARK, before), before)
    assert [rule["table"] for rule in found] == ["255", "main", "51820", "main", "default"]


@pytest.mark.parametrize(("first", "second"), [(MARK, 7), (7, MARK)])
def test_taking_down_removes_the_own_rules_and_no_others(first: int, second: int) -> None:
    one = applied(plan.rule_lines(first, PLAIN_RULES), PLAIN_RULES)
    both = applied(plan.rule_lines(second, one), one)
    assert applied(plan.rule_removal_lines(second, both), both) == one
    rest = applied(plan.rule_removal_lines(first, both), both)
    assert applied(plan.rule_removal_lines(second, rest), rest) == PLAIN_RULES


def test_two_tunnels_where_no_preference_is_free_leave_nothing() -> None:
    before = rules_at(1)
    one = applied(plan.rule_lines(MARK, before), before)
    both = applied(plan.rule_lines(7, one), one)
    rest = applied(plan.rule_removal_lines(MARK, both), both)
    assert applied(plan.rule_removal_lines(7, rest), rest) == before


def test_without_a_mark_no_rule_is_removed() -> None:
    one = applied(plan.rule_lines(MARK, PLAIN_RULES), PLAIN_RULES)
    assert plan.rule_removal_lines(0, one) == []


def test_other_marks_and_tables_are_not_ours() -> None:
    others: list[dict[str, Any]] = [
        {"priority": 100, "src": "all", "fwmark": "0xca6c", "table": "51820"},
        {"priority": 99, "src": "all", "table": "main", "suppress_prefixlen": 0},
        {"priority": 90, "not": None, "src": "all", "fwmark": "0xca6c", "table": "9"},
        {"priority": 80, "not": None, "src": "all", "iif": "eth0", "table": "51820"},
    ]
    assert plan.rule_removal_lines(MARK, [*PLAIN_RULES, *others]) == []


# -- the rest ----------------------------------------------------------------------------------------


def test_the_firewall_protects_every_address_and_marks_only_our_datagrams() -> None:
    script = plan.firewall_script("wg0", config("0.0.0.0/0, ::/0", address="10.0.0.1/24, fd00::1/64"), MARK)
    assert 'iifname != "wg0" ip daddr 10.0.0.1 fib saddr type != local drop' in script
    assert 'iifname != "wg0" ip6 daddr fd00::1 fib saddr type != local drop' in script
    assert "meta mark 51820 ct mark set meta mark" in script
    assert "ct mark 51820 meta mark set ct mark" in script


@pytest.mark.parametrize(
    ("allowed", "endpoint", "lines", "own_table"),
    [
        (
            "198.51.100.0/24, 10.0.0.0/8", "198.51.100.7",
            ("route add 198.51.100.0/24 dev wg0 table 51820", "route add 10.0.0.0/8 dev wg0"),
            ((4, 24),),
        ),
        ("198.51.100.7/32", "198.51.100.7", ("route add 198.51.100.7/32 dev wg0 table 51820",), ((4, 32),)),
        ("2001:db8::/32", "2001:db8::7", ("route add 2001:db8::/32 dev wg0 table 51820",), ((6, 32),)),
        ("198.51.100.0/24", "203.0.113.7", ("route add 198.51.100.0/24 dev wg0",), ()),
        (
            "198.51.100.0/24, 0.0.0.0/0", "198.51.100.7",
            ("route add 198.51.100.0/24 dev wg0 table 51820", "route add 0.0.0.0/0 dev wg0 table 51820"),
            ((4, 0),),
        ),
    ],
)  # fmt: skip
def test_a_route_that_covers_an_endpoint_is_in_the_table_that_its_datagrams_pass(
    allowed: str, endpoint: str, lines: tuple[str, ...], own_table: tuple[tuple[int, int], ...]
) -> None:
    found = plan.plan_routes("wg0", config(allowed), MARK, plan.leading_to([endpoint]))

    assert sorted(found.lines) == sorted(lines)
    assert found.own_table == own_table


def test_rules_of_a_route_that_covers_an_endpoint_prefer_longer_ones_of_the_main_table() -> None:
    lines = plan.rule_lines(MARK, PLAIN_RULES, 24)
    found = applied(lines, PLAIN_RULES)

    assert any("table main suppress_prefixlength 24" in line for line in lines)
    assert applied(plan.rule_removal_lines(MARK, found), found) == PLAIN_RULES


def test_the_firewall_protects_the_addresses_of_a_full_tunnels_families_alone() -> None:
    script = plan.firewall_script("wg0", config("::/0", address="10.0.0.1/24, fd00::1/64"), MARK)
    assert "ip6 daddr fd00::1" in script
    assert "10.0.0.1" not in script


def test_a_firewall_table_has_a_name_that_nft_takes_and_no_other_interface_has() -> None:
    assert plan.firewall_table("wg0") == "inet wgpy-wg0"
    assert plan.firewall_table("a+b") == "inet wgpy-a_2bb"
    assert plan.firewall_table("a_2bb") != plan.firewall_table("a+b")


@pytest.mark.parametrize(("mtus", "mtu"), [([], 1420), ([1500], 1420), ([9000, 1400], 1320), ([100], 68)])
def test_the_mtu_fits_the_narrowest_route(mtus: list[int], mtu: int) -> None:
    assert plan.tunnel_mtu(mtus) == mtu


def test_name_servers_and_domains_are_told_to_resolvconf_and_to_resolved() -> None:
    found = config(interface="DNS=10.0.0.1, fd00::1, corp.example")
    assert plan.resolvconf_input(found) == "nameserver 10.0.0.1\nnameserver fd00::1\nsearch corp.example\n"
    assert plan.resolvectl_commands("wg0", found)[:2] == [
        ["resolvectl", "dns", "wg0", "10.0.0.1", "fd00::1"],
        ["resolvectl", "domain", "wg0", "corp.example", "~."],
    ]


def test_the_summary_says_what_is_up() -> None:
    found = config("0.0.0.0/0, ::/0", address="10.0.0.1/24, fd00::1/64")
    assert plan.summary("wg0", found, 1420, plan.plan_routes("wg0", found, MARK)) == (
        "wg0 is up with 10.0.0.1/24, fd00::1/64, MTU 1420 and 1 peer; it carries all IPv4 and IPv6 traffic."
    )
    assert plan.summary("wg0", config(), 1420, plan.RoutePlan((), ())) == (
        "wg0 is up with no address, MTU 1420 and 0 peers."
    )


def test_addresses_keep_their_prefix_length() -> None:
    assert plan.address_lines("wg0", config(address="10.0.0.1/24, fd00::1")) == [
        "address add 10.0.0.1/24 dev wg0",
        "address add fd00::1/128 dev wg0",
    ]
