"""wgpyd as the gateway of sites, or a relay: configured by `wg`, and by lines of what else it does.

gateway_host.py INTERFACE       for each line, SITES RULES or relay, that is written to the pipe at CONTROL,
                                print it when it is in force

Site number N is 100.64.0.0/24, N networks further, in the mesh, and 10.0.0.0/24, N networks further, behind
the gateway. The last rule lets the first peer begin streams to the first site; 0 rules let everybody begin
everything.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Final

from wgpy.contract.constants import MAX_PERMITS, MAX_RULES
from wgpy.contract.orders import AllowedIP, Permit, SetTranslations, Translation
from wgpy.driver.interface import Interface
from wgpy.driver.settings import Settings, read_settings
from wgpy.driver.traffic import tun_offloads
from wgpy.host.eventloop import new_event_loop
from wgpy.host.tun import Tun
from wgpy.keys import PrivateKey, PublicKey
from wgpy.model import NO_POLICY, DeviceUpdate, PeerUpdate, Policy
from wgpyd.server import UapiServer
from wgpyd.socketfile import DIRECTORY, SocketFile

MAPPED: Final = IPv4Address("100.64.0.0")
REAL: Final = IPv4Address("10.0.0.0")
LENGTH: Final = 24  # of each site's prefixes
STREAM_PORT: Final = 5201  # iperf3's
CONTROL: Final = "/run/gateway"
RELAY: Final = "relay"
_RELAY_RATE: Final = 2**40  # bytes a second: more than there are
_SIZE: Final = 1 << 32 - LENGTH
_TCP: Final = 6


def translations(sites: int) -> SetTranslations:
    return SetTranslations(
        tuple(Translation(_prefix(MAPPED, number), _prefix(REAL, number)) for number in range(sites))
    )


def policies(rules: int) -> list[Policy]:
    """Return the first peer's, and those of as many others as take what rules it cannot have."""
    if not rules:
        return [NO_POLICY]
    every = _permits(rules)
    return [Policy(every[max(end - MAX_PERMITS, 0) : end]) for end in range(len(every), 0, -MAX_PERMITS)]


def _permits(rules: int) -> tuple[Permit, ...]:
    """Each is of a host and a port of its own, but for the last."""
    others = (
        Permit(number % MAX_RULES, _TCP, AllowedIP((MAPPED + _SIZE + number).packed, 32), number, number)
        for number in range(1, rules)
    )
    return (*others, Permit(0, 0, _prefix(MAPPED, 0), STREAM_PORT, STREAM_PORT))


def _prefix(first: IPv4Address, number: int) -> AllowedIP:
    return AllowedIP((first + number * _SIZE).packed, LENGTH)


def _open_tun(name: str, settings: Settings) -> Tun:
    return Tun.open(name, vnet_header=bool(tun_offloads(settings)), queues=settings.queues())


def _start(interface: Interface, nice: int) -> None:
    """Start the threads of the data path with their priority, as wgpyd does."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    interface.start()
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, own)


async def _obey(interface: Interface, lines: asyncio.StreamReader) -> None:
    keys: list[PublicKey] = []
    while line := await lines.readline():
        if line.decode().strip() == RELAY:
            await interface.configure(DeviceUpdate(relay_rate=_RELAY_RATE))
        else:
            sites, rules = map(int, line.split())
            found = policies(rules)
            keys = keys or [peer.public_key for peer in (await interface.status()).peers]
            keys += [PrivateKey.generate().public_key() for _ in found[len(keys) :]]
            await interface.configure(_update(sites, keys, found))
        print(line.decode().strip(), flush=True)


def _update(sites: int, keys: Sequence[PublicKey], found: Sequence[Policy]) -> DeviceUpdate:
    every = [*found, *[NO_POLICY] * (len(keys) - len(found))]
    peers = [PeerUpdate(key, policy=policy) for key, policy in zip(keys, every, strict=True)]
    return DeviceUpdate(translations=translations(sites), peers=peers)


async def _open_control() -> asyncio.StreamReader:
    """Make the pipe, which is open to be written, too, and so never at its end."""
    lines = asyncio.StreamReader()
    os.mkfifo(CONTROL)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(os.open(CONTROL, os.O_RDWR), "rb", 0)
    )
    return lines


async def _serve(name: str) -> None:
    settings = read_settings(os.environ)
    interface = Interface(_open_tun(name, settings), settings=settings)
    _start(interface, settings.nice)
    server = UapiServer(interface)  # kept, as uvloop's servers end when they are collected
    server.start(SocketFile.create(f"{DIRECTORY}/{name}.sock"))
    await asyncio.gather(_obey(interface, await _open_control()), interface.wait_closed())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(sys.argv[1]))
