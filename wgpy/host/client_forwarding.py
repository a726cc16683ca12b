"""Passes on what the clients of a mesh send to its other members: by the mesh's interface in, and out by it.

Linux ip-sysctl.rst, nft(8). IPv4 is forwarded by what the interface says by which a packet comes in, IPv6 by
what all interfaces say or, since Linux 6.17, by what that one says. Where we open only this interface, a
table of nft lets what comes by it leave by no other one. The table also drops the redirects that the kernel
would send to whom it forwards by the way that they came.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from pathlib import Path
from typing import Final

from wgpy.contract.lazy_dataclass import dataclass

from .nftables import change_nft, list_table, removal

_SYSCTLS: Final = Path("/proc/sys/net")
_ON, _OFF = "1", "0"
_FAMILIES: Final = {4: "ip", 6: "ip6"}
_UNFORWARDED6: Final = (
    "clients of this node reach other members by IPv4 alone, as its host does not forward IPv6: "
    "`sysctl -w net.ipv6.conf.all.forwarding=1`, and a file in /etc/sysctl.d, let packets through"
)

Prefix = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What a host is to forward.

    interface: of the mesh; table: of its routes, by whose number ours is named; behind: what else is reached
    by the node; own: addresses of this host that alone are reached beside these, () for all that it has.
    """

    interface: str
    table: int
    behind: tuple[Prefix, ...]
    own: tuple[Prefix, ...] = ()


def table_name(table: int) -> str:
    """Return nft's name of our table."""
    return f"inet wgpy-clients-{table}"


class ClientForwarding:
    """Of one mesh. Its methods run programs, so a coroutine calls them in a thread.

    Compared is the text that nft gave for what was made, as it has words of its own for the same rules.
    """

    def __init__(self, sysctls: Path = _SYSCTLS) -> None:
        self._sysctls = sysctls
        self._made = ("", "")  # what was wanted, and nft's text of it

    def open(self, wanted: Forwarding) -> list[str]:
        """Forward for clients; return what remains to be done, each a sentence. Raises NftFailed, OSError."""
        self._guard(wanted)
        self._write(f"ipv4/conf/{wanted.interface}/forwarding", _ON)
        self._write(f"ipv6/conf/{wanted.interface}/force_forwarding", _ON)
        return [] if self._forwards6(wanted.interface) else [_UNFORWARDED6]

    def close(self, before: Forwarding, *, is_gateway: bool) -> None:
        """Take it back. is_gateway: whether the node forwards for others. Raises NftFailed, OSError."""
        if not is_gateway and not self._is_router(4):
            self._write(f"ipv4/conf/{before.interface}/forwarding", _OFF)
        if not is_gateway and not self._is_router(6):
            self._write(f"ipv6/conf/{before.interface}/force_forwarding", _OFF)
        change_nft(removal(table_name(before.table)))
        self._made = "", ""

    def forwards(self, interface: str) -> bool:
        """Return whether what comes by it is forwarded: a glance."""
        return self._read(f"ipv4/conf/{interface}/forwarding") == _ON

    def is_left_open(self, interface: str) -> bool:
        """Return whether an earlier process may have opened it: a glance."""
        return self.forwards(interface) and not self._is_router(4)

    def _guard(self, wanted: Forwarding) -> None:
        """Before anything is open. Raises NftFailed."""
        name = table_name(wanted.table)
        script = self._script(wanted)
        if self._made == (script, list_table(name)) and script:
            return
        change_nft(removal(name) + script)
        self._made = script, list_table(name)

    def _script(self, wanted: Forwarding) -> str:
        chains = [_redirects(wanted.interface), *([_input(wanted)] if wanted.own else [])]
        closed = [version for version in _FAMILIES if not self._is_router(version)]
        if closed:
            chains.append(_forward(wanted, closed))
        return f"table {table_name(wanted.table)} {{\n{''.join(chains)}}}\n"

    def _is_router(self, version: int) -> bool:
        return self._read(f"ipv{version}/conf/all/forwarding") == _ON

    def _forwards6(self, interface: str) -> bool:
        """Also where there is no IPv6."""
        found = self._read(f"ipv6/conf/{interface}/force_forwarding")
        return self._is_router(6) or found == _ON or not self._read("ipv6/conf/all/forwarding")

    def _read(self, name: str) -> str:
        """Return "" for a setting that is not there."""
        try:
            return (self._sysctls / name).read_text().strip()
        except OSError:
            return ""

    def _write(self, name: str, value: str) -> None:
        if self._read(name) not in ("", value):
            (self._sysctls / name).write_text(value)


def _redirects(interface: str) -> str:
    hook = "type filter hook output priority 0; policy accept;"
    drops = (
        f'oifname "{interface}" icmp type redirect drop\noifname "{interface}" icmpv6 type nd-redirect drop'
    )
    return f"chain redirects {{ {hook}\n{drops}\n}}\n"


def _input(wanted: Forwarding) -> str:
    """An exit of another node is no way to the addresses that this host has in other networks."""
    hook = "type filter hook input priority -150; policy accept;"
    come = f'iifname "{wanted.interface}"'
    lines = (
        f"{come} {line}" for version in _FAMILIES for line in _lines((*wanted.own, *wanted.behind), version)
    )
    return f"chain input {{ {hook}\n{chr(10).join(lines)}\n}}\n"


def _forward(wanted: Forwarding, versions: Iterable[int]) -> str:
    hook = "type filter hook forward priority -150; policy accept;"
    come = f'iifname "{wanted.interface}" oifname != "{wanted.interface}"'
    lines = (f"{come} {line}" for version in versions for line in _lines(wanted.behind, version))
    return f"chain forward {{ {hook}\n{chr(10).join(lines)}\n}}\n"


def _lines(behind: Iterable[Prefix], version: int) -> Iterator[str]:
    chosen = [prefix for prefix in behind if prefix.version == version]
    if chosen:
        prefixes = ", ".join(map(str, collapse_addresses(chosen)))  # type: ignore[type-var]
        yield f"{_FAMILIES[version]} daddr {{ {prefixes} }} accept"
    yield f"meta nfproto ipv{version} drop"
