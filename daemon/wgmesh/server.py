"""The HTTPS server of a coordinator's folder."""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from errno import EADDRINUSE
from pathlib import Path
from typing import Final

import uvicorn

from wgpy.address import HostPort
from wgpy.node.http import Answer, Request, serve
from wgpy.prometheus import CONTENT_TYPE, exposition

from .api import make_app
from .challenges import VALID
from .errors import MeshError
from .service import Service
from .settings import Settings, read_host_port
from .store import Store
from .tls import load_certificate, load_context

_LOG = logging.getLogger("wgmesh")

_BACKLOG: Final = 2048  # all nodes of a network may reconnect at once
_SHUTDOWN_TIMEOUT: Final = 2  # seconds, for responses in progress
# Accepted connections inherit these: the kernel closes connections of dead or stuck nodes without a timer
# of ours. tcp(7)
_TCP: Final = (
    (socket.TCP_KEEPIDLE, 60),  # seconds
    (socket.TCP_KEEPINTVL, 10),
    (socket.TCP_KEEPCNT, 3),
    (socket.TCP_USER_TIMEOUT, 60_000),  # ms until sent data must be acknowledged
)


async def run(
    folder: Path, settings: Settings, store: Store, listen: str, metrics: str, ready: Callable[[], None]
) -> None:
    """Serve until SIGTERM or SIGINT. ready: called once the server listens. Raises MeshError."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with serving(folder, settings, store, listen, metrics) as served:
        loop.add_signal_handler(signal.SIGHUP, served.renew)
        ready()
        await ended.wait()


@dataclass(frozen=True, slots=True)
class Serving:
    """A network that is served. address: of the socket; renew: reads the certificate again."""

    service: Service
    address: HostPort
    renew: Callable[[], None]


@asynccontextmanager
async def serving(
    folder: Path, settings: Settings, store: Store, listen: str, metrics: str
) -> AsyncIterator[Serving]:
    """Serve while the context lasts. Raises MeshError."""
    certificate, key = folder / settings.certificate, folder / settings.key
    context = load_context(certificate, key)

    def renew() -> None:
        try:
            load_certificate(context, certificate, key)
            _LOG.info("the certificate was read again")
        except MeshError as error:
            _LOG.error("%s", error)

    async with AsyncExitStack() as stack:
        service = Service(store)
        stack.push_async_callback(service.close)
        if metrics:
            await stack.enter_async_context(_serve_metrics(service, metrics))
        listener = open_socket(read_host_port(listen))
        server = _Server(_configuration(service, context))
        await stack.enter_async_context(server.serving(listener))
        stack.callback(service.stop)  # before the server waits for its connections
        yield Serving(service, HostPort(*listener.getsockname()[:2]), renew)


def _configuration(service: Service, context: ssl.SSLContext) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(service),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=VALID,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
        ssl_context_factory=lambda _config, _default: context,
    )


class _Server(uvicorn.Server):
    """A server that handles no signals and does not wake while it is idle."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._listens = asyncio.Event()
        self._stopped = asyncio.Event()

    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncIterator[None]:
        task = asyncio.create_task(self.serve([listener]))
        task.add_done_callback(lambda _: self._listens.set())
        try:
            await self._listens.wait()
            yield
        finally:
            self._stopped.set()
            await task

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listens.set()

    async def main_loop(self) -> None:
        await self._stopped.wait()


def open_socket(address: HostPort) -> socket.socket:
    """Return a socket that is bound to an address. Raises MeshError."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, resolved = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise MeshError(f"cannot listen at {address}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _TCP:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
        if family == socket.AF_INET6:
            # `::` is for IPv4, too, also where the host's default is otherwise. ipv6(7)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(resolved)
    except OSError as error:
        listener.close()
        reason = "another process has the port" if error.errno == EADDRINUSE else error.strerror
        raise MeshError(f"cannot listen at {address}: {reason}") from None
    return listener


@asynccontextmanager
async def _serve_metrics(service: Service, address: str) -> AsyncIterator[None]:
    """Raises MeshError."""

    async def answer(request: Request) -> Answer:
        if (request.method, request.target) != ("GET", "/metrics"):
            return Answer(404, b'{"detail": "there is only /metrics"}')
        return Answer(
            200,
            exposition(
                service.metrics.families(
                    service.snapshot, service.presence.followers(), len(service.presence.clones())
                )
            ),
            CONTENT_TYPE,
        )

    server = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, answer), sock=open_socket(read_host_port(address))
    )
    async with server:
        yield
