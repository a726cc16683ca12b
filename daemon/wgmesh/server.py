"""From a folder to a served network, and back to nothing."""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from errno import EADDRINUSE
from pathlib import Path
from typing import Final

import uvicorn

from wgpy.config import HostPort
from wgpy.metrics import CONTENT_TYPE, exposition
from wgpy.node.http import Answer, Request, serve

from .api import make_app
from .errors import MeshError
from .hub import Hub
from .settings import Settings, read_host_port
from .store import Store
from .tls import load_certificate, load_context

_LOG = logging.getLogger("wgmesh")

_BACKLOG: Final = 2048  # a whole network may come back at once
_LAST_WORDS: Final = 2  # seconds, for answers that are on their way when we end
# Accepted connections inherit these: the kernel lets a dead or stuck reader go, nobody wakes for it. tcp(7)
_TCP: Final = (
    (socket.TCP_KEEPIDLE, 60),  # seconds
    (socket.TCP_KEEPINTVL, 10),
    (socket.TCP_KEEPCNT, 3),
    (socket.TCP_USER_TIMEOUT, 60_000),  # ms until what was sent must have been taken
)


async def run(
    folder: Path, settings: Settings, store: Store, listen: str, metrics: str, ready: Callable[[], None]
) -> None:
    """Serve until a signal comes. ready: called once it listens. Raises MeshError."""
    certificate, key = folder / settings.certificate, folder / settings.key
    context = load_context(certificate, key)
    hub = Hub(store)
    config = uvicorn.Config(
        make_app(hub),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_LAST_WORDS,
        ssl_context_factory=lambda _config, _default: context,
    )
    server = _Server(config, ready)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        hub.stop()
        server.should_exit = True

    async with AsyncExitStack() as stack:
        stack.push_async_callback(hub.close)
        if metrics:
            await stack.enter_async_context(_serve_metrics(hub, metrics))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        loop.add_signal_handler(signal.SIGHUP, _renew, lambda: load_certificate(context, certificate, key))
        await server.serve([open_socket(read_host_port(listen))])


class _Server(uvicorn.Server):
    """Tells when it listens, and leaves signals to us."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def open_socket(where: HostPort) -> socket.socket:
    """Raises MeshError."""
    try:
        found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise MeshError(f"cannot listen at {where}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _TCP:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
        if family == socket.AF_INET6:
            # `::` is for IPv4, too, also where the host's default is otherwise. ipv6(7)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
    except OSError as error:
        listener.close()
        who = "another process has the port" if error.errno == EADDRINUSE else error.strerror
        raise MeshError(f"cannot listen at {where}: {who}") from None
    return listener


@asynccontextmanager
async def _serve_metrics(hub: Hub, where: str) -> AsyncIterator[None]:
    """Raises MeshError."""

    async def answer(request: Request) -> Answer:
        if (request.method, request.target) != ("GET", "/metrics"):
            return Answer(404, b'{"detail": "there is only /metrics"}')
        return Answer(200, exposition(hub.metrics.families(hub.book, hub.followers())), CONTENT_TYPE)

    server = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, answer), sock=open_socket(read_host_port(where))
    )
    async with server:
        yield


def _renew(load: Callable[[], None]) -> None:
    """Use a certificate that was renewed. SIGHUP"""
    try:
        load()
        _LOG.info("the certificate was read again")
    except MeshError as error:
        _LOG.error("%s", error)
