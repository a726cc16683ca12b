"""A router that is asked for a port mapping, and what it can do to a node: it is a UDP port of loopback."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address

import pytest

from wgpy.paths import pcp
from wgpy.paths.port_mapping import Grant, Protocol, Refusal
from wgpyd.agent.router import Request, Router, ask_for_mapping

NONCE, PORT, OUTSIDE = bytes(range(12)), 51820, IPv4Address("198.41.0.4")
REQUEST = Request(PORT, NONCE, (IPv4Address(0), PORT), 0)
SILENT = Refusal("it does not answer", is_unsupported=True)
# Of this process alone, as the port is always the same.
_ADDRESS = IPv4Address(f"127.{os.getpid() >> 8 & 127 | 128}.{os.getpid() & 255}.1")
ROUTER = Router(_ADDRESS, IPv4Address("127.0.0.1"), "lo")

Answers = Callable[[bytes], Iterable[bytes]]


def granted(question: bytes, outside: int = PORT) -> bytes:
    """What a server of PCP answers."""
    head = bytes((2, 0x81, 0, 0)) + (7200).to_bytes(4, "big") + (9).to_bytes(4, "big") + bytes(12)
    return head + question[24:42] + outside.to_bytes(2, "big") + IPv6Address(f"::ffff:{OUTSIDE}").packed


def by_nat_pmp(question: bytes) -> Iterable[bytes]:
    """What a server of NAT-PMP answers."""
    epoch = (9).to_bytes(4, "big")
    match question[:2]:
        case b"\0\0":
            yield b"\0\x80\0\0" + epoch + OUTSIDE.packed
        case b"\0\1":
            yield b"\0\x81\0\0" + epoch + question[4:12]
        case _:
            yield bytes((0, 0x80 | question[1], 0, 1)) + epoch


@asynccontextmanager
async def router(answers: Answers, port: int = pcp.PORT) -> AsyncIterator[list[bytes]]:
    """A router that answers so; it gives what it was asked. port: that it answers from."""
    asked: list[bytes] = []
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket(type=socket.SOCK_DGRAM) as other:
        udp.bind((str(ROUTER.address), pcp.PORT))
        udp.setblocking(False)
        other.bind((str(ROUTER.address), 0))

        def receive() -> None:
            question, source = udp.recvfrom(2048)
            asked.append(question)
            for answer in answers(question):
                (udp if port == pcp.PORT else other).sendto(answer, source)

        loop.add_reader(udp, receive)
        yield asked
        loop.remove_reader(udp)


def ask(protocol: Protocol, answers: Answers, port: int = pcp.PORT) -> tuple[Grant | Refusal, list[bytes]]:
    async def scenario() -> tuple[Grant | Refusal, list[bytes]]:
        async with router(answers, port) as asked:
            return await ask_for_mapping(ROUTER, protocol, REQUEST), asked

    return asyncio.run(scenario())


def test_a_mapping_is_granted_by_each_protocol() -> None:
    mapped = Grant(OUTSIDE, PORT, 7200, 9)

    assert ask(Protocol.PCP, lambda question: [granted(question)])[0] == mapped
    assert ask(Protocol.NAT_PMP, by_nat_pmp)[0] == mapped


def test_a_router_that_speaks_the_other_protocol_says_so_at_once() -> None:
    found, asked = ask(Protocol.PCP, by_nat_pmp)

    assert isinstance(found, Refusal)
    assert found.is_unsupported
    assert len(asked) == 1


def test_a_silent_router_is_asked_three_times_and_then_given_up() -> None:
    found, asked = ask(Protocol.PCP, lambda _: [])

    assert found == SILENT
    assert len(asked) == 3


def test_where_nothing_listens_nothing_is_waited_for() -> None:
    assert asyncio.run(ask_for_mapping(ROUTER, Protocol.NAT_PMP, REQUEST)) == SILENT


def test_what_comes_from_another_port_is_no_answer() -> None:
    found, asked = ask(Protocol.PCP, lambda question: [granted(question)], port=0)

    assert found == SILENT
    assert len(asked) == 3


def test_answers_to_other_questions_are_passed_over() -> None:
    def answers(question: bytes) -> Iterable[bytes]:
        yield b""
        yield granted(question[:24] + bytes(12) + question[36:])
        yield granted(question[:40] + b"\0\1" + question[42:])
        yield granted(question)[:-1]
        yield granted(question)

    assert ask(Protocol.PCP, answers)[0] == Grant(OUTSIDE, PORT, 7200, 9)


@pytest.mark.parametrize("garbage", [b"", bytes(60), b"\xff" * 1400])
def test_a_router_that_floods_is_given_up_as_a_silent_one(garbage: bytes) -> None:
    found, asked = ask(Protocol.PCP, lambda _: [garbage] * 100)

    assert found == SILENT
    assert len(asked) <= 3
