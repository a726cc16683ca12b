"""Gossip: neighbours compare records, so that what is withheld from one may be known to another.

Whoever began a session asks; both send the digest of their state, and whose differs gets the other's records
for everybody. Invariant: this happens once a session and ends within seconds, so a tunnel without use falls
silent as it would without it; and whatever a neighbour sends costs little.
"""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import IPv6Address
from typing import Final

from wgpy.device import DeviceEvent
from wgpy.engine.actions import HandshakeCompleted
from wgpy.mesh.ledger import Ledger, StateDigest
from wgpy.mesh.signing import Signed
from wgpy.mesh.wire import GOSSIP_PORT, Delta, Line, LineReader, deltas, encode_line

from .rejected_records import RejectedRecords
from .store import NEIGHBOUR

_LOG = logging.getLogger("wgpy")

NOT_UNDERSTOOD: Final = "not a line of ours"
_TIMEOUT: Final = 10.0  # seconds, for an exchange
_MAX_HEARD: Final = 1 << 24  # bytes of an exchange
_READ_SIZE: Final = 1 << 16
_MAX_EXCHANGES: Final = 32  # at once, that we began and that others did, each
# Seconds until a neighbour that began an exchange may begin another, and after one that sent falsehoods.
_PAUSE: Final = 1.0
_AGREED: Final = 600.0  # until one that knew the same is asked again, unless there is news
_HEARD_RATE: Final = 1 << 18  # bytes a second of a neighbour that begins exchanges, in the long run
_DISTRUST: Final = 60.0
_IPV6_FREEBIND: Final = 78  # linux/in6.h; Python has no name for it

# Judges what a neighbour sent: records and `neighbour NAME`. Whether all of them were genuine.
Learn = Callable[[Sequence[Signed], str], bool]


