"""How long the NAT of this host keeps its mappings: tried with a relay, and watched where it is relied upon.

Invariant: a longer silence is tried on a socket of its own, so a trial costs nobody's reachability. A NAT
that is known is not tried again; a host that sends no keepalives tries nothing.
"""

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Collection
from contextlib import suppress
from socket import AF_INET, AF_INET6, SOCK_DGRAM, socket
from typing import Final, Self

from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import DatagramError
from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted
from wgpy.host.bootclock import boottime
from wgpy.keys import PrivateKey, PublicKey
from wgpy.node.underlay import set_mark
from wgpy.paths.discovery import MAX_SIZE, Answer, Discovery
from wgpy.paths.lifetime import ASSUMED, MARGIN, SETTLING_TIME, LifetimeSearch, Outcome, SilenceTrial

from .identity import LocalIdentity
from .pings import Pings
from .registration import Found
from .wake import Wake

_MAX_NATS: Final = 8  # that are remembered
_CHECKS: Final = 2  # that fail before a mapping counts as forgotten


class MappingLifetime:
    """Of one node, on the running loop."""

    def __init__(
        self,
        interface: Interface,
        identity: LocalIdentity,
        pings: Pings,
        on_lapse: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        """on_lapse: called when others may see this host elsewhere; on_change: when `interval` is another."""
        self._interface = interface
        self._identity = identity
        self._pings = pings
        self._on_lapse = on_lapse
        self._on_change = on_change
        self._wake = Wake()
        self._searches: OrderedDict[object, LifetimeSearch] = OrderedDict()  # the NAT of now last
        self._search = LifetimeSearch()
        self._relays = Found()
        self._kept: Collection[PublicKey] = ()
        self._settling: dict[PublicKey, asyncio.Task[None]] = {}

    @property
    def interval(self) -> int:
        """Seconds between keepalives."""
        return self._search.interval

    @property
    def lasts(self) -> int:
        """Seconds that a mapping lasts at least, 0 if that is not known."""
        return self._search.lasts

    def configure(self, nat: object, relays: Found, kept: Collection[PublicKey]) -> None:
        """nat: a value that differs where the NAT does; relays: to try with; kept: who has keepalives."""
        self._kept = kept
        self._relays = relays
        search = self._searches.setdefault(nat, LifetimeSearch())
        self._searches.move_to_end(nat)
        if len(self._searches) > _MAX_NATS:
            self._searches.popitem(last=False)
        if search is not self._search:
            self._search = search
            self._on_change()
        self._wake.now()

    async def run(self) -> None:
        """Try silences as long as there are some to try, until cancelled."""
        while True:
            await self._wake.wait()
            while (silence := self._search.next_silence()) and self._relays.by_udp:
                await self._try(self._search, silence)

    async def _try(self, search: LifetimeSearch, silence: int) -> None:
        relay, remote = next(iter(self._relays.by_udp.items()))
        node = self._identity.node
        try:
            outcome = await try_silence(node.key, node.mark, relay, remote, silence)
        except OSError:  # no way there just now
            outcome = Outcome.UNKNOWN
        if search is self._search:
            before = search.interval
            search.note(outcome)
            if search.interval != before:
                self._on_change()

    # -- What is relied upon -------------------------------------------------------------------------

    def on_event(self, key: PublicKey, event: DeviceEvent) -> None:
        """A listener of the interface. A handshake may have made a new mapping, which is to settle."""
        if isinstance(event, HandshakeCompleted) and key in self._kept and self.interval > ASSUMED:
            if key in self._settling:
                self._settling[key].cancel()
            self._settling[key] = task = asyncio.ensure_future(self._settle(key))
            task.add_done_callback(lambda done: self._forget(key, done))

    def _forget(self, key: PublicKey, done: asyncio.Task[None]) -> None:
        if self._settling.get(key) is done:
            del self._settling[key]

    async def _settle(self, key: PublicKey) -> None:
        """Have the mapping towards a peer last as one with answers does, and see whether a relay's does."""
        await asyncio.sleep(SETTLING_TIME)
        endpoint = self._interface.path(key).endpoint
        if endpoint is None:
            return
        if self._relays.by_udp.get(key) == endpoint and self.lasts:
            await self._check(key, endpoint)
        else:
            await self._pings.measure({key: (endpoint,)})

    async def _check(self, relay: PublicKey, endpoint: Endpoint) -> None:
        silence = self.interval - SETTLING_TIME - MARGIN
        for _ in range(_CHECKS):
            if answer := await self._pings.ask_after(relay, endpoint, silence):
                self._check_address(answer)
                return
            if not await self._pings.measure({relay: (endpoint,)}):
                return  # that relay is away
        self._note_lapse()

    def _check_address(self, answer: Answer) -> None:
        if answer.seen_as not in self._relays.seen_as:
            self._note_lapse()

    def _note_lapse(self) -> None:
        self._search.note_lapse()
        self._wake.now()
        self._on_change()
        self._on_lapse()

    def close(self) -> None:
        self._wake.close()
        for task in self._settling.values():
            task.cancel()


async def try_silence(
    key: PrivateKey, mark: int, relay: PublicKey, remote: Endpoint, silence: int
) -> Outcome:
    """Try with a relay whether a mapping lasts so many seconds. key, mark: this node's. Raises OSError."""
    discovery = Discovery(bytes(key), os.urandom)
    discovery.set_peers([bytes(relay)])
    trial = SilenceTrial(discovery, bytes(relay), remote, silence)
    with _Flow.open(remote, mark) as flow:
        while trial.outcome is None:
            if question := trial.advance(boottime()):
                flow.send(question)
            elif trial.outcome is None:
                await flow.receive(discovery, trial.deadline)
                trial.receive_answers()
    return trial.outcome


class _Flow:
    """A UDP socket for one trial. Context manager."""

    def __init__(self, udp: socket, remote: Endpoint) -> None:
        self._udp = udp
        self._remote = remote

    @classmethod
    def open(cls, remote: Endpoint, mark: int) -> Self:
        """Raises OSError."""
        udp = socket(AF_INET6 if remote.is_ipv6 else AF_INET, SOCK_DGRAM)
        try:
            udp.setblocking(False)
            set_mark(udp, mark)
            udp.connect((remote.address, remote.port))
        except OSError:
            udp.close()
            raise
        return cls(udp, remote)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._udp.close()

    def send(self, question: bytes) -> None:
        """Raises OSError."""
        self._udp.send(question)

    async def receive(self, discovery: Discovery, deadline: int) -> None:
        """Give the discovery what comes, one datagram at most. deadline: boottime ns. Raises OSError."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError, DatagramError):
            async with asyncio.timeout((deadline - boottime()) / SECOND):
                data = await loop.sock_recv(self._udp, MAX_SIZE)
            discovery.receive(data, self._remote, boottime())
