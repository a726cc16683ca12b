"""The command `wgpyd`: opens an interface, serves it, and closes it."""

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import replace
from errno import EACCES, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, ENXIO, EPERM
from functools import partial
from pathlib import Path
from typing import Final

from wgpy.driver.interface import Interface
from wgpy.driver.traffic import tun_offloads
from wgpy.host.eventloop import new_event_loop
from wgpy.host.links import mesh_owner, tunnel_owner
from wgpy.host.privileges import CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, drop_privileges
from wgpy.host.systemd import notify
from wgpy.host.tun import Tun

from .daemonise import daemonise
from .errors import StartError
from .log import configure_log, log_to_system
from .options import HELP, Options, UsageError, read_options
from .server import MAX_CONNECTIONS, UapiServer
from .socketfile import DIRECTORY, SocketFile
from .state import TimestampFiles

_LOG = logging.getLogger("wgpy")

_OTHER_DESCRIPTORS: Final = 64  # that are not connections
_TAKEN: Final = (EBUSY, EEXIST, EINVAL)
_FAILURE: Final = 1
_USAGE: Final = 2


def main() -> int:
    """Run the command; return the exit status."""
    arguments = sys.argv[1:]
    if "-h" in arguments or "--help" in arguments:
        print(HELP, end="")
        return 0
    if "--version" in arguments:
        print(_version())
        return 0
    try:
        options = read_options(arguments, os.environ)
        if options.mesh:
            from .agent.start import interface_of  # noqa: PLC0415 - no cost without a mesh

            options = replace(options, interface=interface_of(options.mesh))
    except StartError as error:
        return _fail(error, _USAGE if isinstance(error, UsageError) else _FAILURE)
    if options.foreground:
        return _run(options, ready=lambda: None)
    keep_output = bool(options.log_level) and not options.log
    return daemonise(lambda ready: _run_in_background(options, ready), keep_output=keep_output)


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - only here, and slow to import

    return f"wgpyd {version('wgpy')}"


def _fail(error: StartError, status: int) -> int:
    print(f"wgpyd: {error}", file=sys.stderr)
    return status


def _run_in_background(options: Options, ready: Callable[[], None]) -> int:
    def ready_without_output() -> None:
        if options.log_level is None and not options.log:
            log_to_system(options.interface)
        ready()

    return _run(options, ready_without_output)


def _run(options: Options, ready: Callable[[], None]) -> int:
    """Open the TUN and the sockets, drop privileges, serve. ready: called when the socket listens."""
    connections = _connection_limit()
    timestamps = TimestampFiles(Path(options.state_directory))
    own_nice = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        configure_log(options.interface, options.log_level, options.log)
        tun = _open_tun(options)
        interface = _open_interface(tun, options, timestamps)
        socket_file = _open_socket(options, interface.name)
        if options.settings.native:
            _set_nice(options.settings.nice)  # before privileges are dropped
        drop_privileges(CAP_NET_ADMIN, CAP_NET_BIND_SERVICE)
        agent = _open_agent(options, interface)
    except StartError as error:
        return _fail(error, _FAILURE)
    except (OSError, MemoryError) as error:
        return _fail(StartError(f"cannot start: {error}"), _FAILURE)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_serve(interface, agent, socket_file, connections, own_nice, partial(_up, tun, ready)))
    except StartError as error:
        return _fail(error, _FAILURE)
    timestamps.close()
    return 0


def _up(tun: Tun, ready: Callable[[], None]) -> None:
    """From now on the interface may outlive this process; one that could not be served does not."""
    tun.keep()
    ready()


