"""Addresses and routes of the mesh's interface, by `ip`. ip(8), ip-route(8)

Invariant: what `ip` refuses is a warning, and is asked for again with the next change.
"""

import asyncio
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any, Final

from wgpy.address import Prefix
from wgpy.host.iproute import read_answer, read_failures, read_reason

_PATIENCE: Final = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Link:
    """How the interface is to be. addresses: with the prefix length of the network; routes: beside it."""

    mtu: int
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    routes: tuple[Prefix, ...]


class Links:
    """One interface, and what of it was set from here."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._present: dict[str, str] = {}  # what was done, and how it is undone
        self.warnings: tuple[str, ...] = ()

    async def apply(self, wanted: Link) -> None:
        """Make the interface so, by as few changes as it takes."""
        to_be = dict(self._orders(wanted))
        gone = {line: undo for line, undo in self._present.items() if line not in to_be}
        orders = [
            *filter(None, reversed(gone.values())),
            *(line for line in to_be if line not in self._present),
        ]
        failures = await _change(orders) if orders else {}
        failed = {orders[index] for index in failures}
        self.warnings = tuple(f"`ip {orders[index]}` failed: {why}" for index, why in failures.items())
        self._present = {line: undo for line, undo in to_be.items() if line not in failed}

    def _orders(self, wanted: Link) -> Iterator[tuple[str, str]]:
        """Give lines for `ip`, each with the one that undoes it."""
        device = f"dev {self._interface}"
        yield f"link set {device} mtu {wanted.mtu} up", ""
        for address in wanted.addresses:
            # Nobody else can have it: without detection of duplicates it can be used at once.
            nodad = " nodad" if address.version == 6 else ""
            yield f"address replace {address} {device}{nodad}", f"address delete {address} {device}"
        for route in wanted.routes:
            yield f"route replace {route} {device}", f"route delete {route} {device}"


async def _change(lines: Sequence[str]) -> dict[int, str]:
    """Make several changes; which failed, by index, and why."""
    done = await asyncio.to_thread(_ip, ("-force", "-batch", "-"), "\n".join([*lines, ""]))
    failures = read_failures(done.stderr)
    if done.returncode and not failures:
        return dict.fromkeys(range(len(lines)), read_reason(done.stderr))
    return failures


async def ask_ip(*arguments: str) -> list[Any]:
    """Return what `ip -json` answers; an empty list if it has no answer."""
    done = await asyncio.to_thread(_ip, ("-json", *arguments))
    return [] if done.returncode else read_answer(done.stdout)


def _ip(arguments: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    """In a thread, since it may take its time, and since uvloop fails to write to who has ended."""
    command = ["ip", *arguments]
    try:
        return subprocess.run(
            command, input=text, capture_output=True, text=True, errors="replace", check=False,
            timeout=_PATIENCE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"it did not end within {_PATIENCE:.0f} s")
    except OSError as error:
        return subprocess.CompletedProcess(command, 1, "", f"it cannot be run: {error.strerror}")
