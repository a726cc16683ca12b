"""The parts of a host's network that do not go with the link: rules, firewall, src_valid_mark, DNS."""

import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from ipaddress import ip_network
from typing import Final

from wgpy.cli import plan
from wgpy.cli.changes import warn
from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.config import Config
from wgpy.contract.orders import AllowedIP
from wgpy.host.nftables import removal
from wgpy.host.split_dns import resolvconf_name, uses_resolved

_SRC_VALID_MARK: Final = "net.ipv4.conf.all.src_valid_mark"
# An empty table of nft, which is there if `up` has changed src_valid_mark; the last `down` changes it back.
_SRC_VALID_MARK_TABLE: Final = "inet wgpy_src_valid_mark"


# -- rules -----------------------------------------------------------------------------------------


def free_table(host: Host) -> int:
    """Return the number of an unused routing table, which is also the mark."""
    table = plan.FIRST_TABLE
    while _has_routes(host, table):
        table += 1
    return table


def is_table_of(host: Host, interface: str, table: int) -> bool:
    """Whether a table has routes of the interface: another one may have its mark, to go past its tunnel."""
    return bool(prefixes_of_table(host, interface, table))


def prefixes_of_table(host: Host, interface: str, table: int) -> set[AllowedIP]:
    """Return the prefixes that a table routes into the interface. table: 0 for none."""
    show = ("route", "show", "table", str(table), "dev", interface)
    found = (
        ip_network(default if route["dst"] == "default" else route["dst"])
        for family, default in (("-4", "0.0.0.0/0"), ("-6", "::/0"))
        for route in (host.query_ip(family, *show) if table else ())  # 0: all tables, to `ip`
    )
    return {AllowedIP(network.network_address.packed, network.prefixlen) for network in found}


def mark_of(host: Host, interface: str) -> int:
    """Return the mark of an interface that is a full tunnel, or else the number of an unused table."""
    marks = {mark for family in ("-4", "-6") for mark in plan.tunnel_marks(_rules(host, family))}
    return next((mark for mark in sorted(marks) if is_table_of(host, interface, mark)), free_table(host))


def _has_routes(host: Host, table: int) -> bool:
    show = ("route", "show", "table", str(table))
    return any(host.query_ip(family, *show) for family in ("-4", "-6"))


def add_rules(host: Host, mark: int, own_table: Iterable[tuple[int, int]]) -> None:
    """own_table: as in `plan.RoutePlan`."""
    for family, length in own_table:
        host.ip(plan.rule_lines(mark, _rules(host, f"-{family}"), length), f"-{family}")


def remove_rules(host: Host, mark: int, families: Iterable[int] = (4, 6)) -> None:
    for family in families:
        host.ip(plan.rule_removal_lines(mark, _rules(host, f"-{family}")), f"-{family}")


def unused_marks(host: Host) -> set[int]:
    """Return the marks of full tunnels whose routes have gone, with their interface."""
    marks = {mark for family in ("-4", "-6") for mark in plan.tunnel_marks(_rules(host, family))}
    return {mark for mark in marks if not _has_routes(host, mark)}


def _rules(host: Host, family: str) -> list[plan.Json]:
    return host.query_ip("-N", family, "rule")  # -N: a table by its number, also if it has a name


# -- firewall --------------------------------------------------------------------------------------


def protect(host: Host, interface: str, config: Config, mark: int, families: Collection[int]) -> None:
    if shutil.which("nft"):
        host.run(["nft", "-f", "-"], plan.firewall_script(interface, config, mark, families))
    else:
        warn(f"nft is not installed, so packets reach the addresses of {interface} also outside the tunnel")


def has_firewall(host: Host, interface: str) -> bool:
    return plan.firewall_table(interface) in host.query_nft_tables()


def remove_firewall(host: Host, interface: str) -> None:
    if shutil.which("nft"):
        host.run(["nft", "-f", "-"], removal(plan.firewall_table(interface)))


def accept_marked_answers(host: Host) -> None:
    """Let strict reverse path filtering look up the route of an answer with the mark of its connection."""
    try:
        old = host.sysctl(_SRC_VALID_MARK, "1")
    except CommandError as error:
        warn(f"{error}; where rp_filter is 1, the answers of the peers are dropped")
    else:
        if old == "0" and shutil.which("nft"):
            host.run(["nft", "add", "table", *_SRC_VALID_MARK_TABLE.split()])


def reset_src_valid_mark(host: Host) -> None:
    """Undo `accept_marked_answers`, unless another full tunnel needs it."""
    if not plan.tunnel_marks(_rules(host, "-4")):
        with suppress(CommandError):  # no such table: it was 1 before
            host.run(["nft", "delete", "table", *_SRC_VALID_MARK_TABLE.split()])
            host.sysctl(_SRC_VALID_MARK, "0")


# -- DNS -------------------------------------------------------------------------------------------


def set_dns(host: Host, interface: str, config: Config) -> None:
    if uses_resolved():
        for command in plan.resolvectl_commands(interface, config):
            host.run(command)
    elif shutil.which("resolvconf"):
        host.run(
            ["resolvconf", "-a", resolvconf_name(interface), "-m", "0", "-x"], plan.resolvconf_input(config)
        )
    else:
        warn("systemd-resolved and resolvconf are not installed, so the file's DNS servers are not used")


def unset_dns(host: Host, interface: str) -> None:
    if uses_resolved():
        host.run(["resolvectl", "revert", interface])
    elif shutil.which("resolvconf"):
        host.run(["resolvconf", "-d", resolvconf_name(interface), "-f"])
