"""The followers of one coordinator: who is told of a change, and since when. All in one event loop.

Invariant: who was not told of a change has no news by it, and so has all that concerns it up to the revision
before the next change of which it is told.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

from wgpy.mesh.signing import VerifyKey

_PAUSE_EACH: Final = 0.0005  # seconds, for each that was told: several times what it takes to tell one
_MAX_PAUSE: Final = 0.5  # seconds


class Follower:
    """One connection of a node."""

    def __init__(self) -> None:
        self._since: int | None = None  # None: it has all
        self._told = asyncio.Event()

    def tell(self, since: int) -> None:
        """Note that there is news, to wake for. since: the revision before it."""
        self._since = since if self._since is None else min(since, self._since)

    def wake(self) -> None:
        self._told.set()

    async def wait(self) -> int | None:
        """Return the revision from which on there is news, once there is some; None if it was only woken."""
        await self._told.wait()
        self._told.clear()
        since, self._since = self._since, None
        return since


class Followers:
    """All of one coordinator.

    Whoever is told of a change wakes, and is sent something, which costs most of what a change does. So after
    many were told, the next ones are told a little later: of all that changed meanwhile at once.
    """

    def __init__(self) -> None:
        self._by_identity: dict[VerifyKey, list[Follower]] = {}
        self._due: set[Follower] = set()
        # Revisions before changes that concern all, who are told with the due ones; and how many of these
        # came before a follower that began since.
        self._untold: list[int] = []
        self._skipped: dict[Follower, int] = {}
        self._pause: asyncio.TimerHandle | None = None

    def add(self, identity: VerifyKey) -> Follower:
        follower = Follower()
        self._by_identity.setdefault(identity, []).append(follower)
        if self._untold:
            self._skipped[follower] = len(self._untold)
        return follower

    def remove(self, identity: VerifyKey, follower: Follower) -> None:
        found = self._by_identity[identity]
        found.remove(follower)
        self._due.discard(follower)
        self._skipped.pop(follower, None)
        if not found:
            del self._by_identity[identity]

    def tell(self, concerned: Collection[VerifyKey] | None, since: int) -> None:
        """Tell nodes that there is news. concerned: None for all; since: the revision before it."""
        if concerned is None:
            self._untold.append(since)
        else:
            self._tell(self._of(concerned), since)
        if self._pause is None:
            self._wake_due()

    def wake(self) -> None:
        """Have all look whether they are to go on."""
        for follower in self._all():
            follower.wake()

    def _wake_due(self) -> None:
        """Wake all that were told something, and pause, or end the pause if there is nobody."""
        self._tell_all()
        due, self._due = self._due, set()
        for follower in due:
            follower.wake()
        pause = min(len(due) * _PAUSE_EACH, _MAX_PAUSE)
        self._pause = asyncio.get_running_loop().call_later(pause, self._wake_due) if due else None

    def _tell_all(self) -> None:
        untold, self._untold = self._untold, []
        skipped, self._skipped = self._skipped, {}
        for follower in self._all() if untold else ():
            if (number := skipped.get(follower, 0)) < len(untold):
                self._tell((follower,), untold[number])

    def _tell(self, followers: Iterable[Follower], since: int) -> None:
        for follower in followers:
            follower.tell(since)
            self._due.add(follower)

    def _of(self, identities: Iterable[VerifyKey]) -> Iterable[Follower]:
        return (one for identity in identities for one in self._by_identity.get(identity, ()))

    def _all(self) -> Iterable[Follower]:
        return (one for found in self._by_identity.values() for one in found)
