"""The local API: what a node shows of itself: to the commands of this host, and to Prometheus.

Invariant: who may open the Unix socket may do everything, so it is its owner's alone; elsewhere there are
metrics and nothing else. Whoever asks slowly holds nobody up.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from wgpy.address import parse_endpoint
from wgpy.driver.interface import Interface
from wgpy.mesh import codec
from wgpy.node.agent_client import (
    AgentError,
    CoreDnsAnswer,
    EndpointChange,
    RoundTrip,
    RoundTripWanted,
    RouteChange,
    SiteAddition,
    SiteAnswer,
    SiteReturn,
    Status,
    UdpAnswer,
)
from wgpy.node.http import Answer, Connections, Request
from wgpy.node.network_check import NetworkCheck
from wgpy.prometheus import CONTENT_TYPE, exposition
from wgpyd.errors import StartError
from wgpyd.socketfile import SocketFile

from .metrics import measures
from .rejected_records import RejectedRecords

_MAX_CONNECTIONS: Final = 64  # at once, to each socket
_UNIX: Final = "unix:"

_T = TypeVar("_T")
_Answerer = Callable[[Request], Awaitable[Answer]]


class Node(Protocol):
    """Whose API it is."""

    @property
    def interface(self) -> Interface: ...

    @property
    def rejected(self) -> RejectedRecords: ...

    async def status(self) -> Status:
        """Raises LookupError with a sentence while there is nothing to report."""

    async def rename(self, name: str) -> None:
        """Raises AgentError."""

    async def set_keepalive(self, keepalive: str) -> None:
        """Raises AgentError."""

    async def use_exit(self, name: str) -> None:
        """Raises AgentError."""

    async def change_routes(self, change: RouteChange) -> None:
        """Raises AgentError."""

    async def change_endpoints(self, change: EndpointChange) -> None:
        """Raises AgentError."""

    async def add_site(self, addition: SiteAddition) -> SiteAnswer:
        """Raises AgentError."""

    async def change_return(self, change: SiteReturn) -> None:
        """Raises AgentError."""

    async def remove_site(self, name: str) -> None:
        """Raises AgentError."""

    async def change_coredns(self, site: str) -> CoreDnsAnswer:
        """Raises AgentError."""

    async def ask_by_udp(self, identity: str) -> tuple[UdpAnswer, ...]:
        """Raises AgentError."""

    async def measure(self, wanted: RoundTripWanted) -> RoundTrip:
        """Raises AgentError."""

    async def check_network(self) -> NetworkCheck:
        """Ask all relays."""

    async def leave(self) -> None:
        """Raises AgentError."""


@asynccontextmanager
async def local_api(node: Node, path: Path, metrics: str = "", *, fd: int = -1) -> AsyncIterator[SocketFile]:
    """Answer at the Unix socket of this path while inside, which it gives.

    metrics: where to give nothing but them, `ADDRESS:PORT` or `unix:PATH`; fd: of the socket, if an earlier
    process left it. Raises StartError.
    """
    async with AsyncExitStack() as stack:
        if fd >= 0:
            socket_file = SocketFile.inherit(fd, path, is_watched=False)
        else:
            socket_file = SocketFile.create(path, is_watched=False)
        await stack.enter_async_context(_serving(socket_file, partial(_answer_owner, node)))
        if metrics:
            await stack.enter_async_context(_serving(_open(metrics), partial(_answer_scraper, node)))
        yield socket_file


def port_of(metrics: str) -> int:
    """Return the TCP port at which metrics are served, 0 for none. metrics: as for `local_api`."""
    try:
        return 0 if metrics.startswith(_UNIX) else parse_endpoint(metrics).port
    except ValueError:
        return 0


def _open(where: str) -> SocketFile | socket.socket:
    """Raises StartError."""
    if where.startswith(_UNIX):
        return SocketFile.create(Path(where.removeprefix(_UNIX)), is_watched=False)
    try:
        endpoint = parse_endpoint(where)
    except ValueError:
        raise StartError(
            f"metrics cannot be served at `{where}`: want ADDRESS:PORT, as 127.0.0.1:9586, or unix:PATH"
        ) from None
    family = socket.AF_INET6 if endpoint.is_ipv6 else socket.AF_INET
    try:
        return socket.create_server((endpoint.address, endpoint.port), family=family)
    except OSError as error:
        raise StartError(f"metrics cannot be served at {where}: {error.strerror}") from None


@asynccontextmanager
async def _serving(opened: SocketFile | socket.socket, answer: _Answerer) -> AsyncIterator[None]:
    connections = Connections(answer, _MAX_CONNECTIONS)
    if isinstance(opened, SocketFile):
        server = await asyncio.start_unix_server(connections.take, sock=opened.listener)
    else:
        server = await asyncio.start_server(connections.take, sock=opened)
    try:
        yield
    finally:
        if isinstance(opened, SocketFile):
            opened.remove()
        server.close()
        await connections.end()
        opened.close()


# -- Answers --------------------------------------------------------------------------------------


async def _answer_owner(node: Node, request: Request) -> Answer:
    try:
        match request.method, request.target:
            case "GET", "/status":
                return _json(200, codec.write(await node.status()))
            case "GET", "/metrics":
                return await _measure(node)
            case "POST", target if (answer := await _change(node, target, request.body)) is not None:
                return _json(200, answer)
            case _:
                return _nothing_there(request)
    except AgentError as error:
        return _detail(409, str(error))
    except (LookupError, ConnectionError) as error:  # the last while the interface ends
        return _detail(503, str(error))


async def _change(node: Node, target: str, body: bytes) -> dict[str, Any] | None:
    """Do what a command asks for, and return the answer; None for an unknown target. Raises AgentError."""
    match target:
        case "/rename":
            await node.rename(_read_text(body, "name"))
        case "/keepalive":
            await node.set_keepalive(_read_text(body, "keepalive"))
        case "/exit":
            await node.use_exit(_read_text(body, "name"))
        case "/routes":
            await node.change_routes(_read(RouteChange, body, "lists of prefixes, `add` and `remove`"))
        case "/endpoints":
            await node.change_endpoints(_read(EndpointChange, body, "a list of HOST:PORT, `hosts`"))
        case "/sites/add":
            return codec.write(await node.add_site(_read(SiteAddition, body, "a site")))
        case "/sites/return":
            await node.change_return(_read(SiteReturn, body, "a `site` and a list of addresses, `gateways`"))
        case "/sites/remove":
            await node.remove_site(_read_text(body, "name"))
        case "/sites/coredns":
            return codec.write(await node.change_coredns(_read_text(body, "name")))
        case "/leave":
            await node.leave()
        case _:
            return await _find_out(node, target, body)
    return {}


async def _find_out(node: Node, target: str, body: bytes) -> dict[str, Any] | None:
    """As `_change`, for what changes nothing."""
    match target:
        case "/ping":
            answers = await node.ask_by_udp(_read_text(body, "identity"))
            return {"answers": list(map(codec.write, answers))}
        case "/round-trip":
            wanted = _read(RoundTripWanted, body, "an `identity` and `milliseconds`")
            return codec.write(await node.measure(wanted))
        case "/netcheck":
            return asdict(await node.check_network())
        case _:
            return None


async def _answer_scraper(node: Node, request: Request) -> Answer:
    if (request.method, request.target) != ("GET", "/metrics"):
        return _nothing_there(request)
    try:
        return await _measure(node)
    except (LookupError, ConnectionError) as error:  # the last while the interface ends
        return _detail(503, str(error))


async def _measure(node: Node) -> Answer:
    """Raises LookupError."""
    families = measures(await node.status(), node.interface.counters(), node.rejected.counts)
    return Answer(200, exposition(families), CONTENT_TYPE)


def _read_text(body: bytes, field: str) -> str:
    """Raises AgentError."""
    try:
        return str(codec.STRING.read(json.loads(body)[field]))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise AgentError(f"want a JSON object with a `{field}`") from None


def _read(kind: type[_T], body: bytes, what: str) -> _T:
    """what: that has to be in the body. Raises AgentError."""
    try:
        return codec.read(kind, json.loads(body))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise AgentError(f"want a JSON object with {what}") from None


def _nothing_there(request: Request) -> Answer:
    return _detail(404, f"there is no {request.method} {request.target}")


def _detail(status: int, sentence: str) -> Answer:
    return _json(status, {"detail": sentence})


def _json(status: int, value: Any) -> Answer:
    return Answer(status, json.dumps(value).encode())
