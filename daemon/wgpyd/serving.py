"""What a daemon does while it runs: it serves an interface until that ends or the next process has it."""

import gc
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from wgpy.contract.lazy_dataclass import compile_next, dataclass
from wgpy.datapath.native import trim_memory
from wgpy.driver.interface import Interface
from wgpy.host import systemd
from wgpy.host.tun import Tun
from wgpy.lazy_log import LOG
from wgpy.loop.running import running_loop
from wgpy.loop.waiting import first

from .errors import StartError
from .handover.channel import path_of
from .handover.offer import Offer
from .part import Part
from .server import UapiServer
from .socketfile import SocketFile

if TYPE_CHECKING:
    from .handover.takeover import Takeover


_SETTLED_AFTER: Final = 1.0  # seconds after the start, when whoever waited for it has what it waited for
STORED_TUN: Final = "tun"  # the name of its descriptors in systemd's store


@dataclass(frozen=True, slots=True)
class Daemon:
    """All that was opened.

    uapi, handover: sockets, of the configuration and for the next process; run_part: runs what is beside the
    interface, with a descriptor that an earlier process left for it, or -1; takeover: from that process, None
    if there is none; ready: to call once this can be used; at_rest: when sessions begin no more;
    own_nice: of the loop's thread.
    """

    tun: Tun
    interface: Interface
    uapi: SocketFile
    handover: SocketFile
    connections: int
    run_part: Callable[[int], AbstractAsyncContextManager[Part]]
    takeover: "Takeover | None"
    ready: Callable[[], None]
    at_rest: Callable[[], None]
    own_nice: int


async def serve(daemon: Daemon) -> None:
    """Serve until the link or the watched file of the socket is deleted, a signal comes, or another serves.

    Raises StartError.
    """
    interface, uapi = daemon.interface, daemon.uapi
    loop = running_loop()
    server = UapiServer(interface, daemon.connections)
    offer = Offer(interface, daemon.tun.queue_filenos(), (uapi, daemon.handover), daemon.at_rest)
    try:
        _start(daemon)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, interface.close)
        if uapi.is_watched:
            loop.add_reader(uapi.fileno(), _on_file_change, interface, uapi)
        interface.watch_name(partial(_follow_name, uapi, daemon.handover))
        if not await _run(daemon, server, offer):
            daemon.at_rest()
    finally:
        for file in (uapi, daemon.handover):
            file.remove()
        interface.close()
        offer.close()  # tells the next process that the port is its own: so after the sockets are closed
        if uapi.is_watched:
            loop.remove_reader(uapi.fileno())
        server.close()
        for file in (uapi, daemon.handover):
            file.close()


def _start(daemon: Daemon) -> None:
    try:
        daemon.interface.start(reading=daemon.takeover is None)
    except MemoryError as error:
        raise StartError(f"cannot start: {error}") from None
    set_nice(daemon.own_nice)  # the threads of the data path keep their priority


async def _run(daemon: Daemon, server: UapiServer, offer: Offer) -> bool:
    """Run the part until the interface ends or the next process has taken over; return whether it has."""
    ready: Callable[[], None] = partial(_report_ready, daemon)
    takeover, fd = daemon.takeover, -1
    if takeover is not None:
        await takeover.begin(daemon.interface)
        await takeover.configure(daemon.interface)
        fd = takeover.fd
    else:
        server.start(daemon.uapi)
    while True:
        async with daemon.run_part(fd) as part:
            server.watch(part.on_set)
            if takeover is not None:
                await takeover.renew_sessions(daemon.interface)
                await takeover.finish(daemon.interface)
                server.start(daemon.uapi)
            ready()
            ready = _nothing
            await _wait_asked_or_closed(daemon, offer, takeover)
            takeover = None
            if _has_ended(daemon):
                return False
            fd = part.leave()
        server.retire()
        if await offer.hand_over(fd):
            await offer.drain()
            return True
        if _has_ended(daemon):  # and not by whoever asked
            return False
        server.start(daemon.uapi)


def _has_ended(daemon: Daemon) -> bool:
    if daemon.interface.is_closed:
        systemd.notify("STOPPING=1")
    return daemon.interface.is_closed


def _nothing() -> None:
    pass


def _compile_ahead() -> None:
    """Little by little, so that the first handshake need not."""
    if compile_next():
        running_loop().call_later(0, _compile_ahead)


def _freeze() -> None:
    """Collect garbage from now on, and nothing of what was imported: that stays."""
    gc.collect()
    gc.freeze()
    gc.enable()
    trim_memory()


def _report_ready(daemon: Daemon) -> None:
    running_loop().call_later(_SETTLED_AFTER, _freeze)
    running_loop().call_soon(_compile_ahead)
    daemon.ready()
    is_main = f"\nMAINPID={os.getpid()}" if daemon.takeover else ""
    systemd.notify(f"READY=1{is_main}")
    systemd.store(STORED_TUN, daemon.tun.queue_filenos())
    LOG.info("serving at %s", daemon.uapi.path)


async def _wait_asked_or_closed(daemon: Daemon, offer: Offer, takeover: "Takeover | None") -> None:
    """Return when the interface has ended, or another process is ready to take over."""
    await first(_wait_asked(daemon, offer, takeover), daemon.interface.wait_closed())


async def _wait_asked(daemon: Daemon, offer: Offer, takeover: "Takeover | None") -> None:
    """Listen for the next process once the one before has ended."""
    if takeover is not None:
        await takeover.wait_alone(daemon.interface)
    offer.listen()
    await offer.wait_asked()


def set_nice(nice: int) -> None:
    """Set the priority of this thread and of those that it starts, if that is permitted."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)


def _follow_name(uapi: SocketFile, handover: SocketFile, name: str) -> None:
    """Let the sockets be found by the interface's new name."""
    try:
        uapi.rename(f"{os.path.dirname(uapi.path)}/{name}.sock")
        handover.rename(path_of(os.path.dirname(handover.path), name))
    except StartError as error:
        LOG.error("%s is still configured at %s: %s", name, uapi.path, error)


def _on_file_change(interface: Interface, socket_file: SocketFile) -> None:
    socket_file.acknowledge()
    if not socket_file.is_there():
        LOG.info("%s was removed", socket_file.path)
        interface.close()
