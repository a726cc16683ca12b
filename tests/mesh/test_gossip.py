"""What one node knows its neighbour learns, and what a neighbour says costs little. Loopback, and no tunnel.

That an exchange is traffic and yet keeps no session alive is shown in virtual time, at the end.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address

import pytest

from tests.mesh.network import Administrator, key_of
from wgpy.engine.actions import HandshakeCompleted
from wgpy.mesh.ledger import Ledger, RecordRejected
from wgpy.mesh.signing import Signed
from wgpy.mesh.wire import Delta, encode_line
from wgpy.testing import SECOND, ActionTaken, Flight, Node, Notice, Simulation
from wgpyd.agent.gossip import NOT_UNDERSTOOD, Gossip, pause_after
from wgpyd.agent.rejected_records import RejectedRecords

HERE = IPv6Address("::1")
TIMEOUT = 60.0  # seconds
OTHER_DIGEST = b'{"standing":{"sequence":9,"digest":""}}\n'
UNKNOWN = key_of(1).sign(
    b'{"network":"aASPKHMgA2vPAqonC6v5lg==","signer":"TLWr9q15+/WrvMr8wmnYXNJlHtS4hbWGnyQa7fCluik=",'
    b'"type":"label","version":1}'
)
HOUR = 3600 * SECOND


@dataclass
class Host:
    """A node that learns what is genuine. heard: all that it was told, one entry a line."""

    ledger: Ledger
    name: str = "n3"  # how it calls its only neighbour
    port: int = 0
    timeout: float = TIMEOUT
    now: float = 0.0  # seconds, by its clock
    rejected: RejectedRecords = field(default_factory=RejectedRecords)
    heard: list[Sequence[Signed]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gossip = Gossip(
            self.ledger,
            self.rejected,
            self.learn,
            lambda address: self.name if address == HERE and self.name else None,
            port=self.port,
            timeout=self.timeout,
            clock=lambda: self.now,
        )

    def learn(self, records: Sequence[Signed], source: str) -> bool:
        self.heard.append(records)
        for signed in records:
            try:
                self.ledger.add(signed)
            except RecordRejected as error:
                self.rejected.note(source, error.reason.value, error.description, 0)
                return False
        return True


@asynccontextmanager
async def answering(ledger: Ledger, **settings: object) -> AsyncIterator[Host]:
    """A host that can be asked."""
    host = Host(ledger, **settings)  # type: ignore[arg-type]
    await host.gossip.listen(HERE)
    try:
        yield host
    finally:
        host.gossip.close()


@asynccontextmanager
async def connected(host: Host) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(str(HERE), host.gossip.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answers(host: Host, *lines: bytes) -> list[bytes]:
    """Say something to a host as its neighbour; the lines that it answered."""
    async with connected(host) as (reader, writer), asyncio.timeout(TIMEOUT):
        writer.writelines(lines)
        writer.write_eof()
        try:
            return (await reader.read()).splitlines()
        except ConnectionError:
            return []


async def all_done(*but: asyncio.Task[None]) -> None:
    """Wait until nobody does anything any more."""
    if others := asyncio.all_tasks() - {asyncio.current_task(), *but}:
        _, undone = await asyncio.wait(others, timeout=TIMEOUT)
        assert undone == set()


@pytest.fixture
def admin() -> Administrator:
    admin = Administrator()
    admin.found()
    admin.invite(key_of(8))
    return admin


def digest_line(admin: Administrator) -> bytes:
    """What a node says that knows all."""
    return encode_line(admin.ledger().state_digest())


# -- Exchanges -----------------------------------------------------------------------------------


@pytest.mark.parametrize("asker_is_behind", [True, False])
def test_who_is_behind_learns_what_the_neighbour_knows(admin: Administrator, asker_is_behind: bool) -> None:
    async def scenario() -> None:
        behind = admin.ledger()
        admin.remove(key_of(7))
        admin.depart(key_of(6))
        ahead = admin.ledger()
        first, second = (behind, ahead) if asker_is_behind else (ahead, behind)
        async with answering(second) as other:
            client = Host(first, port=other.gossip.port)

            client.gossip.ask(HERE)
            await all_done()

            assert behind.state_digest() == ahead.state_digest()
            assert client.rejected.newest == other.rejected.newest == ()

    asyncio.run(scenario())


def test_each_learns_what_only_the_other_knows(admin: Administrator) -> None:
    async def scenario() -> None:
        one, two = admin.ledger(), admin.ledger()
        one.add(admin.remove(key_of(7)))
        two.add(admin.remove(key_of(6)))
        async with answering(two) as other:
            client = Host(one, port=other.gossip.port)

            client.gossip.ask(HERE)
            await all_done()

            assert one.state_digest() == two.state_digest() == admin.ledger().state_digest()

    asyncio.run(scenario())


def test_what_concerns_not_everybody_is_not_told(admin: Administrator) -> None:
    async def scenario() -> None:
        admin.join(key_of(7), key_of(8))
        async with answering(admin.ledger()) as other:
            answer = await answers(other, encode_line(Ledger(admin.key.verify_key()).state_digest()))

            assert len(answer) == 2
            assert b"n7" not in answer[1]

    asyncio.run(scenario())


def test_those_who_know_the_same_say_no_more_than_that(admin: Administrator) -> None:
    async def scenario() -> None:
        async with answering(admin.ledger()) as other:
            assert await answers(other, digest_line(admin)) == [digest_line(admin).strip()]
            assert other.heard == []

    asyncio.run(scenario())


def test_who_knew_the_same_is_asked_after_ten_minutes_or_once_there_is_news(admin: Administrator) -> None:
    asked = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(asked[0])
        writer.close()

    async def scenario() -> None:
        neighbour = await asyncio.start_server(answer, str(HERE), 0)
        host = Host(admin.ledger(), port=neighbour.sockets[0].getsockname()[1])
        for host.now in (0, 120, 240, 599, 600, 720):
            host.gossip.ask(HERE)
            await all_done()
        assert len(asked) == 2

        host.ledger.add(admin.remove(key_of(7)))
        host.gossip.ask(HERE)
        await all_done()
        neighbour.close()
        assert len(asked) == 3

    asyncio.run(scenario())


def test_the_address_need_not_be_there_yet(admin: Administrator) -> None:
    async def scenario() -> None:
        host = Host(admin.ledger())
        await host.gossip.listen(IPv6Address("fd12:3456::1"))
        host.gossip.close()

        assert host.gossip.port > 0

    asyncio.run(scenario())


def test_a_neighbour_that_does_not_answer_is_no_news(
    admin: Administrator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "wgpy")

    async def scenario() -> None:
        async with answering(admin.ledger()) as other:
            port = other.gossip.port
        client = Host(admin.ledger(), port=port)

        client.gossip.ask(HERE)
        await all_done()

    asyncio.run(scenario())
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


# -- Neighbours that lie -------------------------------------------------------------------------


def test_an_unknown_node_gets_no_answer(admin: Administrator) -> None:
    async def scenario() -> None:
        async with answering(admin.ledger(), name="") as host:
            assert await answers(host, digest_line(admin)) == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "lines",
    [
        [b"hello\n"],
        [b"\n"],
        [b"{}\n"],
        [encode_line(Delta(0, ()))],
        [OTHER_DIGEST, b"hello\n"],
        [b"x" * (1 << 22) + b"\n"],
        [OTHER_DIGEST, b'{"revision":0,"records":[ ]}\n'],
        [OTHER_DIGEST, b'{"revision":0,"records":[],"more":"' + b"x" * 9999 + b'"}\n'],
        [OTHER_DIGEST, *[encode_line(Delta(0, (UNKNOWN,)))] * 2],
        [OTHER_DIGEST, encode_line(Delta(0, (UNKNOWN, UNKNOWN)))],
        [OTHER_DIGEST, *[b'{"revision":0,"records":[]}' + b" " * 4_000_000 + b"\n"] * 5],
    ],
    ids=["words", "nothing", "nothing known", "no state digest", "words later", "no end", "a blank", "more",
         "twice", "twice in a line", "too much"],
)  # fmt: skip
def test_who_says_nonsense_is_noted_and_not_heard_any_more(admin: Administrator, lines: list[bytes]) -> None:
    async def scenario() -> None:
        async with answering(admin.ledger()) as host:
            await answers(host, *lines)
            await all_done()

            assert [(record.source, record.reason) for record in host.rejected.newest] == [
                ("neighbour n3", NOT_UNDERSTOOD)
            ]
            assert await answers(host, digest_line(admin)) == []

    asyncio.run(scenario())


def test_who_answers_nonsense_is_not_asked_again_at_once(admin: Administrator) -> None:
    asked = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"nonsense\n")
        writer.close()

    async def scenario() -> None:
        neighbour = await asyncio.start_server(answer, str(HERE), 0)
        host = Host(admin.ledger(), port=neighbour.sockets[0].getsockname()[1])
        for _ in range(3):
            host.gossip.ask(HERE)
            await all_done()
        neighbour.close()

        assert asked == [digest_line(admin)]
        assert [record.reason for record in host.rejected.newest] == [NOT_UNDERSTOOD]

    asyncio.run(scenario())


def test_who_tells_a_forged_record_is_not_heard_to_the_end(admin: Administrator) -> None:
    async def scenario() -> None:
        forged = Signed(admin.remove(key_of(7)).body, bytes(64))
        line = encode_line(Delta(0, (forged,)))
        async with answering(Administrator(admin.key).ledger()) as host:
            await answers(host, digest_line(admin), *[line] * 100)
            await all_done()

            assert host.heard == [(forged,)]
            assert [(record.source, record.what) for record in host.rejected.newest] == [
                ("neighbour n3", "removal 3")
            ]
            assert await answers(host, digest_line(admin)) == []

    asyncio.run(scenario())


def test_who_tells_much_waits_as_long_as_reading_it_may_cost_be_it_true_or_known() -> None:
    assert pause_after(0) == pause_after(1 << 18) == 1
    assert pause_after(1 << 24) == 64


def test_others_have_their_turns_while_a_neighbour_tells_much(admin: Administrator) -> None:
    async def scenario() -> None:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with answering(admin.ledger()) as host:
            counting = asyncio.create_task(count())
            await answers(host, OTHER_DIGEST, b'{"revision":0,"records":[]}\n' * 9000)
            await all_done(counting)
            counting.cancel()

            assert turns > 9000

    asyncio.run(scenario())


def test_who_says_nothing_is_let_go(admin: Administrator) -> None:
    async def scenario() -> None:
        async with answering(admin.ledger(), timeout=0.05) as host, connected(host) as (reader, _):
            async with asyncio.timeout(TIMEOUT):
                assert await reader.readline() == digest_line(admin)
                assert await reader.read() == b""

            assert host.rejected.newest == ()

    asyncio.run(scenario())


def test_a_neighbour_has_one_exchange_at_a_time(admin: Administrator) -> None:
    async def scenario() -> None:
        async with answering(admin.ledger()) as host, connected(host) as (reader, _):
            assert await reader.readline() == digest_line(admin)

            assert await answers(host, digest_line(admin)) == []

    asyncio.run(scenario())


def test_what_breaks_off_in_the_middle_is_no_falsehood(admin: Administrator) -> None:
    async def scenario() -> None:
        async with answering(admin.ledger()) as host:
            await answers(host, OTHER_DIGEST, b'{"revision":')
            await all_done()

            assert host.rejected.newest == ()

    asyncio.run(scenario())


# -- Silence -------------------------------------------------------------------------------------


@pytest.mark.parametrize("firewalled", [False, True])
def test_exchanges_do_not_keep_an_idle_tunnel_awake(firewalled: bool) -> None:
    """Packets as TCP sends them: a dialogue within a second, or a first segment again and again for 10 s."""
    simulation = Simulation(seed=3)
    alice, bob = simulation.add_node("alice"), simulation.add_node("bob")
    simulation.connect(alice, bob)
    flights: list[Flight] = []
    simulation.network.watch(flights.append)
    exchanges = 0

    def send_later(seconds: float, source: Node, destination: Node) -> None:
        simulation.timeline.call_after(
            int(seconds * SECOND), lambda: source.send_packet(simulation.packet(source, destination))
        )

    def exchange(node: Node, notice: Notice) -> None:
        nonlocal exchanges
        match notice:
            case ActionTaken(HandshakeCompleted(initiator=True)):
                exchanges += 1
                other = bob if node is alice else alice
                for at in (0, 1, 3, 7) if firewalled else (0, 0.1, 0.2, 0.3):
                    send_later(at, node, other)
                    if not firewalled:
                        send_later(at + 0.05, other, node)

    for node in (alice, bob):
        node.listen_to(exchange)

    simulation.send(alice, bob)
    simulation.run_for(60 * SECOND)
    before = len(flights)
    simulation.run_for(10 * HOUR)

    assert exchanges == 1
    assert len(bob.delivered) == 1 + 4
    assert len(flights) == before
    assert [node.device.next_deadline() for node in (alice, bob)] == [None, None]
