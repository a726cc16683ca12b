"""Whose submission is next: the administrator's, then those of known clients, then those of all others.

Invariant: of each rank but the first only one submission at a time competes with the ranks before it. So who
is of a rank waits for at most one turn of each later one, however many submissions of these wait.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from enum import Enum


class Rank(Enum):
    """What a submission is; the first goes before the others."""

    ADMINISTRATOR = 0  # all its records are the network key's
    KNOWN = 1  # its client has proven a key of the network: a member's, or a token's
    UNKNOWN = 2


class Turns:
    """The turns of a service's submissions."""

    def __init__(self, writing: asyncio.Lock) -> None:
        """writing: held while the store is written to."""
        known, unknown = asyncio.Lock(), asyncio.Lock()
        self._writing: dict[Rank, list[asyncio.Lock]] = {
            Rank.ADMINISTRATOR: [writing],
            Rank.KNOWN: [known, writing],
            Rank.UNKNOWN: [unknown, known, writing],
        }
        self._screening: dict[Rank, list[asyncio.Lock]] = {
            Rank.ADMINISTRATOR: [],
            Rank.KNOWN: [asyncio.Lock()],
            Rank.UNKNOWN: [asyncio.Lock()],
        }

    def screening(self, rank: Rank) -> AbstractAsyncContextManager[None]:
        """Wait for a turn at the judgement that needs no writing."""
        return _held(self._screening[rank])

    def writing(self, rank: Rank) -> AbstractAsyncContextManager[None]:
        """Wait for a turn at the store."""
        return _held(self._writing[rank])


@asynccontextmanager
async def _held(locks: Sequence[asyncio.Lock]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for lock in locks:
            await stack.enter_async_context(lock)
        yield
