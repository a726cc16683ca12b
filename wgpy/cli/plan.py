"""The changes that `up` makes to a host's network, as values.

Pure: from a configuration and the answers of `ip`, to lines for `ip -batch` and a script for nft.

A default route through the tunnel must not match the tunnel's datagrams. So the route is in a separate table,
which is looked up for every packet without the tunnel's mark; a rule before that prefers routes of the main
table unless they are default routes. wg-quick(8) calls this "rule-based routing". Here the same is done for
any route that covers the endpoint of a peer, and longer routes of the main table are preferred.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from wgpy.address import format_prefix, parse_prefix
from wgpy.config import Config
from wgpy.config_values import InterfaceAddress
from wgpy.contract.orders import AllowedIP

FIRST_TABLE: Final = 51820
MTU_OVERHEAD: Final = 80  # IPv6 and UDP header, and WireGuard's own 32 bytes
_MTU_WITHOUT_ROUTE: Final = 1500
_MTU_MIN: Final = 68
_MAIN_RULE_PREFERENCE: Final = 32766  # Linux: where the rule that reads the main table stands
_LINK_LOCAL: Final = parse_prefix("fe80::/64")  # every interface has a route of it

_MAIN: Final = ("main", "254")
_LOCAL: Final = ("local", "255")  # by its name, and by its number as `ip -N` prints it

Json = Mapping[str, Any]
Leads = Callable[[AllowedIP], bool]


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """Routes of one interface.

    lines: for `ip -batch`; full_tunnel: IP versions with a default route; own_table: IP versions with routes
    in the table of the mark, each with the length of the shortest.
    """

    lines: tuple[str, ...]
    full_tunnel: tuple[int, ...]
    own_table: tuple[tuple[int, int], ...] = ()

    @property
    def families(self) -> set[int]:
        """The IP versions of `own_table`."""
        return {family for family, _ in self.own_table}


def leading_to(endpoints: Iterable[str]) -> Leads:
    """Return what says whether a route of a prefix would lead datagrams for a peer into the tunnel."""
    peers = [AllowedIP(address.packed, 8 * len(address.packed)) for address in map(ip_address, endpoints)]
    return lambda prefix: prefix.prefix_length == 0 or any(_covers(prefix, peer) for peer in peers)


_TO_NOBODY: Final = leading_to(())


def plan_routes(interface: str, config: Config, mark: int, leads: Leads = _TO_NOBODY) -> RoutePlan:
    """Route every allowed IP into the interface, narrow ones first.

    mark: of the interface's datagrams, and the number of its table; leads: whether a prefix is in that table.
    """
    if config.table == "off":
        return RoutePlan((), ())
    prefixes = sorted(
        {prefix for peer in config.peers for prefix in peer.allowed_ips},
        key=lambda prefix: (-prefix.prefix_length, prefix.address),
    )
    if config.table not in (None, "auto"):
        lines = (
            f"route add {format_prefix(prefix)} dev {interface} table {config.table}" for prefix in prefixes
        )
        return RoutePlan(tuple(lines), ())
    connected = [_LINK_LOCAL, *(_network(address) for address in config.addresses if _connects(address))]
    return RoutePlan(
        tuple(_auto_routes(interface, prefixes, connected, mark, leads)),
        tuple(family for family in (4, 6) if family in full_tunnel_families(config)),
        own_table(config, leads),
    )


def _auto_routes(
    interface: str,
    prefixes: Iterable[AllowedIP],
    connected: Sequence[AllowedIP],
    mark: int,
    leads: Leads,
) -> Iterator[str]:
    for prefix in prefixes:
        if leads(prefix):
            yield f"route add {format_prefix(prefix)} dev {interface} table {mark}"
        elif not any(_covers(network, prefix) for network in connected):
            yield f"route add {format_prefix(prefix)} dev {interface}"


def full_tunnel_families(config: Config) -> set[int]:
    """Return the IP versions whose default route goes through the tunnel by rules."""
    return {family for family, length in own_table(config, _TO_NOBODY) if length == 0}


def own_table(config: Config, leads: Leads) -> tuple[tuple[int, int], ...]:
    """Return the IP versions with routes that lead to peers, and the length of the shortest of these."""
    if config.table not in (None, "auto"):
        return ()
    lengths: dict[int, int] = {}
    for prefix in (prefix for peer in config.peers for prefix in peer.allowed_ips):
        if leads(prefix):
            family = 4 if len(prefix.address) == 4 else 6
            lengths[family] = min(prefix.prefix_length, lengths.get(family, prefix.prefix_length))
    return tuple(sorted(lengths.items()))


def _connects(address: InterfaceAddress) -> bool:
    """Whether the kernel makes a route of the address: of a single one only for IPv6."""
    return address.version == 6 or address.network.num_addresses > 1


def _network(address: InterfaceAddress) -> AllowedIP:
    return AllowedIP(address.network.network_address.packed, address.network.prefixlen)


def _covers(network: AllowedIP, prefix: AllowedIP) -> bool:
    if len(network.address) != len(prefix.address) or network.prefix_length > prefix.prefix_length:
        return False
    host_bits = len(network.address) * 8 - network.prefix_length
    return int.from_bytes(network.address) >> host_bits == int.from_bytes(prefix.address) >> host_bits


def address_lines(interface: str, config: Config) -> list[str]:
    return [f"address add {address.with_prefixlen} dev {interface}" for address in config.addresses]


def without(lines: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return the lines that are not among the others, in their order."""
    present = set(others)
    return [line for line in lines if line not in present]


