"""The router by which this host reaches the Internet, and how it is asked for port mappings.

Invariant: only what comes from the router's own address and port counts; no router is waited for longer than
a limit for each protocol, however much or little it answers.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Final, TypeVar

import wgpy.host
from wgpy.address import Address
from wgpy.host.iproute import IpFailed, ask_ip
from wgpy.node.network_check import NO_ANSWER
from wgpy.node.underlay import set_mark
from wgpy.paths import nat_pmp, pcp, ssdp
from wgpy.paths.port_mapping import LIFETIME, Grant, Protocol, Refusal

_PAUSES: Final = (0.25, 0.5, 1.0)  # seconds until the question is repeated, and then until it is given up
_MAX_ANSWERS: Final = 16  # that are read before the next question
_MAX_SIZE: Final = ssdp.MAX_SIZE + 1  # bytes of an answer
_GLOBAL: Final = "2000::"  # where the default route of IPv6 leads
_MAX_OUTPUT: Final = 4096  # bytes
_UPNP: Final = Path(wgpy.host.__file__).with_name("upnp.py")
_UPNP_TIME: Final = 8  # seconds
_SILENT: Final = Refusal(NO_ANSWER, is_unsupported=True)
NO_LIBRARY: Final = Refusal(
    "it is not asked, as async-upnp-client is not installed: `pip install 'wgpy[upnp]'`", is_unsupported=True
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Router:
    """address: its own in this host's network; host, device: by which address and interface it is reached."""

    address: Address
    host: Address
    device: str

    @property
    def scope(self) -> tuple[int, ...]:
        """Return what an address of a socket of IPv6 has beside address and port. Raises OSError."""
        if self.address.version == 4:
            return ()
        return 0, socket.if_nametoindex(self.device) if self.address.is_link_local else 0

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """Return those by which it can be asked for what is wanted."""
        return tuple(Protocol) if self.host.version == 4 else (Protocol.PCP,)


@dataclass(frozen=True, slots=True)
class Request:
    """What a node asks for.

    port: UDP, of this host; nonce: of the mapping, for PCP; wanted: address and port outside, 0 for any;
    mark: of what this host sends.
    """

    port: int
    nonce: bytes
    wanted: tuple[Address, int]
    mark: int


async def find_router(towards: str, mark: int) -> Router | None:
    """Return the router on the way to an IPv4 address, None if there is none."""
    try:
        routes = await ask_ip("-4", "route", "get", towards, "mark", str(mark))
        found = routes[0]
        return Router(IPv4Address(found["gateway"]), IPv4Address(found["prefsrc"]), str(found["dev"]))
    except (IpFailed, LookupError, ValueError, TypeError):
        return None


async def find_router_of(host: IPv6Address, mark: int) -> Router | None:
    """Return the router by which an address of this host reaches all others, None if there is none."""
    try:
        routes = await ask_ip("-6", "route", "get", _GLOBAL, "from", str(host), "mark", str(mark))
        return Router(IPv6Address(routes[0]["gateway"]), host, str(routes[0]["dev"]))
    except (IpFailed, LookupError, ValueError, TypeError):
        return None


async def ask_for_mapping(router: Router, protocol: Protocol, request: Request) -> Grant | Refusal:
    """Return what the router grants, after 9 seconds at most."""
    return await _ASKING[protocol](router, request, LIFETIME)


async def give_back(router: Router, protocol: Protocol, request: Request) -> None:
    """End the mapping, whose port outside is `wanted`; returns after 9 seconds at most."""
    if protocol is Protocol.UPNP:
        await _ask_upnp("delete", router, request.mark, request.wanted[1])
    else:
        await _ASKING[protocol](router, request, 0)


async def survey(router: Router, mark: int) -> dict[Protocol, str]:
    """Ask by each protocol whether the router speaks it; return why not, "" if it does."""
    by_pcp, by_nat_pmp, by_upnp = await asyncio.gather(
        _ask(router, mark, pcp.announce_request(router.host), pcp.read_announcement),
        _ask(router, mark, nat_pmp.address_request(), nat_pmp.read_address),
        _ask_upnp("find", router, mark),
    )
    return {
        Protocol.PCP: by_pcp.reason if isinstance(by_pcp, Refusal) else "",
        Protocol.NAT_PMP: by_nat_pmp.reason if isinstance(by_nat_pmp, Refusal) else "",
        Protocol.UPNP: str(by_upnp.get("trouble", "")),
    }


# -- PCP and NAT-PMP ------------------------------------------------------------------------------


async def _ask_by_pcp(router: Router, request: Request, lifetime: int) -> Grant | Refusal:
    asked = pcp.map_request(router.host, request.nonce, request.port, lifetime, request.wanted)
    version = router.host.version
    read = partial(pcp.read_mapping, nonce=request.nonce, port=request.port, version=version)
    return await _ask(router, request.mark, asked, read)


