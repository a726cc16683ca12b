"""Datagrams that are not WireGuard's at the port of an interface, on loopback; no root."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from wgpy.contract.constants import SECOND
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import EndpointChanged
from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted
from wgpy.host.bootclock import boottime
from wgpy.keys import PrivateKey, PublicKey
from wgpy.paths.discovery import MAGIC, Answer, Discovery

from .interface_hosts import TIMEOUT, Host, data_path, host, packet, pair

__all__ = ["data_path"]  # a fixture: all of this holds for both


@dataclass(slots=True)
class Pinging:
    """A ping at an interface's port."""

    interface: Interface
    key: PrivateKey
    peer: PublicKey
    discovery: Discovery = field(init=False)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.discovery = Discovery(bytes(self.key), os.urandom)
        self.discovery.set_peers([bytes(self.peer)])
        self.interface.register_reader(MAGIC, self.receive)

    @classmethod
    def of(cls, own: Host, peer: Host) -> "Pinging":
        return cls(own.interface, own.key, peer.public_key)

    def receive(self, data: bytes, source: Endpoint, now: int) -> bytes | None:
        self.heard.set()
        return self.discovery.receive(data, source, now)

    def ask(self, other: Interface, loopback: str = "127.0.0.1") -> Endpoint:
        remote = Endpoint(loopback, other.listen_port)
        self.interface.send_foreign(self.question(remote), remote)
        return remote

    def question(self, remote: Endpoint) -> bytes:
        return self.discovery.ask(bytes(self.peer), remote, boottime())

    async def answer(self) -> Answer:
        async with asyncio.timeout(TIMEOUT):
            await self.heard.wait()
        self.heard.clear()
        (answer,) = self.discovery.take_answers()
        return answer


@asynccontextmanager
async def socket_of_another_source() -> AsyncIterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.99", 0))
        udp.setblocking(False)
        yield udp


@pytest.mark.parametrize("loopback", ["127.0.0.1", "::1"])
def test_a_ping_is_answered_at_the_port_of_the_tunnel(loopback: str) -> None:
    async def scenario() -> None:
        async with pair(loopback) as (one, two):
            asking, _ = Pinging.of(one, two), Pinging.of(two, one)
            await one.send(packet(one, two, 1))
            assert await two.received() == 1

            remote = asking.ask(two.interface, loopback)

            answer = await asking.answer()
            assert answer.remote == remote
            assert 0 < answer.round_trip < TIMEOUT * SECOND
            await one.send(packet(one, two, 2))
            assert await two.received() == 2

    asyncio.run(scenario())


def test_an_answer_leaves_from_where_the_question_came_in() -> None:
    async def scenario() -> None:
        async with host(1) as one, host(2) as two:
            asking, _ = Pinging.of(one, two), Pinging.of(two, one)

            remote = asking.ask(two.interface, "127.0.0.42")

            assert (await asking.answer()).remote == remote

    asyncio.run(scenario())


def test_a_session_is_reported_before_what_the_other_end_sends_at_once() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            order: list[str] = []
            heard = asyncio.Event()

            def send_at_once(_: PublicKey, event: DeviceEvent) -> None:
                if isinstance(event, EndpointChanged):
                    two.interface.send_foreign(b"question", event.endpoint)

            def note(_: PublicKey, event: DeviceEvent) -> None:
                if isinstance(event, HandshakeCompleted):
                    order.append("session")

            def read(*_: object) -> None:
                order.append("question")
                heard.set()

            two.interface.subscribe(send_at_once)
            one.interface.subscribe(note)
            one.interface.register_reader(b"question", read)

            await one.send(packet(one, two, 1))
            async with asyncio.timeout(TIMEOUT):
                await heard.wait()

            assert order == ["session", "question"]

    asyncio.run(scenario())


def test_a_reader_that_was_unregistered_hears_nothing() -> None:
    async def scenario() -> None:
        async with host(1) as one, host(2) as two:
            asking = Pinging.of(one, two)
            Pinging.of(two, one)
            two.interface.unregister_reader(MAGIC)
            last = asyncio.Event()
            two.interface.register_reader(b"last", lambda *_: last.set())

            asking.ask(two.interface)
            one.interface.send_foreign(b"last", Endpoint("127.0.0.1", two.interface.listen_port))
            async with asyncio.timeout(TIMEOUT):
                await last.wait()

            assert two.interface.counters()[DropReason.UNKNOWN_TYPE] == 1
            assert not asking.heard.is_set()

    asyncio.run(scenario())


def test_a_flood_of_one_source_does_not_keep_others_from_being_answered() -> None:
    async def scenario() -> None:
        async with pair() as (one, two), socket_of_another_source() as flooding:
            asking, _ = Pinging.of(one, two), Pinging.of(two, one)
            question = asking.question(Endpoint("127.0.0.1", two.interface.listen_port))
            address = ("127.0.0.1", two.interface.listen_port)

            for number in range(10):
                for _ in range(100):
                    flooding.sendto(question, address)
                    flooding.sendto(b"rubbish", address)
                asking.ask(two.interface)
                await asking.answer()
                await one.send(packet(one, two, number))
                assert await two.received() == number

            counters = two.interface.counters()
            assert counters[DropReason.UNKNOWN_TYPE] > 0
            assert counters[DropReason.FOREIGN_RATE_LIMITED] + counters[DropReason.FOREIGN_SOURCE_LIMIT] > 0

    asyncio.run(scenario())
