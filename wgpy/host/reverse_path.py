"""Lets strict reverse path filtering accept what comes for the mesh's own sockets. Linux ip-sysctl.rst

Where rp_filter is 1 the kernel drops a packet unless the way back to its source is the interface that it came
by. A route of the mesh that covers a peer's endpoint is no such way, and the peer's datagrams are dropped. So
a table of nft gives packets for a marked socket the mark of that socket, by which they are routed past the
mesh's table, and src_valid_mark lets the kernel look at the mark.

IPv6 has no rp_filter; the rule of a firewall that is like it, `fib saddr . mark`, sees the mark, too.
"""

import re
import socket
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from wgpy.contract.lazy_dataclass import dataclass

from . import links
from .nftables import change_nft, list_table, removal

_SETTINGS: Final = Path("/proc/sys/net/ipv4/conf")
_STRICT: Final = 1
_CHANGED: Final = re.compile(r"set src_valid_mark \{[^}]*elements = \{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class OwnSockets:
    """Of a mesh.

    table: of its routes, by whose number ours is named; mark: of its sockets; port: TCP, of a coordinator on
    this host, whose socket has no mark, 0 for none.
    """

    table: int
    mark: int
    port: int = 0


def table_name(table: int) -> str:
    """Return nft's name of our table."""
    return f"inet wgpy-mesh-{table}"


def may_need_changes(settings: Path = _SETTINGS) -> bool:
    """Whether the host filters strictly, or did when we looked last: a glance, which starts no program."""
    names = [path.name for path in settings.iterdir()] if settings.is_dir() else []
    return any(
        _setting(settings, name, "rp_filter") == _STRICT or _setting(settings, name, "src_valid_mark")
        for name in names
    )


def strict_interfaces(names: Iterable[str], settings: Path = _SETTINGS) -> list[str]:
    """Return those whose filter is strict: of an interface and of all the greater value counts."""
    least = _setting(settings, "all", "rp_filter")
    return [name for name in names if max(least, _setting(settings, name, "rp_filter")) == _STRICT]


def accept(sockets: OwnSockets, interfaces: Collection[str]) -> None:
    """Let in what comes by these interfaces, and undo it for all others. Raises NftFailed, OSError."""
    found = list_table(table_name(sockets.table))
    before = changed_interfaces(found)
    off = {name for name in interfaces if not _setting(_SETTINGS, name, "src_valid_mark")}
    wanted = _script(sockets, interfaces, (before & {*interfaces}) | off) if interfaces else ""
    if off or _words(found) != _words(wanted):
        # Noted before it is changed, and changed back before the note goes.
        _set_src_valid_mark(before - {*interfaces}, on=False)
        change_nft(removal(table_name(sockets.table)) + wanted)
        _set_src_valid_mark(off, on=True)


def undo(table: int) -> None:
    """Raises NftFailed, OSError."""
    accept(OwnSockets(table, 0), ())


def changed_interfaces(text: str) -> set[str]:
    """Return whose src_valid_mark we have set, as our table says it. text: nft's, of the table."""
    found = _CHANGED.search(text)
    return set(re.findall(r'"([^"]+)"', found[1])) if found else set()


def _script(sockets: OwnSockets, interfaces: Collection[str], changed: Collection[str]) -> str:
    """For `nft -f`, in the words in which it lists the table."""
    mark = f"meta mark set {sockets.mark:#010x}"
    coordinator = f"iifname @strict fib daddr type local tcp dport {sockets.port} {mark}"
    return f"""\
table {table_name(sockets.table)} {{
set strict {{ type ifname
{_elements(interfaces)}
}}
set src_valid_mark {{ type ifname
{_elements(changed)}
}}
chain prerouting {{ type filter hook prerouting priority mangle; policy accept;
iifname @strict socket mark {sockets.mark:#010x} {mark}
{coordinator if sockets.port else ""}
}}
}}
"""


def _elements(names: Collection[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"elements = {{ {quoted} }}" if names else ""


def _words(text: str) -> list[str]:
    """Return what counts of a table: nft lists elements in an order and in lines of its own."""
    return sorted(re.findall(r"[^\s,;{}]+", text))


def _set_src_valid_mark(names: Iterable[str], *, on: bool) -> None:
    for name in names:
        with suppress(OSError):  # it was deleted
            links.set_src_valid_mark(socket.if_nametoindex(name), on=on)


def _setting(settings: Path, interface: str, name: str) -> int:
    try:
        return int((settings / interface / name).read_text())
    except (OSError, ValueError):
        return 0
