"""When a node looks for a NAT64, and what it believes. The DNS is the test's."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Network, ip_address
from typing import Self

from tests.mesh.coordinator import in_a_loop
from wgpy.contract.endpoint import Endpoint
from wgpyd.agent.host_networks import HostNetworks
from wgpyd.agent.nat64 import Nat64

PREFIX, ANOTHER = IPv6Network("64:ff9b::/96"), IPv6Network("2001:db8:64::/96")
SIX, ELSEWHERE = (HostNetworks({}, (ip_address(one),)) for one in ("2001:db8::7", "2001:db8:1::7"))
BOTH = HostNetworks({}, (ip_address("2001:db8::7"), ip_address("192.168.1.7")))
Answer = IPv6Network | None | OSError


class Dns:
    """Gives one answer after the other, the last one again and again, and counts the questions."""

    def __init__(self, *answers: Answer) -> None:
        self._answers: Iterator[Answer] = iter(answers)
        self._last: Answer = None
        self.asked = 0
        self.was_asked = asyncio.Semaphore(0)

    async def look_up(self, mark: int) -> IPv6Network | None:
        self.asked += 1
        self.was_asked.release()
        self._last = next(self._answers, self._last)
        if isinstance(self._last, OSError):
            raise self._last
        return self._last


class World:
    """One node's. Context manager; pause: as it has it."""

    def __init__(self, *answers: Answer, pause: float = 0.0) -> None:
        self.dns = Dns(*answers)
        self.changes: list[IPv6Network | None] = []
        self.nat64 = Nat64(lambda: 0, self._note, self.dns.look_up, pause)

    def _note(self) -> None:
        self.changes.append(self.nat64.prefix)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.nat64.run())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self.nat64.close()

    async def answer(self) -> None:
        """Have the DNS answer once, and the node do what follows."""
        await self.dns.was_asked.acquire()
        await asyncio.sleep(0)


@in_a_loop
async def test_a_host_with_ipv6_alone_finds_the_prefix_once() -> None:
    async with World(PREFIX) as world:
        world.nat64.configure(SIX)
        await world.answer()
        world.nat64.configure(SIX)

        assert world.changes == [PREFIX]
        assert world.nat64.endpoints([Endpoint("192.0.2.33", 7)]) == (Endpoint("64:ff9b::c000:221", 7),)
        assert world.dns.asked == 1


@in_a_loop
async def test_a_host_with_ipv4_asks_nobody_and_uses_none() -> None:
    async with World(PREFIX) as world:
        world.nat64.configure(SIX)
        await world.answer()
        world.nat64.configure(BOTH)

        assert world.nat64.prefix is None
        await asyncio.sleep(0)
        assert world.dns.asked == 1


@in_a_loop
async def test_a_dns_that_does_not_answer_is_asked_again() -> None:
    async with World(OSError("no answer"), OSError("no answer"), PREFIX) as world:
        world.nat64.configure(SIX)
        for _ in range(3):
            await world.answer()

        assert world.changes == [PREFIX]


@in_a_loop
async def test_in_another_network_the_prefix_counts_until_the_dns_says_that_there_is_none() -> None:
    async with World(PREFIX, OSError("no answer"), None) as world:
        world.nat64.configure(SIX)
        await world.answer()
        world.nat64.configure(ELSEWHERE)
        await world.answer()
        before = world.nat64.prefix
        await world.answer()

        assert (before, world.nat64.prefix) == (PREFIX, None)


@in_a_loop
async def test_a_peer_that_does_not_answer_may_be_reached_by_another_prefix() -> None:
    async with World(PREFIX, ANOTHER) as world:
        world.nat64.configure(SIX)
        await world.answer()

        world.nat64.look_again()
        await world.answer()

        assert world.changes == [PREFIX, ANOTHER]


@in_a_loop
async def test_many_peers_that_do_not_answer_cost_one_question() -> None:
    async with World(PREFIX, pause=3600.0) as world:
        world.nat64.configure(SIX)
        await world.answer()

        for _ in range(100):
            world.nat64.look_again()
            await asyncio.sleep(0)

        assert world.dns.asked == 1
