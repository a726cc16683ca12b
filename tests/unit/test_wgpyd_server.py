"""The configuration socket's server, before a real interface."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from wgpy.contract.drops import DropReason
from wgpy.driver.interface import Interface
from wgpy.host.tun import PacketSocket
from wgpy.keys import PrivateKey
from wgpy.uapi import COUNTERS_REQUEST, GET_REQUEST, decode_counters, decode_status
from wgpyd.server import UapiServer
from wgpyd.socketfile import SocketFile

TIMEOUT = 10.0  # seconds
ALICE = PrivateKey(b"\x0a" * 32).public_key().hex()
OURS = PrivateKey(b"\x0b" * 32)


@dataclass(frozen=True, slots=True)
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, request: bytes) -> None:
        self.writer.write(request)

    async def answer(self) -> bytes:
        async with asyncio.timeout(TIMEOUT):
            return await self.reader.readuntil(b"\n\n")

    async def ask(self, request: bytes) -> bytes:
        self.send(request)
        return await self.answer()

    async def is_closed(self) -> bool:
        async with asyncio.timeout(TIMEOUT):
            return await self.reader.read() == b""


@dataclass(frozen=True, slots=True)
class Served:
    path: Path

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()

    async def ask(self, request: bytes) -> bytes:
        async with self.connect() as connection:
            return await connection.ask(request)


@asynccontextmanager
async def served(directory: Path, max_connections: int = 64) -> AsyncIterator[Served]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    interface = Interface(PacketSocket(ours))
    interface.start()
    socket_file = SocketFile.create(directory / "wg0.sock")
    server = UapiServer(interface, max_connections)
    server.start(socket_file)
    try:
        yield Served(Path(socket_file.path))
    finally:
        server.close()
        socket_file.close()
        interface.close()
        theirs.close()


def test_it_answers_get_and_set(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as daemon:
            done = await daemon.ask(
                f"set=1\nprivate_key={OURS.hex()}\npublic_key={ALICE}\nallowed_ip=10.0.0.0/8\n\n".encode()
            )
            assert done == b"errno=0\n\n"

            status = decode_status(await daemon.ask(GET_REQUEST))
            assert status.private_key == OURS
            assert [peer.public_key.hex() for peer in status.peers] == [ALICE]

    asyncio.run(scenario())


def test_it_tells_what_was_dropped(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as daemon:
            assert decode_counters(await daemon.ask(COUNTERS_REQUEST)) == {}
            port = decode_status(await daemon.ask(GET_REQUEST)).listen_port
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"hello", ("127.0.0.1", port))
            async with asyncio.timeout(TIMEOUT):
                dropped: dict[str, int] = {}
                while not dropped:
                    dropped = decode_counters(await daemon.ask(COUNTERS_REQUEST))

            assert dropped == {DropReason.UNKNOWN_TYPE.value: 1}

    asyncio.run(scenario())


def test_one_connection_may_carry_many_requests(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as daemon, daemon.connect() as connection:
            assert await connection.ask(b"set=1\nfwmark=0\n\n") == b"errno=0\n\n"
            assert (await connection.ask(GET_REQUEST)).endswith(b"errno=0\n\n")
            connection.send(b"set=1\nlisten_port=0\n\n" + GET_REQUEST)
            assert await connection.answer() == b"errno=0\n\n"
            assert (await connection.answer()).startswith(b"listen_port=")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("request_", "number"),
    [
        (b"set=1\nlisten_port=70000\n\n", -22),
        (b"set=1\nno_such_key=1\n\n", -22),
        (b"set=1\nnonsense\n\n", -71),
        (b"get=1\nlisten_port=1\n\n", 22),
    ],
)
def test_a_request_that_cannot_be_read_is_answered_by_its_number(
    request_: bytes, number: int, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as daemon:
            assert await daemon.ask(request_) == f"errno={number}\n\n".encode()

    asyncio.run(scenario())


def test_a_port_in_use_is_98_and_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("", 0))
            port = other.getsockname()[1]
            async with served(tmp_path) as daemon:
                request = f"set=1\nlisten_port={port}\npublic_key={ALICE}\n\n".encode()
                assert await daemon.ask(request) == b"errno=-98\n\n"
                assert not decode_status(await daemon.ask(GET_REQUEST)).peers

    asyncio.run(scenario())
    assert "listen_port" in caplog.text


def test_a_bad_set_changes_nothing_and_the_log_says_which_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as daemon:
            before = await daemon.ask(GET_REQUEST)
            request = f"set=1\nprivate_key={OURS.hex()}\npublic_key={ALICE}\nallowed_ip=10.0.0.0/99\n\n"
            assert await daemon.ask(request.encode()) == b"errno=-22\n\n"
            assert await daemon.ask(GET_REQUEST) == before

    asyncio.run(scenario())
    assert "line 4, `allowed_ip=10.0.0.0/99`" in caplog.text
    assert OURS.hex() not in caplog.text


def test_a_half_written_request_holds_nobody_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as daemon, daemon.connect() as slow:
            slow.send(f"set=1\npublic_key={ALICE}\nallowed_ip=10.".encode())
            assert not decode_status(await daemon.ask(GET_REQUEST)).peers

            slow.send(b"0.0.0/8\n\n")
            assert await slow.answer() == b"errno=0\n\n"
            assert len(decode_status(await daemon.ask(GET_REQUEST)).peers) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("half", ["allowed_ip=10.70.0.0/2", "allowed_ip=10.70.0.0/24\n"])
def test_a_set_whose_sender_dies_within_it_changes_nothing(half: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as daemon:
            before = await daemon.ask(GET_REQUEST)
            async with daemon.connect() as dying:
                dying.send(f"set=1\nlisten_port=0\nfwmark=0\npublic_key={ALICE}\n{half}".encode())
                dying.writer.write_eof()
                assert await dying.answer() == b"errno=-71\n\n"
                assert await dying.is_closed()

            assert await daemon.ask(GET_REQUEST) == before

    asyncio.run(scenario())


def test_whoever_closes_its_side_after_the_empty_line_is_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as daemon, daemon.connect() as connection:
            connection.send(b"set=1\nlisten_port=0\n\n")
            connection.writer.write_eof()
            assert await connection.answer() == b"errno=0\n\n"
            assert await connection.is_closed()

    asyncio.run(scenario())


def test_a_line_without_end_is_cut_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as daemon, daemon.connect() as connection:
            connection.send(b"set=1\n" + b"x" * 10_000)
            assert await connection.answer() == b"errno=-22\n\n"
            assert await connection.is_closed()

    asyncio.run(scenario())


def test_who_has_been_silent_longest_gives_way_to_a_newcomer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            served(tmp_path, max_connections=2) as daemon,
            daemon.connect() as first,
            daemon.connect() as second,
        ):
            for connection in (first, second, first):
                await connection.ask(b"set=1\nfwmark=0\n\n")

            assert await daemon.ask(b"set=1\nfwmark=0\n\n") == b"errno=0\n\n"

            assert await second.is_closed()
            assert await first.ask(b"set=1\nfwmark=0\n\n") == b"errno=0\n\n"

    asyncio.run(scenario())


def test_what_is_half_written_is_not_carried_out_when_it_gives_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path, max_connections=1) as daemon, daemon.connect() as slow:
            await slow.ask(b"set=1\nfwmark=0\n\n")
            slow.send(f"set=1\npublic_key={ALICE}\n".encode())

            assert not decode_status(await daemon.ask(GET_REQUEST)).peers

            assert await slow.is_closed()
            assert not decode_status(await daemon.ask(GET_REQUEST)).peers

    asyncio.run(scenario())


def test_who_goes_without_reading_the_answer_disturbs_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as daemon:
            for _ in range(10):
                async with daemon.connect() as connection:
                    connection.send(GET_REQUEST * 100)
            assert (await daemon.ask(GET_REQUEST)).endswith(b"errno=0\n\n")

    asyncio.run(scenario())