# -- rules -----------------------------------------------------------------------------------------


def rule_lines(mark: int, rules: Sequence[Json], length: int = 0) -> list[str]:
    """Return the rules of a tunnel's own table, the first after the local table's. rules: `ip -json -N rule`.

    length: of its shortest route; longer routes of the main table are preferred, and all others are not.

    The datagrams of the full tunnels that are there go past them: else two tunnels would carry each other's.
    Where no preference is free there, several rules have one preference, and Linux keeps their order.
    """
    local, following = _gap(rules)
    tunnel, suppress, others = (max(following - distance, local) for distance in (1, 2, 3))
    return [
        *(
            f"rule add fwmark {other} table main preference {others}"
            for other in sorted(tunnel_marks(rules) - {mark})
        ),
        f"rule add table main suppress_prefixlength {length} preference {suppress}",
        f"rule add not fwmark {mark} table {mark} preference {tunnel}",
    ]


def _gap(rules: Sequence[Json]) -> tuple[int, int]:
    """Return the preferences of the rule that reads the local table, and of the rule after it."""
    index = next((index for index, rule in enumerate(rules) if rule.get("table") in _LOCAL), -1)
    following = rules[index + 1]["priority"] if index + 1 < len(rules) else _MAIN_RULE_PREFERENCE
    return rules[index]["priority"] if index >= 0 else 0, following


def rule_removal_lines(mark: int, rules: Sequence[Json]) -> list[str]:
    """Undo `rule_lines`, and nothing else. mark: 0 for none; rules: `ip -json -N rule` as it is now."""
    suppressing = {
        rule["priority"]: rule["suppress_prefixlen"] for rule in rules if "suppress_prefixlen" in rule
    }
    lines = []
    for tunnel in (rule["priority"] for rule in rules if mark and _tunnel_mark(rule) == mark):
        lines.append(f"rule delete not fwmark {mark} table {mark} preference {tunnel}")
        if (suppress := next(filter(suppressing.__contains__, (tunnel - 1, tunnel)), None)) is not None:
            length = suppressing[suppress]
            lines.append(f"rule delete table main suppress_prefixlength {length} preference {suppress}")
            lines += (
                f"rule delete fwmark {int(rule['fwmark'], 16)} table main preference {rule['priority']}"
                for rule in rules
                if _is_past_tunnel(rule) and suppress - 1 <= rule["priority"] <= suppress
            )
    return lines


