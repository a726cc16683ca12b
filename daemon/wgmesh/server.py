"""The HTTPS server of a coordinator's folder."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from wgpy.address import HostPort
from wgpy.node.http import Answer, Request, serve
from wgpy.prometheus import CONTENT_TYPE, exposition

from .api import make_app
from .datagrams import DatagramStreams
from .limits import Limits
from .listener import accepting, open_socket
from .service import Service
from .settings import Settings, read_host_port
from .store import Store
from .tls import Certificate


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
    folder: Path,
    settings: Settings,
    store: Store,
    listen: str,
    metrics: str,
    limits: Limits | None = None,
) -> AsyncIterator[Serving]:
    """Serve while the context lasts. Raises MeshError."""
    certificate = Certificate(folder / settings.certificate, folder / settings.key)
    async with AsyncExitStack() as stack:
        service = Service(store)
        stack.push_async_callback(service.close)
        if metrics:
            await stack.enter_async_context(_serve_metrics(service, metrics))
        streams = DatagramStreams(read_host_port(settings.relay) if settings.relay else None)
        listener = open_socket(read_host_port(listen))
        address = HostPort(*listener.getsockname()[:2])
        await stack.enter_async_context(
            accepting(listener, certificate.context, make_app(service, streams), limits or Limits())
        )
        stack.callback(service.stop)  # before the server waits for its answers
        yield Serving(service, address, certificate.renew)


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
