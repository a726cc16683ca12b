"""What `wgpyd` runs: it opens an interface, serves it, and closes it."""

import os
import resource
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from errno import EACCES, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, ENXIO, EPERM
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from wgpy.driver.interface import Interface
from wgpy.driver.traffic import tun_offloads
from wgpy.endpoint_names import write_names
from wgpy.host.links import find_owned, mesh_owner, tunnel_owner
from wgpy.host.privileges import CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, drop_privileges
from wgpy.host.systemd import forget, take_stored
from wgpy.host.tun import Tun
from wgpy.lazy_log import LOG
from wgpy.loop.small import SmallLoop

from .endpoint_names import follow_names
from .errors import StartError
from .handover.channel import path_of
from .options import Options
from .part import Part
from .server import MAX_CONNECTIONS
from .serving import STORED_TUN, Daemon, serve, set_nice
from .socketfile import DIRECTORY, SocketFile
from .state import TimestampFiles

if TYPE_CHECKING:
    from .handover.takeover import Takeover

_OTHER_DESCRIPTORS: Final = 64  # that are not connections
_TAKEN: Final = (EBUSY, EEXIST, EINVAL)
_RELEASE_TIME: Final = 5.0  # seconds, for systemd to close what it keeps
_RELEASE_INTERVAL: Final = 0.02


def run(options: Options, ready: Callable[[], None]) -> None:
    """Open the TUN and the sockets, drop privileges, serve.

    ready: called when the socket listens. Raises StartError.
    """
    connections = _connection_limit()
    timestamps = TimestampFiles(options.state_directory)
    own_nice = os.getpriority(os.PRIO_PROCESS, 0)
    stored = take_stored(os.environ).get(STORED_TUN, [])
    try:
        _configure_log(options)
        takeover = _take_over(options)
        tun = takeover.tun(_owner(options)) if takeover else _open_tun(options, stored)
        interface = _open_interface(tun, options, timestamps, takeover)
        if not takeover:
            write_names(interface.name, {})  # of a daemon that was killed; `wgpy up` writes them anew
        uapi, handover = _open_sockets(options, interface.name, takeover)
        if options.settings.native:
            set_nice(options.settings.nice)  # before privileges are dropped
        drop_privileges(CAP_NET_ADMIN, CAP_NET_BIND_SERVICE)
        run_part = _open_part(options, interface)
    except (OSError, MemoryError) as error:
        raise StartError(f"cannot start: {error}") from None
    daemon = Daemon(
        tun, interface, uapi, handover, connections, run_part, takeover, partial(_up, tun, ready),
        timestamps.close, own_nice,
    )  # fmt: skip
    _run_loop(options, serve(daemon))


def _configure_log(options: Options) -> None:
    """Raises StartError if there is a file that cannot be written."""

    def configure() -> None:
        from .log import configure_log  # noqa: PLC0415

        configure_log(options.interface, options.log_level, options.log)

    LOG.configure_later(configure)
    if options.log or options.mesh or options.log_level in ("verbose", "debug"):
        LOG.begin()


def _run_loop(options: Options, main: Coroutine[Any, Any, None]) -> None:
    if not options.mesh:
        SmallLoop().run(main)
        return
    import asyncio  # noqa: PLC0415 - no cost without a mesh

    from wgpy.host.eventloop import new_event_loop  # noqa: PLC0415

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


def _take_over(options: Options) -> "Takeover | None":
    """Ask the daemon that runs, if there is one and this is to replace it."""
    if not options.takes_over:
        return None
    from .handover.takeover import take_over  # noqa: PLC0415 - no cost for who does not

    owned = find_owned(mesh_owner(options.mesh)) if options.mesh else None  # under whatever name it has now
    name = owned.name if owned else options.interface
    return take_over(DIRECTORY, name, is_mesh=bool(options.mesh))


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


def _open_interface(
    tun: Tun, options: Options, timestamps: TimestampFiles, takeover: "Takeover | None"
) -> Interface:
    try:
        transport = takeover.transport() if takeover else None
        return Interface(tun, transport=transport, timestamps=timestamps, settings=options.settings)
    except ValueError as error:
        raise _unusable(options, error) from None


def _open_tun(options: Options, stored: Sequence[int]) -> Tun:
    """stored: queues of the TUN that systemd kept from this service's last life."""
    settings = options.settings
    try:
        if options.tun_fd is not None:
            return Tun(options.tun_fd)
        if stored and (kept := _kept_tun(options, stored)):
            return kept
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


def _kept_tun(options: Options, stored: Sequence[int]) -> Tun | None:
    """Return the TUN of the last life, if that was opened as it would be now; else systemd gives it up."""
    wants_header = bool(tun_offloads(options.settings))
    with suppress(ValueError, OSError):  # it was deleted
        tun = Tun.inherit(stored, owner=_owner(options))
        if (bool(tun.vnet_header_size), len(stored)) == (wants_header, options.settings.queues()):
            return tun
    for fd in stored:
        os.close(fd)
    forget(STORED_TUN)
    _await_release(_owner(options))
    return None


def _await_release(owner: str) -> None:
    """Return when nobody holds a persistent interface any more, or after a while."""
    end = time.monotonic() + _RELEASE_TIME
    while owner and (found := find_owned(owner)) and found.has_carrier and time.monotonic() < end:
        time.sleep(_RELEASE_INTERVAL)


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


def _open_sockets(options: Options, name: str, takeover: "Takeover | None") -> tuple[SocketFile, SocketFile]:
    """Return that of the configuration, and where the next process asks. Raises StartError."""
    # A mesh's daemon ends by `wgpy mesh`, and watches /etc/resolv.conf: one instance of inotify is enough.
    is_watched = not options.mesh
    if takeover:
        return takeover.sockets(is_watched=is_watched)
    if options.uapi_fd is not None:
        uapi = SocketFile.adopt(options.uapi_fd)
    else:
        uapi = SocketFile.create(f"{DIRECTORY}/{name}.sock", is_watched=is_watched)
    return uapi, SocketFile.create(path_of(DIRECTORY, name), is_watched=False)


def _open_part(options: Options, interface: Interface) -> Callable[[int], AbstractAsyncContextManager[Part]]:
    """Open what must run before the daemon reports that it is ready. Raises StartError."""
    if not options.mesh:
        return lambda _: follow_names(interface)
    from .agent.start import open_agent  # noqa: PLC0415 - no cost without a mesh

    return open_agent(options.mesh, interface, options.metrics, options.kubernetes)
