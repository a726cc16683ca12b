"""The tables of nft by which a gateway's host passes on what the mesh sends to its sites. nft(8)

What the mesh sends to a site whose hosts have no route back leaves with an address of this host; if it has
other gateways, so does what these hosts send to the mesh. The MSS of TCP is that of the narrower side, both
ways. Routers of a site need not have addresses of it: what they say of packets from the mesh (ICMP errors)
gets the address of this host, since members accept no other. RFC 5508, 4.2.2. Each version of IP has a table,
as kernels before 5.2 have no NAT in `inet`; the source tells what the mesh sends, as kernels before 5.7 do
not tell the interface there.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses
from typing import Any, Final

from wgpy.contract.lazy_dataclass import dataclass

from .nftables import change_nft, list_table, removal

Prefix = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
_FAMILIES: Final = {4: "ip", 6: "ip6"}
_TYPES: Final = {4: "ipv4_addr", 6: "ipv6_addr"}
_ERRORS: Final = {
    4: "icmp type { destination-unreachable, time-exceeded, parameter-problem }",
    6: "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
}


@dataclass(frozen=True, slots=True)
class Masquerade:
    """What passes between a mesh and the sites of this host.

    interface: of the mesh; own: its addresses; sources: of packets from the mesh; real: prefixes of the
    sites; masqueraded: those of them whose hosts have no route back; closed: what of them nobody reaches;
    lent: those whose hosts get an address of this host for what they begin, since members may know theirs by
    another gateway.
    """

    interface: str
    own: tuple[Address, ...]
    sources: tuple[Prefix, ...]
    real: tuple[Prefix, ...]
    masqueraded: tuple[Prefix, ...]
    closed: tuple[Prefix, ...] = ()
    lent: tuple[Prefix, ...] = ()


def name_of_ours(table: int) -> str:
    """Return the name of what is ours in nft. table: number of the mesh's routing table."""
    return f"wgpy-site-{table}"


def table_names(table: int) -> tuple[str, ...]:
    """Return nft's names of our tables, with their families."""
    return tuple(f"{family} {name_of_ours(table)}" for family in _FAMILIES.values())


class MasqueradeTables:
    """Of one mesh.

    Compared is the text that nft gave for what was made: nft lists the same rules in words of its own, and
    each version in others. So a new process makes the tables once more, in one step.
    """

    def __init__(self, table: int) -> None:
        self._names = dict(zip(_FAMILIES, table_names(table), strict=True))
        self._made: dict[int, tuple[str, str]] = {}  # by version of IP: what was wanted, and nft's text of it

    def apply(self, wanted: Masquerade, *, is_unread: bool) -> bool:
        """Make the tables what they are to be; whether somebody else had changed one. Raises NftFailed.

        is_unread: whether somebody else may have, since the last call.
        """
        changes = [self._apply_version(version, wanted, is_unread) for version in _FAMILIES]
        return any(changes)

    def _apply_version(self, version: int, wanted: Masquerade, is_unread: bool) -> bool:
        name, script = self._names[version], _script(self._names[version], version, wanted)
        before, listed = self._made.get(version, ("", ""))
        if script == before and not (is_unread and list_table(name) != listed):
            return False
        change_nft(removal(name) + script)
        self._made[version] = script, list_table(name) if script else ""
        return script == before != ""


def remove_tables(table: int) -> None:
    """Raises NftFailed."""
    change_nft("".join(map(removal, table_names(table))))


def _script(name: str, version: int, wanted: Masquerade) -> str:
    """Return for `nft -f`, "" if nothing of this version passes."""
    if not _of_version(wanted.real, version):
        return ""
    family, masqueraded = _FAMILIES[version], _of_version(wanted.masqueraded, version)
    closed, lent = _of_version(wanted.closed, version), _of_version(wanted.lent, version)
    begun = f'oifname "{wanted.interface}" {family} saddr @lent masquerade'
    dropped = f'iifname "{wanted.interface}" {family} daddr @closed drop'
    chosen = f'oifname != "{wanted.interface}" {family} saddr @mesh {family} daddr @masqueraded masquerade'
    return f"""\
table {name} {{
{_set("mesh", version, _of_version(wanted.sources, version))}
{_set("real", version, _of_version(wanted.real, version))}
{_set("masqueraded", version, masqueraded)}
{_set("closed", version, closed) if closed else ""}
{_set("lent", version, lent) if lent else ""}
chain postrouting {{ type nat hook postrouting priority 100; policy accept;
{chosen if masqueraded else ""}
{begun if lent else ""}
}}
chain errors {{ type filter hook postrouting priority 150; policy accept;
{_lend_address(version, wanted)}
}}
chain forward {{ type filter hook forward priority -150; policy accept;
{dropped if closed else ""}
{_clamp(f'iifname "{wanted.interface}"')}
{_clamp(f'oifname "{wanted.interface}"')}
}}
}}
"""


def _lend_address(version: int, wanted: Masquerade) -> str:
    """Of errors about what the mesh sent."""
    family = _FAMILIES[version]
    errors = f'oifname "{wanted.interface}" {_ERRORS[version]}'
    foreign = f"{family} saddr != @mesh {family} saddr != @real"
    own = [address for address in wanted.own if address.version == version]
    return f"{errors} {foreign} {family} saddr set {own[0]}" if own else ""


def _clamp(by: str) -> str:
    """Of the routes of both directions nft takes the smaller MTU."""
    return f"{by} tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu"


def _set(name: str, version: int, prefixes: Sequence[Prefix]) -> str:
    elements = f"elements = {{ {', '.join(map(str, prefixes))} }}" if prefixes else ""
    return f"set {name} {{ type {_TYPES[version]}; flags interval\n{elements}\n}}"


def _of_version(prefixes: Iterable[Prefix], version: int) -> list[Prefix]:
    """Return them without overlaps, which a set cannot have."""
    chosen: list[Any] = [prefix for prefix in prefixes if prefix.version == version]
    return list(collapse_addresses(chosen))
