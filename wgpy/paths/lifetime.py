"""How long a NAT or a firewall keeps a mapping, and which interval of keepalives that allows. Pure.

A silence is tried on a flow of its own, from another port than WireGuard's: a relay answers a question only
after that many seconds, and the answer comes in if the mapping still is there. So nothing that is used is
ever silent for longer than is proven.

Invariant: an interval is used once a longer silence is proven; until then the one that fits Linux' shortest.
A trial is a few datagrams, and trials end.
"""

from enum import Enum
from typing import Final

from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint

from .discovery import AT_ONCE, Discovery, Manner

ASSUMED: Final = 25  # seconds; Linux keeps the mapping of one datagram for 30
# With each of them a keepalive goes out, or comes in, while a session is due for renewal and still lives.
INTERVALS: Final = (15, ASSUMED, 34, 56, 85, 170)
MARGIN: Final = 3  # seconds, by which a proven silence is longer than the interval
SETTLING_TIME: Final = 3  # seconds: Linux keeps a flow with answers for longer once it is older than 2
ANSWER_TIME: Final = 2  # seconds
_TRIES: Final = 3  # of a question that only begins or ends a trial
_MAX_UNKNOWN: Final = 3  # trials that told nothing, after which there are no more


class Outcome(Enum):
    """What became of a trial."""

    SURVIVED = "the answer came in after the silence"
    FORGOTTEN = "it did not, and the relay answers a question now"
    UNKNOWN = "the relay does not answer, or does not answer later"


class _Step(Enum):
    """What is asked in each, and how often."""

    SETTLING = "an answer after a moment, so that the flow counts as one with answers"
    SILENCE = "an answer after the silence"
    CONTROL = "an answer at once"


class SilenceTrial:
    """One silence on one flow. outcome: None while it lasts; deadline: when `advance` is due, boottime ns."""

    def __init__(self, discovery: Discovery, relay: bytes, remote: Endpoint, silence: int) -> None:
        """discovery: of this flow alone; silence: seconds."""
        self._discovery = discovery
        self._relay, self._remote = relay, remote
        self._silence = silence
        self._step = _Step.SETTLING
        self._tries = 0
        self.outcome: Outcome | None = None
        self.deadline = 0

    def advance(self, now: int) -> bytes | None:
        """What is to be sent now: at the beginning, after an answer, and at the deadline."""
        if self._tries and now >= self.deadline:
            self._give_up()
        if self.outcome or now < self.deadline:
            return None
        self._tries += 1
        manner = self._manner()
        self.deadline = now + (manner.delay + ANSWER_TIME) * SECOND
        return self._discovery.ask(self._relay, self._remote, now, manner=manner)

    def receive_answers(self) -> None:
        """Look at what the discovery has received."""
        if any(answer.manner == self._manner() for answer in self._discovery.take_answers()):
            self._tries, self.deadline = 0, 0
            match self._step:
                case _Step.SETTLING:
                    self._step = _Step.SILENCE
                case _Step.SILENCE:
                    self.outcome = Outcome.SURVIVED
                case _Step.CONTROL:
                    self.outcome = Outcome.FORGOTTEN

    def _manner(self) -> Manner:
        match self._step:
            case _Step.SETTLING:
                return Manner(SETTLING_TIME)
            case _Step.SILENCE:
                return Manner(self._silence)
            case _Step.CONTROL:
                return AT_ONCE

    def _give_up(self) -> None:
        """A question has no answer."""
        if self._step is _Step.SILENCE:
            self._step, self._tries = _Step.CONTROL, 0
        elif self._tries >= _TRIES:
            self.outcome = Outcome.UNKNOWN


class LifetimeSearch:
    """Of one NAT: which silences to try, and the interval that is proven by those that were."""

    def __init__(self) -> None:
        self._low: int | None = None  # the position of the longest interval that is proven
        self._high = len(INTERVALS)  # of the shortest one that is too long
        self._doubted: int | None = None  # one that failed once: a datagram may get lost
        self._lapsed: set[int] = set()  # those in use when a mapping was forgotten
        self._unknown = 0

    @property
    def interval(self) -> int:
        """Seconds."""
        if self._low is not None:
            return INTERVALS[self._low]
        return INTERVALS[min(self._high - 1, INTERVALS.index(ASSUMED))]

    @property
    def lasts(self) -> int:
        """Seconds that a mapping lasts at least, 0 if none are proven."""
        return INTERVALS[self._low] + MARGIN if self._low is not None else 0

    def next_silence(self) -> int | None:
        """Seconds to try next; None if enough is known."""
        position = self._next()
        return None if position is None else INTERVALS[position] + MARGIN

    def _next(self) -> int | None:
        """The middle of those that nothing is known of, first of those above the assumed one."""
        if self._unknown >= _MAX_UNKNOWN:
            return None
        assumed = INTERVALS.index(ASSUMED)
        low = assumed if self._low is None else self._low
        if low + 1 < self._high:
            return (low + self._high) // 2
        return assumed if self._low is None and self._high > assumed else None

    def note(self, outcome: Outcome) -> None:
        """What became of the trial of `next_silence`. One that failed is tried once more."""
        position = self._next()
        if position is None:
            return
        match outcome:
            case Outcome.SURVIVED:
                self._low, self._doubted = position, None
            case Outcome.FORGOTTEN:
                self._doubt(position)
            case Outcome.UNKNOWN:
                self._unknown += 1

    def note_lapse(self) -> None:
        """A mapping in use was forgotten: by an interval too long, or as its NAT was restarted.

        So what was proven is tried again, and at the second time the interval is too long.
        """
        position = INTERVALS.index(self.interval)
        self._low, self._unknown = None, 0
        if position and position in self._lapsed:
            self._high = position
        self._lapsed.add(position)

    def _doubt(self, position: int) -> None:
        if self._doubted == position:
            self._high, self._doubted = position, None
        else:
            self._doubted = position
