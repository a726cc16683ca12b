"""The search for a direct path to a peer: both ends tell each other where they may be, and agree on rounds.

Invariant: a round that finds nothing is followed by a pause that grows, in which a peer that can be dialled
is asked once each time the search is resumed; and nothing waits after `end`.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import Final

from wgpy.contract.endpoint import Endpoint

from .direct import DirectPaths
from .exchange import Candidate, PathKind, PathMessage
from .outputs import Ask, Output, Tell
from .rounds import AGREEMENT_TIME, Pause, Proposal, Rounds
from .told import Predict, Told

_ALL: Final = tuple(PathKind)
_ASKED_AT_ONCE: Final = (PathKind.LAN, PathKind.IPV6, PathKind.PUBLIC)


class _Timer(Enum):
    ASK = auto()
    AGREEMENT = auto()
    ROUND = auto()


class Search:
    """Of one peer. Call `expire` at `next_deadline`. Times are boottime ns."""

    def __init__(
        self, direct: DirectPaths, outputs: list[Output], *,
        predict: Predict, spread: Callable[[int], int],
        is_needed: Callable[[], bool], may_wait: Callable[[], bool],
    ) -> None:  # fmt: skip
        """direct: what is asked; outputs: those of the peer's paths, to which this appends.

        is_needed: whether there is no good direct path; may_wait: whether packets have another way until the
        peer agrees; predict, spread: see `PeerPaths`.
        """
        self._direct = direct
        self._outputs = outputs
        self._is_needed = is_needed
        self._may_wait = may_wait
        self._told = Told(predict)
        self._remote_number = 0  # of the list that the peer told
        self._rounds = Rounds()
        self._proposal = Proposal()
        self._pause = Pause(spread)
        self._next_round = 0
        self._timers: dict[_Timer, int] = {}

    @property
    def tried(self) -> tuple[Endpoint, ...]:
        """Those that were asked in the last round."""
        return self._rounds.tried

    @property
    def began(self) -> int:
        """When the last round began, or will."""
        return self._rounds.began

    # -- What both ends tell each other ----------------------------------------------------------------

    def set_local(self, candidates: Iterable[Candidate], now: int) -> bool:
        """Tell the peer these from now on; return whether it has others."""
        return self._told.set_local(candidates, now)

    def tell(self, *, proposal: int = 0, agreed: int = 0, deaf: bool = False) -> None:
        self._told.renew(self._direct.mapped())
        numbers, candidates = (self._told.number, self._remote_number), self._told.candidates
        self._outputs.append(Tell(PathMessage(*numbers, proposal, agreed, deaf, candidates=candidates)))

    def ask_for_echo(self) -> None:
        """Have the peer send something."""
        self._outputs.append(Tell(PathMessage(0, self._remote_number, echo=True)))

    def learn(self, message: PathMessage, current: Endpoint | None) -> None:
        """Take the peer's list, if it is another one. current: what is in use, and not forgotten."""
        if message.number not in (0, self._remote_number):
            self._remote_number = message.number
            self._direct.replace(message.candidates, self._told.candidates, current)
            self._pause.reset()

    def on_network_change(self) -> None:
        """Take the peer's list once more, as from here it may lead elsewhere."""
        self._remote_number = 0
        self._pause.reset()

    def agree(self, message: PathMessage, way: int, now: int) -> None:
        """Begin the round that the peer proposes or agrees to. way: ns that a packet to the peer needs."""
        if message.proposal:
            self.tell(agreed=message.proposal)
            self._begin_round(now + way)
        if self._proposal.agree(message.agreed):
            self._timers.pop(_Timer.AGREEMENT, None)
            self._begin_round(now)

    # -- When rounds are -------------------------------------------------------------------------------

    def propose(self, now: int) -> None:
        """Have the peer agree to a round; ask at once what needs no opening."""
        self._proposal.renew()
        self._begin_round(now, _ASKED_AT_ONCE if self._may_wait() else _ALL)
        self._repeat_proposal(now)
        self._timers.pop(_Timer.ROUND, None)
        self.expect_round(now)

    def expect_round(self, now: int) -> None:
        """Have the next round come after the pause, unless one is to come already or none is needed."""
        if self._is_needed():
            self._next_round = self._timers.setdefault(_Timer.ROUND, now + self._pause.draw())

    def expect_round_by(self, when: int) -> None:
        """Have the next round not come later."""
        self._timers[_Timer.ROUND] = min(when, self._timers.get(_Timer.ROUND, when))

    def resume(self, now: int) -> None:
        """After `end`: begin the next round, or wait for the rest of the pause.

        Who can be dialled is asked once all the same, as a line that was broken may be whole again.
        """
        if self._next_round > now:
            for endpoint in self._direct.endpoints([PathKind.PUBLIC]):
                self.ask(endpoint, now)
        self._timers[_Timer.ROUND] = max(now, self._next_round)
        self.expire(now)

    def shorten_pauses(self) -> None:
        """There is something new: have pauses grow from the first one again."""
        self._pause.reset()

    def forget_pause(self, now: int) -> None:
        """As there is something new, do not wait for the rest of the pause either."""
        self._pause.reset()
        self._next_round = now

    def cancel_round(self) -> None:
        """A direct path was found."""
        self._timers.pop(_Timer.ROUND, None)

    def end(self) -> None:
        self._timers.clear()
        self._rounds.end()

    # -- Time ------------------------------------------------------------------------------------------

    def next_deadline(self) -> int | None:
        """None while nothing is to be done."""
        return min(self._timers.values(), default=None)

    def expire(self, now: int) -> None:
        """Do what is due by now."""
        actions = {
            _Timer.ASK: self._ask_due,
            _Timer.AGREEMENT: self._repeat_proposal,
            _Timer.ROUND: self._try_round,
        }
        for timer in [timer for timer, when in self._timers.items() if when <= now]:
            if self._timers.pop(timer, None) is not None:
                actions[timer](now)

    def _try_round(self, now: int) -> None:
        """Begin a round; if it finds nothing, wait for longer until the next one."""
        self.propose(now)
        self._pause.grow()

    def _repeat_proposal(self, now: int) -> None:
        if self._told.number and self._proposal.repeat():
            self.tell(proposal=self._proposal.number)
            self._timers[_Timer.AGREEMENT] = now + AGREEMENT_TIME

    # -- Questions -------------------------------------------------------------------------------------

    def ask(self, endpoint: Endpoint, now: int) -> None:
        """Ask there beside the round, if the budget has a question left."""
        if self._rounds.may_ask(now):
            self._outputs.append(Ask(endpoint))

    def _begin_round(self, when: int, kinds: Sequence[PathKind] = _ALL) -> None:
        endpoints = self._direct.endpoints(kinds)
        if endpoints:
            self._rounds.begin(endpoints, when)
            self._timers[_Timer.ASK] = when

    def _ask_due(self, now: int) -> None:
        if self._told.lacks(self._direct.mapped()):  # after the first questions
            self.propose(now)
        self._outputs += map(Ask, self._rounds.due(now, self._has_answered))
        if (when := self._rounds.next_at()) is not None:
            self._timers[_Timer.ASK] = when

    def _has_answered(self, endpoint: Endpoint) -> bool:
        path = self._direct.get(endpoint)
        return path is None or path.has_answered(self._rounds.began)
