"""Which sessions of a peer are alive: next, current and previous. Whitepaper 5.4.5, 6.1; Linux noise.c.

Invariant: a responder does not send by a session before its initiator has used it; and the session before
the current one still receives, as datagrams of it may be under way. The keys themselves are the data
path's; here is only who is who.
"""

from wgpy.contract.constants import REJECT_AFTER_TIME, REKEY_AFTER_TIME, REKEY_ON_RECEIVE_AFTER_TIME
from wgpy.contract.events import PeerId
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.contract.orders import InstallKeypair

from .noise import Session


@dataclass(frozen=True, slots=True)
class Keypair:
    """A session, by the index under which we receive. initiator: whether we began it."""

    local_index: int
    initiator: bool


class Keypairs:
    """The three slots of one peer. Every change returns what fell out of them."""

    __slots__ = ("current", "next", "previous")

    def __init__(self) -> None:
        self.next: Keypair | None = None  # we responded; not confirmed yet
        self.current: Keypair | None = None  # sends and receives
        self.previous: Keypair | None = None  # only receives

    def add(self, keypair: Keypair) -> list[Keypair]:
        """Take in a new session: as current if we began it, else as next."""
        if keypair.initiator:
            # A pending next is newer than the current one: it is what the remote end may be about to use.
            dropped = [self.previous, self.current if self.next else None]
            self.previous = self.next or self.current
            self.current, self.next = keypair, None
        else:
            dropped = [self.previous, self.next]
            self.previous, self.next = None, keypair
        return [gone for gone in dropped if gone]

    def confirm(self, local_index: int) -> list[Keypair] | None:
        """Promote next to current, as its initiator used it. None if no next has this index."""
        if self.next is None or self.next.local_index != local_index:
            return None
        dropped = self.previous
        self.previous, self.current, self.next = self.current, self.next, None
        return [dropped] if dropped else []

    def drop_next(self) -> list[Keypair]:
        dropped, self.next = self.next, None
        return [dropped] if dropped else []

    def clear(self) -> list[Keypair]:
        dropped = [keypair for keypair in (self.next, self.current, self.previous) if keypair]
        self.next = self.current = self.previous = None
        return dropped


def installation(peer: PeerId, session: Session, now: int) -> InstallKeypair:
    """Give a new session's keys to the data path. now: boottime ns."""
    return InstallKeypair(
        peer,
        session.local_index,
        session.remote_index,
        session.sending_key,
        session.receiving_key,
        reject_after_time=now + REJECT_AFTER_TIME,
        # Only the initiator rekeys by time, so that both do not at once. Whitepaper 6.2
        rekey_after_sent_time=now + REKEY_AFTER_TIME if session.initiator else None,
        rekey_after_received_time=now + REKEY_ON_RECEIVE_AFTER_TIME if session.initiator else None,
    )