def _connection_limit() -> int:
    """Raise the limit of open files as far as needed; return how many connections it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _OTHER_DESCRIPTORS
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(min(MAX_CONNECTIONS, soft - _OTHER_DESCRIPTORS), 1)


def _open_interface(tun: Tun, options: Options, timestamps: TimestampFiles) -> Interface:
    try:
        return Interface(tun, timestamps=timestamps, settings=options.settings)
    except ValueError as error:
        raise _unusable(options, error) from None


def _open_tun(options: Options) -> Tun:
    settings = options.settings
    try:
        if options.tun_fd is not None:
            return Tun(options.tun_fd)
        return Tun.open(
            options.interface,
            vnet_header=bool(tun_offloads(settings)),
            queues=settings.queues(),
            owner=_owner(options),
        )
    except OSError as error:
        raise StartError(_why_no_tun(options, error)) from None
    except ValueError as error:
        raise _unusable(options, error) from None


def _unusable(options: Options, error: ValueError) -> StartError:
    tun = options.interface if options.tun_fd is None else "WG_TUN_FD"
    return StartError(f"{tun} cannot be used: {error}")


def _owner(options: Options) -> str:
    """Return the owner of a persistent interface, "" for one that goes with this process."""
    if options.mesh:
        return mesh_owner(options.mesh)
    return tunnel_owner(options.interface) if options.persistent else ""


def _why_no_tun(options: Options, error: OSError) -> str:
    name = options.interface
    match error.errno:
        case _ if error.errno in (EACCES, EPERM):
            return (
                f"no permission to make {name}: run as root, or with CAP_NET_ADMIN and access to /dev/net/tun"
            )
        case _ if error.errno in (ENOENT, ENODEV, ENXIO):
            return "there is no /dev/net/tun: load the tun module (modprobe tun), or give it to the container"
        case _ if error.errno in _TAKEN and name in (known for _, known in socket.if_nameindex()):
            return _why_taken(options, error)
        case _:
            return f"cannot make the interface {name}: {error.strerror}"


def _why_taken(options: Options, error: OSError) -> str:
    name = options.interface
    if options.mesh:
        from .agent.start import is_running  # noqa: PLC0415

        if is_running(options.mesh):
            return f"the agent of {options.mesh} runs already: `wgpy mesh status` shows it"
    if isinstance(error, BlockingIOError):
        return f"another process holds the interface of `{_owner(options)}`: end it first"
    whose = " and is not its own" if _owner(options) else ""
    return (
        f"the interface {name} exists already{whose}: delete it (ip link delete {name}), or use another name"
    )


def _open_socket(options: Options, name: str) -> SocketFile:
    if options.uapi_fd is not None:
        return SocketFile.adopt(options.uapi_fd)
    # A mesh's daemon ends by `wgpy mesh`, and watches /etc/resolv.conf: one instance of inotify is enough.
    return SocketFile.create(DIRECTORY / f"{name}.sock", is_watched=not options.mesh)


def _open_agent(options: Options, interface: Interface) -> AbstractAsyncContextManager[Callable[[], None]]:
    """Start what must run before the daemon reports that it is ready; it gives what to call after a `set`."""
    if not options.mesh:
        return nullcontext(lambda: None)
    from .agent.start import open_agent  # noqa: PLC0415

    return open_agent(options.mesh, interface, options.metrics, options.kubernetes)


def _set_nice(nice: int) -> None:
    """Set the priority of this thread and of those that it starts, if that is permitted."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)


async def _serve(
    interface: Interface,
    agent: AbstractAsyncContextManager[Callable[[], None]],
    socket_file: SocketFile,
    connections: int,
    own_nice: int,
    ready: Callable[[], None],
) -> None:
    """Serve until the link or the watched file of the socket is deleted, or a signal arrives."""
    loop = asyncio.get_running_loop()
    server = UapiServer(interface, connections)
    try:
        try:
            interface.start()
        except MemoryError as error:
            raise StartError(f"cannot start: {error}") from None
        _set_nice(own_nice)  # the threads of the data path keep their priority
        await server.start(socket_file)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, interface.close)
        if socket_file.is_watched:
            loop.add_reader(socket_file.fileno(), _on_file_change, interface, socket_file)
        interface.watch_name(partial(_follow_name, socket_file))
        async with agent as on_set:
            server.watch(on_set)
            gc.collect()
            gc.freeze()  # what was imported is never collected
            ready()
            notify("READY=1")
            _LOG.info("serving at %s", socket_file.path)
            await interface.wait_closed()
            notify("STOPPING=1")
    finally:
        socket_file.remove()
        interface.close()
        if socket_file.is_watched:
            loop.remove_reader(socket_file.fileno())
        server.close()
        socket_file.close()


def _follow_name(socket_file: SocketFile, name: str) -> None:
    """Let the socket be found by the interface's new name."""
    try:
        socket_file.rename(socket_file.path.with_name(f"{name}.sock"))
    except StartError as error:
        _LOG.error("%s is still configured at %s: %s", name, socket_file.path, error)


def _on_file_change(interface: Interface, socket_file: SocketFile) -> None:
    socket_file.acknowledge()
    if not socket_file.is_there():
        _LOG.info("%s was removed", socket_file.path)
        interface.close()


if __name__ == "__main__":
    sys.exit(main())