def tunnel_marks(rules: Sequence[Json]) -> set[int]:
    """Return the marks of the full tunnels, also those of wg-quick."""
    return {mark for mark in map(_tunnel_mark, rules) if mark}


def _tunnel_mark(rule: Json) -> int:
    """Return the mark and table of a full tunnel's rule, or 0."""
    mark = int(rule.get("fwmark", "0"), 16) if "not" in rule else 0
    return mark if rule.get("table") == str(mark) else 0


def _is_past_tunnel(rule: Json) -> bool:
    return "fwmark" in rule and "not" not in rule and rule.get("table") in _MAIN


# -- firewall --------------------------------------------------------------------------------------


def firewall_table(interface: str) -> str:
    """Return nft's name of our table; a table's name allows fewer characters than an interface's."""
    return "inet wgpy-" + re.sub(r"[^A-Za-z0-9.-]", lambda found: f"_{ord(found[0]):02x}", interface)


def firewall_script(
    interface: str, config: Config, mark: int, families: Collection[int] | None = None
) -> str:
    """For `nft -f`: protect addresses of the tunnel, and accept answers to its datagrams.

    families: IP versions with routes in the tunnel's own table; None: those with a default route.

    Packets to the tunnel's addresses are dropped unless they come through the tunnel. The mark of outgoing
    datagrams is stored in their connection and set on the answers, as strict reverse path filtering needs.
    """
    drops = "\n".join(
        f'iifname != "{interface}" {"ip" if address.version == 4 else "ip6"} daddr {address.ip} '
        "fib saddr type != local drop"
        for address in config.addresses
        if address.version in (full_tunnel_families(config) if families is None else families)
    )
    return f"""\
table {firewall_table(interface)} {{
chain preraw {{ type filter hook prerouting priority -300;
{drops}
}}
chain premangle {{ type filter hook prerouting priority -150;
meta l4proto udp ct mark {mark} meta mark set ct mark
}}
chain postmangle {{ type filter hook postrouting priority -150;
meta l4proto udp meta mark {mark} ct mark set meta mark
}}
}}
"""


# -- what is up ------------------------------------------------------------------------------------


def summary(interface: str, config: Config, mtu: int, routes: RoutePlan) -> str:
    """Return the line that `up` prints."""
    addresses = ", ".join(map(str, config.addresses)) or "no address"
    peers = f"{len(config.peers)} peer{'' if len(config.peers) == 1 else 's'}"
    families = " and ".join(f"IPv{family}" for family in routes.full_tunnel)
    all_of = f"; it carries all {families} traffic" if families else ""
    return f"{interface} is up with {addresses}, MTU {mtu} and {peers}{all_of}."


# -- MTU -------------------------------------------------------------------------------------------


def tunnel_mtu(route_mtus: Sequence[int]) -> int:
    """Return the MTU for the smallest MTU of the routes to the peers."""
    return max(_MTU_MIN, min(route_mtus, default=_MTU_WITHOUT_ROUTE) - MTU_OVERHEAD)


# -- DNS -------------------------------------------------------------------------------------------


def resolvconf_input(config: Config) -> str:
    lines = [f"nameserver {server}\n" for server in config.dns]
    if config.dns_search:
        lines.append(f"search {' '.join(config.dns_search)}\n")
    return "".join(lines)


def resolvectl_commands(interface: str, config: Config) -> list[list[str]]:
    """All names are asked of these servers (`~.`), as with resolvconf's exclusive mode."""
    servers = [str(ip_address(server)) for server in config.dns]
    return [
        ["resolvectl", "dns", interface, *servers],
        ["resolvectl", "domain", interface, *config.dns_search, "~."],
        ["resolvectl", "default-route", interface, "yes"],
    ]
