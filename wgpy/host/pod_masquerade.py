"""The tables of nft by which pods of this host reach what is neither a pod nor in the mesh. nft(8)

Other nodes of the mesh know pods by their own addresses, so what goes there keeps them; whoever is elsewhere
has no way back to them. Each version of IP has a table, as kernels before 5.2 have no NAT in `inet`.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from .nftables import change_nft, list_table, removal

Prefix = IPv4Network | IPv6Network
_FAMILIES: Final = {4: "ip", 6: "ip6"}


def table_names(table: int) -> tuple[str, ...]:
    """Return nft's names of our tables, with their families. table: number of the mesh's routing table."""
    return tuple(_name(version, table) for version in _FAMILIES)


def masquerade_pods(table: int, pods: Sequence[Prefix], inside: Sequence[str]) -> None:
    """Make the tables what they are to be. Raises NftFailed.

    pods: ranges of this host; inside: interfaces by which what leaves keeps the address of its pod.
    """
    scripts = (_script(version, table, pods, inside) for version in _FAMILIES)
    change_nft("".join([*map(removal, table_names(table)), *scripts]))


def listed_tables(table: int) -> tuple[str, ...]:
    """Return nft's text of the tables, "" for one that is not there."""
    return tuple(map(list_table, table_names(table)))


def _name(version: int, table: int) -> str:
    return f"{_FAMILIES[version]} wgpy-pods-{table}"


def _script(version: int, table: int, pods: Iterable[Prefix], inside: Iterable[str]) -> str:
    """Return for `nft -f`, "" if no pod has an address of this version."""
    family = _FAMILIES[version]
    rules = [f"{family} saddr {range_} masquerade" for range_ in pods if range_.version == version]
    kept = ", ".join(f'"{interface}"' for interface in inside)
    if not rules:
        return ""
    return f"""\
table {_name(version, table)} {{
chain postrouting {{ type nat hook postrouting priority 100; policy accept;
oifname {{ {kept} }} accept
{chr(10).join(rules)}
}}
}}
"""
