"""A program inside: in the tunnel's network, with its own DNS, and with process ids of its own.

Its init is the first process of a pid namespace: the kernel kills all others there when that ends. So
nothing outlives the program, and nothing outlives the process inside, however that ends. pid_namespaces(7)
"""

import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from wgpy.host import namespaces

_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_NSSWITCH: Final = Path("/etc/nsswitch.conf")
_CACHES: Final = (Path("/run/nscd"), Path("/var/run/nscd"))  # whose servers ask the host's network
_FOLDERS: Final = (Path("/tmp"), Path("/dev/shm"), Path("/mnt"))  # that a tmpfs may cover for a moment
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # as shells count
_NOT_FORWARDED: Final = frozenset(
    {signal.SIGCHLD, signal.SIGCONT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH}
)


def start(
    arguments: Sequence[str], streams: Sequence[int], status: int, mask: Sequence[int], group: int, dns: str
) -> int:
    """Start it, in a process group of the caller's session; return the process id of its init.

    streams: its standard streams; status: of a pipe, to which its wait status is written; mask: signals that
    are blocked for it; dns: lines of resolv.conf, "" for those of the host. Raises OSError.
    """
    namespaces.enter_new(namespaces.NEW_PIDS)
    with suppress(OSError):  # that group has ended
        os.setpgid(0, group)
    try:
        pid = os.fork()
        if not pid:
            _be_init(arguments, streams, status, mask, dns)
        return pid
    finally:
        with suppress(OSError):
            os.setpgid(0, 0)


def _be_init(
    arguments: Sequence[str], streams: Sequence[int], status: int, mask: Sequence[int], dns: str
) -> NoReturn:
    try:
        namespaces.end_with_parent()
        _change_mounts(dns)
        pid = os.fork()
        if not pid:
            _execute(arguments, streams, mask)
        for stream in streams:
            os.close(stream)
        os.write(status, b"%d" % _wait(pid))
    except OSError as error:
        _report(f"the program cannot be started inside: {error.strerror}")
    finally:
        os._exit(0)


def _execute(arguments: Sequence[str], streams: Sequence[int], mask: Sequence[int]) -> NoReturn:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores both, and so would the program
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        os.execvp(arguments[0], list(arguments))
    except OSError as error:
        _report(f"{arguments[0]} cannot be run: {error.strerror}")
        os._exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE)
    finally:
        os._exit(_NOT_EXECUTABLE)  # what has no name, say: else its init would go on here, too


def _wait(pid: int) -> int:
    """Pass on what signals others send, and return the wait status. All signals are blocked.

    A terminal's signals come from the kernel, and reach the program itself.
    """
    while True:
        caught = signal.sigwaitinfo(signal.valid_signals())
        if caught.si_signo == signal.SIGCHLD:
            if (status := _reap(pid)) is not None:
                return status
        elif caught.si_code <= 0 and caught.si_signo not in _NOT_FORWARDED:
            with suppress(ProcessLookupError):
                os.kill(pid, caught.si_signo)


def _report(text: str) -> None:
    sys.stderr.write(f"wgpy: {text}.\n")
    sys.stderr.flush()


def _reap(wanted: int) -> int | None:
    """Take leave of all processes that have ended; return the wait status of the wanted one, if it has."""
    found = None
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            found = ended[1] if ended[0] == wanted else found
    return found


# -- Mounts ----------------------------------------------------------------------------------------


def _change_mounts(dns: str) -> None:
    """Let /proc show what is inside, and names be asked of the tunnel's servers, where the host lets us."""
    namespaces.enter_new(namespaces.NEW_MOUNTS)
    namespaces.keep_mounts_inside()
    with suppress(OSError):  # parts of /proc are hidden in many containers: then the outer one stays
        namespaces.mount("proc", Path("/proc"), "proc")
    files = {_RESOLV_CONF: dns, _NSSWITCH: _without_helpers(_read(_NSSWITCH))}
    _show({path: text for path, text in files.items() if text})
    for cache in _CACHES:
        with suppress(OSError):  # it is not there
            namespaces.mount("tmpfs", cache, "tmpfs")


def _without_helpers(nsswitch: str) -> str:
    """Let libc ask for hosts itself: services of the host ask in the host's network. nsswitch.conf(5)"""
    return re.sub(r"^hosts:.*$", "hosts: files dns", nsswitch, flags=re.MULTILINE)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""


def _show(files: Mapping[Path, str]) -> None:
    """Show texts as files that exist. They are in a tmpfs without a name, and end with the namespace."""
    folder = next(path for path in _FOLDERS if path.is_dir())
    namespaces.mount("tmpfs", folder, "tmpfs")
    for number, (path, text) in enumerate(files.items()):
        file = folder / str(number)
        file.write_text(text, errors="surrogateescape")
        file.chmod(0o644)
        try:
            namespaces.bind(file, path)
        except OSError as error:
            _report(f"warning: {path} stays the host's: {error.strerror}")
    namespaces.unmount(folder)
