"""A network of its own, as its caller sees it: a process inside that is asked for sockets and programs.

Invariant: when the caller ends, in whatever way, the process inside ends, and with it all that it made.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from errno import EMFILE
from pathlib import Path
from socket import socket as Socket  # noqa: N812 - a method is called so
from typing import Any, Final

from . import channel
from .errors import TunnelError
from .forbidden import explain
from .spares import Kind, SpareSockets

ANSWER_TIMEOUT: Final = 30.0  # seconds
_ENDED: Final = "the tunnel's network has ended: open a tunnel anew"
_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from wgpy.tunnel.inside import main; "
    "main(int(sys.argv[2]), int(sys.argv[3]))"
)


@dataclass(frozen=True, slots=True)
class Network:
    """What the interface inside is to have. addresses: with prefix lengths; routes: prefixes."""

    name: str
    mtu: int
    vnet_header: bool
    addresses: tuple[str, ...]
    routes: tuple[str, ...]


class Namespace:
    """Its sockets, and the network with them, stay usable until they are closed."""

    def __init__(self, network: Network) -> None:
        """Make it. Raises TunnelError with a sentence for the operator."""
        self._lock = threading.Lock()
        self._spares = SpareSockets(self._make_sockets)
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = _start(theirs)
        try:
            _, (self._tun,) = self._ask("make", asdict(network))
        except BaseException:
            self.close()
            raise
        self._ended = os.pidfd_open(self._process.pid)

    def take_tun(self) -> int:
        """Return the descriptor of the TUN, which is the caller's from now on."""
        tun, self._tun = self._tun, -1
        return tun

    def fileno(self) -> int:
        """Readable once the process inside has ended."""
        return self._ended

    def socket(self, family: int, kind: int, protocol: int) -> Socket:
        """Return a socket of the network inside. Raises OSError, TunnelError; any thread may ask."""
        return self._spares.take((int(family), int(kind), protocol))

    def _make_sockets(self, kind: Kind, count: int) -> list[Socket]:
        family, type_, protocol = kind
        wanted = {"family": family, "type": type_, "proto": protocol, "count": count}
        _, filenos = self._ask("sockets", wanted)
        if not filenos:  # what this process has no room for, the kernel does not deliver
            raise OSError(EMFILE, os.strerror(EMFILE))
        return [Socket(*kind, fileno) for fileno in filenos]

    def start(self, arguments: Sequence[str], mask: Iterable[int], dns: str) -> "Program":
        """Start a program inside, one in the life of a namespace: with our streams, folder and environment.

        mask, dns: as `program.start`. Raises OSError, TunnelError.
        """
        status, theirs = os.pipe()
        try:
            wanted = {
                "arguments": list(arguments), "mask": list(mask), "group": os.getpgrp(), "dns": dns,
            }  # fmt: skip
            answer = self._ask("program", wanted, (0, 1, 2, theirs))
        except BaseException:
            os.close(status)
            raise
        finally:
            os.close(theirs)
        return Program(answer.values["pid"], status)

    def close(self) -> None:
        """End the process inside; harmless when repeated."""
        self._process.kill()  # first, so that no thread waits for its answer any more
        self._process.wait()
        self._spares.close()
        with self._lock:
            self._channel.close()
        for name in ("_ended", "_tun"):
            if (fileno := self.__dict__.pop(name, -1)) >= 0:
                os.close(fileno)

    def _ask(self, verb: str, values: dict[str, Any], filenos: Sequence[int] = ()) -> channel.Message:
        with self._lock:
            if self._channel.fileno() < 0:
                raise TunnelError(_ENDED)
            try:
                self._channel.settimeout(ANSWER_TIMEOUT)
                channel.send(self._channel, {"do": verb, **values}, filenos)
                answer = channel.receive(self._channel)
            except ConnectionError:
                answer = None
            except OSError as error:
                self._channel.close()  # a late answer would be taken for that to the next question
                raise TunnelError(
                    f"the tunnel's network does not answer: {error.strerror or error}"
                ) from None
        if answer is None:
            raise TunnelError(_ENDED)
        if number := answer.values.get("error"):
            if verb == "make":
                raise TunnelError(explain(answer.values["step"], number))
            raise OSError(number, os.strerror(number))
        return answer


class Program:
    """A program inside."""

    def __init__(self, pid: int, status: int) -> None:
        """pid: of its init, which passes signals on; status: of the pipe that its wait status comes by."""
        self.pid = pid
        self._status = status

    def wait(self) -> int:
        """Return its exit status once it has ended; the negative number of a signal that ended it.

        Raises TunnelError if the tunnel ends before.
        """
        with os.fdopen(self._status, "rb") as pipe:
            status = pipe.read()
        if not status:
            raise TunnelError("the program has ended with its tunnel, as a process of the tunnel was killed")
        return os.waitstatus_to_exitcode(int(status))


def _start(theirs: socket.socket) -> subprocess.Popen[bytes]:
    """Start the process inside, in a process group of its own: a terminal's signals are the caller's."""
    root = str(Path(__file__).parents[2])
    arguments = (root, str(theirs.fileno()), str(os.getpid()))
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            process_group=0,
        )
    except OSError as error:
        raise TunnelError(f"Python cannot be started for the tunnel: {error}") from None