async def _ask_by_nat_pmp(router: Router, request: Request, lifetime: int) -> Grant | Refusal:
    asked = nat_pmp.map_request(request.port, request.wanted[1] if lifetime else 0, lifetime)
    mapping = await _ask(router, request.mark, asked, partial(nat_pmp.read_mapping, port=request.port))
    if isinstance(mapping, Refusal):
        return mapping
    found = await _ask(router, request.mark, nat_pmp.address_request(), nat_pmp.read_address)
    return found if isinstance(found, Refusal) else mapping.at(found.address)


async def _ask(
    router: Router, mark: int, question: bytes, read: Callable[[bytes], _T | Refusal | None]
) -> _T | Refusal:
    """Ask until there is an answer that `read` takes."""

    def send(udp: socket.socket) -> None:
        udp.connect((str(router.address), pcp.PORT, *router.scope))  # so nobody else can answer
        udp.send(question)

    return await _exchange(router, mark, send, read)


async def _exchange(
    router: Router, mark: int, send: Callable[[socket.socket], None],
    read: Callable[[bytes], _T | Refusal | None],
) -> _T | Refusal:  # fmt: skip
    """Send until there is an answer that `read` takes."""
    try:
        with _socket(router, mark) as udp:
            for pause in _PAUSES:
                send(udp)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        answer: _T | Refusal | None = await _receive(udp, read)
                        if answer is not None:
                            return answer
    except OSError:  # nothing listens there, or this host has no network just now
        pass
    return _SILENT


async def _receive(udp: socket.socket, read: Callable[[bytes], _T | None]) -> _T | None:
    for _ in range(_MAX_ANSWERS):
        if (answer := read(await asyncio.get_running_loop().sock_recv(udp, _MAX_SIZE))) is not None:
            return answer
    return None


@contextmanager
def _socket(router: Router, mark: int) -> Iterator[socket.socket]:
    """Raises OSError."""
    family = socket.AF_INET if router.host.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as udp:
        set_mark(udp, mark)
        if family == socket.AF_INET:
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, router.host.packed)
        udp.bind((str(router.host), 0))
        yield udp


# -- UPnP -----------------------------------------------------------------------------------------


async def _ask_by_upnp(router: Router, request: Request, lifetime: int) -> Grant | Refusal:
    numbers = request.port, lifetime, request.wanted[1] or request.port
    found = await _ask_upnp("map", router, request.mark, *numbers)
    try:
        return Grant(IPv4Address(found["address"]), int(found["port"]), int(found["lifetime"]))
    except (LookupError, ValueError, TypeError, OverflowError):
        reason = str(found.get("trouble", "it answers otherwise than expected"))
        return Refusal(reason, is_unsupported=reason in (_SILENT.reason, NO_LIBRARY.reason))


async def _ask_upnp(command: str, router: Router, mark: int, *numbers: int) -> Mapping[str, Any]:
    """Return what `wgpy/host/upnp.py` says, which runs only if the router answers a search."""
    assert isinstance(router.address, IPv4Address)
    found = await _exchange(router, mark, _search(router), partial(ssdp.read_location, router=router.address))
    if isinstance(found, Refusal):
        return {"trouble": found.reason}
    if find_spec("async_upnp_client") is None:
        return {"trouble": NO_LIBRARY.reason}
    try:
        return await _run_upnp(command, found, router.address, router.host, *numbers)
    except OSError as error:
        return {"trouble": f"this host cannot ask it: {error.strerror}"}


def _search(router: Router) -> Callable[[socket.socket], None]:
    def send(udp: socket.socket) -> None:
        for address in (ssdp.GROUP, str(router.address)):
            udp.sendto(ssdp.SEARCH, (address, ssdp.PORT))

    return send


async def _run_upnp(*arguments: object) -> Mapping[str, Any]:
    """Raises OSError."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(_UPNP), str(_UPNP_TIME), *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_UPNP_TIME + 1):
            found = json.loads(await _output(child))
            await child.wait()
    except (TimeoutError, ValueError, RecursionError):
        return {"trouble": _SILENT.reason}
    finally:
        await _end(child)
    return found if isinstance(found, dict) else {}


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def _output(child: asyncio.subprocess.Process) -> bytes:
    """Return what a process prints until it ends, or as much as it may."""
    assert child.stdout is not None
    try:
        return await child.stdout.readexactly(_MAX_OUTPUT)
    except asyncio.IncompleteReadError as error:
        return error.partial


_ASKING: Final[Mapping[Protocol, Callable[[Router, Request, int], Awaitable[Grant | Refusal]]]] = {
    Protocol.PCP: _ask_by_pcp,
    Protocol.NAT_PMP: _ask_by_nat_pmp,
    Protocol.UPNP: _ask_by_upnp,
}
