"""A coordinator to test with: the real one, on a loopback port, with a database on disk."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from shutil import copytree
from typing import ParamSpec

from tests.mesh.network import Administrator, key_of
from wgmesh.limits import Limits
from wgmesh.server import Serving, serving
from wgmesh.settings import SETTINGS, Settings, create
from wgmesh.store import Store, open_store
from wgpy.mesh.records import Network, Node, Record, decode, kind_of
from wgpy.mesh.signing import Signed, SigningKey
from wgpy.mesh.wire import Delta, Greeting
from wgpy.node.coordinator_client import Address, Coordinator, Outcome
from wgpy.node.files import save

P = ParamSpec("P")

TOKEN = key_of(1001)
ALICE, BOB, CAROL, DAVE = (key_of(number) for number in (11, 12, 13, 14))
NEW = Outcome("new", "")


def in_a_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a test that is a coroutine."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(_within_limits(test(*args, **kwargs)))

    return run


async def _within_limits(test: Awaitable[None]) -> None:
    async with asyncio.timeout(150):
        await test


@dataclass(slots=True)
class Site:
    """A network, and its coordinator's folder; the administrator's clock is this host's."""

    folder: Path
    administrator: Administrator
    address: Address

    @classmethod
    def create(cls, folder: Path) -> "Site":
        administrator = Administrator(now=int(time.time()))
        address = create(folder, administrator.key.verify_key(), "127.0.0.1", "127.0.0.1:0")
        return cls(folder, administrator, address)

    def store(self) -> Store:
        return open_store(self.folder, Settings.load(self.folder))

    def have_relay(self, port: int) -> None:
        """Have a relay at a UDP port of this host."""
        save(replace(Settings.load(self.folder), relay=f"127.0.0.1:{port}"), self.folder / SETTINGS)

    def share(self, url: str) -> None:
        """Use another database than the folder's own."""
        save(replace(Settings.load(self.folder), database=url), self.folder / SETTINGS)

    def copy(self, folder: Path) -> "Site":
        """Another coordinator of the same network."""
        copytree(self.folder, folder)
        return replace(self, folder=folder)

    @asynccontextmanager
    async def serve(self, metrics: str = "", limits: Limits | None = None) -> AsyncIterator[Serving]:
        store = self.store()
        try:
            settings = Settings.load(self.folder)
            async with serving(self.folder, settings, store, settings.listen, metrics, limits) as served:
                self.address = Address(f"https://{served.address}", self.address.key_hash)
                yield served
        finally:
            store.close()

    def ask(self, key: SigningKey | None = None) -> Coordinator:
        return Coordinator(self.address, self.administrator.key.verify_key(), key)

    async def submit(self, *records: Signed) -> list[Outcome]:
        async with self.ask() as coordinator:
            return await coordinator.submit(records)

    async def submit_all(self) -> None:
        """Hand in what was signed so far."""
        outcomes = await self.submit(*self.administrator.records)
        assert {outcome.verdict for outcome in outcomes} <= {"new", "known"}, outcomes

    async def found(self, *identities: SigningKey) -> None:
        """Make the network with a token, and these nodes in it."""
        self.administrator.found()
        self.administrator.invite(TOKEN)
        for identity in identities:
            self.administrator.join(identity, TOKEN)
        await self.submit_all()

    @asynccontextmanager
    async def follow(self, identity: SigningKey, since: int = 0) -> AsyncIterator["Follower"]:
        """Follow, and be greeted."""
        async with self.ask(identity) as coordinator:
            lines = coordinator.follow(since)
            greeting = await anext(lines)
            assert isinstance(greeting, Greeting)
            yield Follower(greeting, lines)
            await lines.aclose()  # type: ignore[attr-defined]


@asynccontextmanager
async def founded(
    folder: Path, *nodes: SigningKey, limits: Limits | None = None
) -> AsyncIterator[tuple[Site, Serving]]:
    """Serve a network with a token and these nodes."""
    site = Site.create(folder)
    async with site.serve(limits=limits) as served:
        await site.found(*nodes)
        yield site, served


class Follower:
    """A node that follows. greeting: what it was told first."""

    def __init__(self, greeting: Greeting, lines: AsyncIterator[Greeting | Delta]) -> None:
        self.greeting = greeting
        self._lines = lines

    async def received(self) -> Delta:
        """Return the next news."""
        line = await anext(self._lines)
        assert isinstance(line, Delta)
        return line


def kinds(delta: Delta) -> list[str]:
    """What news is of: the types of records, and the names of nodes instead of theirs."""
    return sorted(_kind(decode(signed.body)) for signed in delta.records)


def _kind(record: Record) -> str:
    match record:
        case Node(name=name) | Network(name=name):
            return name
        case _:
            return kind_of(record).name or "unknown"