class Gossip:
    """Answers neighbours and asks them, on the running loop, until it is closed."""

    def __init__(
        self,
        ledger: Ledger,
        rejected: RejectedRecords,
        learn: Learn,
        name_of: Callable[[IPv6Address], str | None],
        *,
        port: int = GOSSIP_PORT,
        timeout: float = _TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """name_of: the peer with this address, None if there is none; port: 0 for any that is free.

        timeout: seconds, of an exchange; clock: seconds. learn is not to raise.
        """
        self._clock = clock
        self._timeout = timeout
        self._ledger = ledger
        self._rejected = rejected
        self._learn = learn
        self._name_of = name_of
        self._port = port
        self._address: IPv6Address | None = None
        self.warning = ""  # a sentence, while nobody can be answered
        self._server: asyncio.Server | None = None
        self._asking: dict[IPv6Address, asyncio.Task[None]] = {}
        self._answering: dict[IPv6Address, asyncio.Task[None]] = {}
        # Of members, so they stay small.
        self._not_before: dict[IPv6Address, float] = {}
        self._agreed: dict[IPv6Address, tuple[StateDigest, float]] = {}  # until when
        self._turn = asyncio.Semaphore(_MAX_EXCHANGES)

    @property
    def port(self) -> int:
        return self._port

    async def listen(self, address: IPv6Address) -> None:
        """Answer at this node's address, which may come and go, unless this does already."""
        if self._server is not None:
            return
        try:
            await self._listen(address)
            self.warning = ""
        except OSError as error:
            if not self.warning:
                _LOG.warning("gossip cannot be answered: %s", error.strerror)
            self.warning = f"gossip cannot be answered: {error.strerror}"

    async def _listen(self, address: IPv6Address) -> None:
        """Raises OSError."""
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            listener.bind((str(address), self._port))
            self._server = await asyncio.start_server(self._answer, sock=listener)
        except BaseException:
            listener.close()
            raise
        self._address, self._port = address, listener.getsockname()[1]

    def on_event(self, address: IPv6Address, event: DeviceEvent) -> None:
        """Ask a neighbour with whom this node began a session. address: of whom the event is about."""
        if isinstance(event, HandshakeCompleted) and event.initiator:
            self.ask(address)

    def ask(self, address: IPv6Address) -> None:
        """Begin an exchange; none if one is under way, the neighbour has to wait, or it knew the same."""
        name = self._name_of(address)
        is_free = address not in self._asking and not self._has_to_wait(address)
        if name is not None and is_free and not self._agrees(address):
            task = asyncio.create_task(self._ask(address, name))
            self._asking[address] = task
            task.add_done_callback(lambda _: self._asking.pop(address))

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in (*self._asking.values(), *self._answering.values()):
            task.cancel()

    # -- Exchanges -------------------------------------------------------------------------------

    async def _ask(self, address: IPv6Address, name: str) -> None:
        source = None if self._address is None else (str(self._address), 0)
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout):
                    reader, writer = await asyncio.open_connection(
                        str(address), self._port, local_addr=source
                    )
            except OSError as error:  # it is older, or its firewall is closed
                _LOG.debug("cannot compare with %s: %s", name, error)
                return
            await self._exchange_with(address, reader, writer, name)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer, task = writer.get_extra_info("peername"), asyncio.current_task()
        address = IPv6Address(peer[0] if peer else 0)  # uvloop knows none that was reset at once
        name = self._name_of(address)
        if task is None or name is None or not self._may_begin(address):
            writer.transport.abort()
            return
        self._answering[address] = task
        try:
            await self._exchange_with(address, reader, writer, name)
        finally:
            del self._answering[address]

    def _may_begin(self, address: IPv6Address) -> bool:
        return (
            address not in self._answering
            and len(self._answering) < _MAX_EXCHANGES
            and not self._has_to_wait(address)
        )

    def _has_to_wait(self, address: IPv6Address) -> bool:
        return self._clock() < self._not_before.get(address, 0)

    def _agrees(self, address: IPv6Address) -> bool:
        digest, until = self._agreed.get(address, (None, 0))
        return self._clock() < until and digest == self._ledger.state_digest()

    async def _exchange_with(
        self, address: IPv6Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str
    ) -> None:
        """Compare, whoever began it, and let that neighbour wait by what it has sent."""
        heard, is_true = _Heard(reader), True
        try:
            is_true = await self._exchange(heard, writer, name)
        finally:
            pause = pause_after(heard.size) if is_true else _DISTRUST
            self._not_before[address] = self._clock() + pause
        if heard.digest == self._ledger.state_digest():
            self._agreed[address] = heard.digest, self._clock() + _AGREED

    async def _exchange(self, heard: "_Heard", writer: asyncio.StreamWriter, name: str) -> bool:
        """Compare, and end the connection; whether all that was heard was true."""
        source = f"{NEIGHBOUR}{name}"
        try:
            async with asyncio.timeout(self._timeout):
                is_true = await self._converse(heard, writer, source)
                writer.close()
                await writer.wait_closed()
        except ValueError as error:
            self._rejected.note(source, NOT_UNDERSTOOD, str(error), int(time.time()))
            return False
        except (OSError, EOFError) as error:
            _LOG.debug("the exchange with %s broke off: %s", name, error)
            return True
        finally:
            writer.transport.abort()
        return is_true

    async def _converse(self, heard: "_Heard", writer: asyncio.StreamWriter, source: str) -> bool:
        """Raises ValueError, EOFError or OSError."""
        digest = self._ledger.state_digest()
        writer.write(encode_line(digest))
        lines = heard.lines()
        if (other := await anext(lines, None)) is None:
            raise EOFError("it sends nothing")
        if not isinstance(other, StateDigest):
            raise ValueError("a line is something else than a state digest")
        heard.digest = other
        if other == digest:
            return True
        sending = asyncio.create_task(self._send(writer))
        # Its error is raised where it is awaited, if anybody still does.
        sending.add_done_callback(lambda sent: sent.cancelled() or sent.exception())
        try:
            async for line in lines:
                if isinstance(line, Delta) and not self._learn(heard.once(line.records), source):
                    return False
            await sending
        finally:
            sending.cancel()
        return True

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        for delta in deltas(0, 0, self._ledger.for_everybody()):
            writer.write(encode_line(delta))
            await writer.drain()
        writer.write_eof()


def pause_after(size: int) -> float:
    """Return for how many seconds who began an exchange may begin no other. size: bytes that it sent."""
    return max(_PAUSE, size / _HEARD_RATE)


class _Heard:
    """What a neighbour sends in one exchange. digest: of what it knows, None before; size: bytes."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._records: set[bytes] = set()  # their digests
        self._count = 0
        self.digest: StateDigest | None = None
        self.size = 0

    async def lines(self) -> AsyncIterator[Line]:
        """Give parts of lines until the other end has sent all.

        Raises ValueError if it sends too much or no line, and EOFError.
        """
        lines = LineReader()
        while data := await self._reader.read(_READ_SIZE):
            self.size += len(data)
            if self.size > _MAX_HEARD:
                raise ValueError(f"a line is one too many: over {_MAX_HEARD} bytes")
            for line in lines.feed(data):
                yield line
                await asyncio.sleep(0)  # what has arrived already is read without waiting
        if lines.is_within_a_line:
            raise EOFError("in the middle of a line")

    def once(self, records: Sequence[Signed]) -> Sequence[Signed]:
        """Raise ValueError if one of them came before: an exchange has each record once."""
        digests = [signed.digest for signed in records]
        self._records.update(digests)
        if len(self._records) != self._count + len(digests):
            raise ValueError("a record comes twice")
        self._count += len(digests)
        return records
