"""By which path a peer is reached: the state machine of its paths, sans-IO.

A packet goes by a relay at once, if there is no better path by then. Inside of the tunnel both ends agree on
a round: they tell each other their candidates and ask all of them at the same moment. What answers is used.

One end, the leader, chooses; its endpoint is pinned while it is direct, and the other end follows by roaming.
So both never change each other's choice for ever. While data is not answered the path is asked; a path that
does not answer either is left for a relay, within two seconds, and the other end is told.

Invariant: all that is sent is bounded by what the host sends: nothing is asked while nothing is sent, a round
asks each candidate a few times, and rounds that find nothing are begun after pauses that grow.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import Final

from wgpy.contract.constants import MILLISECOND, SECOND
from wgpy.contract.endpoint import Endpoint

from .direct import DirectPath, DirectPaths
from .exchange import Candidate, PathKind, PathMessage
from .outputs import Ask, Keepalive, Output, PathInUse, Register, Relay, Session, Traffic, Use
from .relayed import RelayedPaths
from .search import Search
from .told import Predict, nothing_is_predicted

ANSWER_TIME: Final = 400 * MILLISECOND  # until data, and then the path, is to be answered
RECHECK_TIME: Final = 500 * MILLISECOND  # until a path that answers is asked again while data is not answered
LAST_RECHECK_TIME: Final = 30 * SECOND
IDLE_TIME: Final = 10 * SECOND  # of silence, twice of which NATs survive
KEPT_TIME: Final = 90 * SECOND  # that a path is relied upon after use, if the other end keeps it open then
KEEPING_TIME: Final = KEPT_TIME + 10 * SECOND  # that the other end does; no session is renewed in that time
PATIENCE_TIME: Final = 60 * SECOND  # with data that is not answered
LATE_TIME: Final = 200 * MILLISECOND  # by which a timer is late only on a host that stalls
STALL_TIME: Final = 2 * SECOND  # after a stall, in which the peer may miss what this host sent too late
STEADY_TIME: Final = 60 * SECOND  # after which a path that fails was a good one

_NEEDS_NO_OPENING: Final = (PathKind.LAN, PathKind.PUBLIC)


class _Timer(Enum):
    ANSWER = auto()
    IDLE = auto()
    CLOSE = auto()


class PeerPaths:
    """Of one peer. Give events and time, then take the outputs; call `expire` at `next_deadline`.

    Times are boottime ns.
    """

    def __init__(
        self, *, is_leader: bool, traffic: Callable[[], Traffic], predict: Predict = nothing_is_predicted,
        spread: Callable[[int], int] = lambda most: 0,
    ) -> None:  # fmt: skip
        """is_leader: of exactly one end, such as the one with the lower key; traffic: with the peer.

        predict: what this host's NAT shows; spread(most): random ns below that, by which pauses are longer.
        """
        self._is_leader = is_leader
        self._traffic = traffic
        self._outputs: list[Output] = []
        self._timers: dict[_Timer, int] = {}
        self._direct = DirectPaths()
        self._relays = RelayedPaths()
        self._search = Search(
            self._direct, self._outputs, predict=predict, spread=spread,
            is_needed=lambda: not self._has_good_path, may_wait=lambda: bool(self._relays),
        )  # fmt: skip
        # What is in use
        self._current: Endpoint | None = None
        self._since = 0
        self._is_pinned = False
        self._kept_for: int | None = 0
        self._session_by: Endpoint | None = None  # the relay that forwarded its handshake, if one did
        self._is_met = False  # whether the peer was ever heard
        # Whether data is answered
        self._is_active = False
        self._sent_at = 0
        self._received = 0  # when data last came, as of the last look for silence
        self._answered = 0  # when data last came, as of when an answer was expected last
        self._suspected_at: int | None = None
        self._is_deaf = False  # the peer was told so, since the last session began
        self._recheck = RECHECK_TIME
        self._has_waited = False  # for longer, since the path is suspected
        self._stalled_at: int | None = None  # until then this host was too busy

    # -- What is known ---------------------------------------------------------------------------------

    def set_local(self, candidates: Iterable[Candidate], now: int) -> None:
        """Have the peer ask these. The first MAX_CANDIDATES count."""
        if self._search.set_local(candidates, now) and self._is_active:
            self._search.propose(now)

    def set_remote(self, candidates: Iterable[Candidate], now: int) -> None:
        """What the peer published; it tells more inside of the tunnel."""
        self._direct.add(candidates)
        if self._current is None:
            self._use_fallback(now)

    def set_relays(self, relays: Sequence[Relay], now: int, present: Endpoint | None = None) -> None:
        """Those by which the peer can be reached, the best first.

        present: where it is reached before a path was chosen. If that is a relay, its session came by it.
        """
        was_relayed = self._relays.get(self._current) is not None
        self._relays.set(relays)
        self._recheck = RECHECK_TIME
        if self._current is None and (relay := self._relays.get(present)):
            self._current, self._since, self._session_by = relay.endpoint, now, relay.endpoint
        is_gone = was_relayed and self._is_direct
        is_heard = self.is_kept_open and self._is_direct  # though it was not asked yet
        has_session = self._current == self._session_by  # which would end
        is_closed = not (self._is_active or is_heard or has_session or self._stays_open())
        is_guessed = self._is_direct and not (self._is_met or self._has_good_path)
        if self._current is None or is_gone or is_closed or is_guessed:
            self._use_fallback(now)

    def keep_open(self, duration: int | None, now: int) -> None:
        """For how long after use something keeps a direct path's mappings, such as a persistent keepalive.

        duration: ns, None for ever. While `is_kept_open` is false there must be none, as it would begin a
        session after each silence.
        """
        before, self._kept_for = self._kept_for, duration
        if before is None and duration and not self._is_active:
            self._timers[_Timer.CLOSE] = now + duration

    @property
    def is_kept_open(self) -> bool:
        """Whether it is now."""
        if self._kept_for:
            return self._is_active or _Timer.CLOSE in self._timers
        return self._kept_for is None

    @property
    def is_active(self) -> bool:
        """Whether something was sent or told a moment ago."""
        return self._is_active

    @property
    def path(self) -> PathInUse | None:
        """The one in use."""
        if self._current is None:
            return None
        if relay := self._relays.get(self._current):
            return PathInUse(self._current, PathKind.RELAYED, relay.round_trip, self._since)
        path = self._path or DirectPath(self._current, PathKind.REFLEXIVE)
        return PathInUse(self._current, path.kind, path.round_trip, self._since)

    @property
    def tried(self) -> tuple[Endpoint, ...]:
        """Those that were asked in the last round."""
        return self._search.tried

    # -- Events ----------------------------------------------------------------------------------------

    def on_sent(self, now: int) -> None:
        """Data was sent that is not answered yet."""
        self._sent_at = now
        if not self._is_active:
            self._activate(now)
        if _Timer.ANSWER not in self._timers or self._traffic().received != self._answered:
            self._expect_answer(now)

    def on_message(self, message: PathMessage, now: int) -> None:
        """The peer told this inside of the tunnel."""
        if not self._is_active:
            self._wake(now)
        if message.echo:
            self._outputs.append(Keepalive())
        self._search.learn(message, self._current)
        if message.deaf and self._current and self._is_direct:
            self._leave_for_deaf(self._current, now)
        self._search.agree(message, self.path.round_trip // 2 if self.path else 0, now)

    def on_answer(self, remote: Endpoint, round_trip: int, now: int) -> None:
        """The peer, or a relay, answered there."""
        if self._relays.get(remote):
            self._relays.note_answer(remote, now)
        elif path := self._direct.at(remote):
            is_news = not path.has_answered(self._search.began)
            path.round_trip, path.answered_at = round_trip, now
            if is_news:
                self._outputs.append(Ask(remote))  # returns the token, so that the peer knows as well
            if self._is_active and (until := path.distrusted_until) > now:  # it may be used from then on
                self._search.expect_round_by(until)
            self._choose(now)
            self._pin(now)

    def on_heard(self, remote: Endpoint, now: int) -> None:
        """The peer asked from there, and receives there."""
        path, current = self._direct.at(remote), self._path
        if path is None or path.answered_at is not None:
            return
        if current and current.kind is path.kind and current.endpoint.is_ipv6 == remote.is_ipv6:
            current.answered_at = None  # its NAT shows another port by now
        self._search.ask(remote, now)

    def on_guess(self, endpoint: Endpoint, now: int) -> None:
        """The data path sends there, where nothing was heard yet: it does until a relay is known."""
        self._current, self._since = endpoint.without_source(), now
        self._direct.at(self._current)

    def on_endpoint(self, endpoint: Endpoint, now: int) -> None:
        """Authentic data came from there, and so the data path sends there now."""
        self._is_met = True
        endpoint = endpoint.without_source()
        if endpoint == self._current:
            return
        self._current, self._since, self._is_pinned = endpoint, now, False
        if self._is_direct:
            self._direct.at(endpoint)
            self._search.cancel_round()
            self._is_deaf = False
            self._pin(now)
            if self._kept_for and not self._is_active:
                self._timers[_Timer.CLOSE] = now + IDLE_TIME
        elif self._is_active:
            self._search.expect_round(now)

    def on_handshake(self) -> None:
        """A session began."""
        self._is_met = True
        relay = self._relays.get(self._current)
        self._session_by = relay.endpoint if relay else None
        if relay and self._is_deaf:  # what was told before had a session that the relay may not know
            self._search.tell(deaf=True)
        self._is_deaf = False

    def on_network_change(self, now: int) -> None:
        """This host has other addresses, or another way to the network."""
        self._direct.forget_answers()
        self._relays.forget_failures()
        self._search.on_network_change()
        self._use_fallback(now)
        if self._is_active:
            self._search.propose(now)

    # -- Time ------------------------------------------------------------------------------------------

    def next_deadline(self) -> int | None:
        """None while nothing is to be done."""
        own, of_search = min(self._timers.values(), default=None), self._search.next_deadline()
        return min((when for when in (own, of_search) if when is not None), default=None)

    def expire(self, now: int) -> None:
        """Do what is due by now."""
        actions = {
            _Timer.ANSWER: self._check_answer,
            _Timer.IDLE: self._check_idle,
            _Timer.CLOSE: self._check_open,
        }
        due = self.next_deadline()
        if due is not None and now - due > LATE_TIME:
            self._stalled_at = now
        for timer in [timer for timer, when in self._timers.items() if when <= now]:
            if self._timers.pop(timer, None) is not None:
                actions[timer](now)
        self._search.expire(now)

    def take_outputs(self) -> list[Output]:
        """What is to be done, in order."""
        outputs = self._outputs.copy()
        self._outputs.clear()
        return outputs

    # -- Activity --------------------------------------------------------------------------------------

    def _wake(self, now: int) -> None:
        self._is_active = True
        received, self._received = self._received, self._traffic().received
        if received != self._received:
            self._search.forget_pause(now)
        self._timers.pop(_Timer.CLOSE, None)
        self._timers[_Timer.IDLE] = now + IDLE_TIME

    def _activate(self, now: int) -> None:
        self._wake(now)
        if self._current is None:
            self._use_fallback(now)
        if not self._stays_open():
            self._ask_relays()
            self._search.resume(now)

    def _check_idle(self, now: int) -> None:
        received, unanswered = self._traffic()
        waits = unanswered and now - unanswered < PATIENCE_TIME
        if received != self._received or waits:
            self._received = received
            self._timers[_Timer.IDLE] = now + IDLE_TIME
            return
        self._is_active = False
        self._timers.clear()
        self._search.end()
        self._check_open(now)

    def _check_open(self, now: int) -> None:
        if self._kept_for and self._is_direct and (until := self._open_until(self._kept_for)) > now:
            self._timers[_Timer.CLOSE] = until
        elif self._relays and not self._stays_open():
            self._use_fallback(now)  # as the NATs forget before the next packet

    def _open_until(self, kept_for: int) -> int:
        """The end without relays keeps the path open, as long as the other one may take it for open."""
        received = self._traffic().received
        return max(self._sent_at + kept_for, received + (IDLE_TIME if self._relays else kept_for))

    def _stays_open(self) -> bool:
        """Whether the path in use is good after silence."""
        path = self._path
        if path is None or not self._has_good_path:
            return False
        return self.is_kept_open or path.kind in _NEEDS_NO_OPENING

    # -- Is the path in use good? ----------------------------------------------------------------------

    def _expect_answer(self, now: int) -> None:
        self._suspected_at = None
        received, wait = self._traffic().received, self._answer_time()
        if received != self._answered:
            self._answered, self._recheck = received, RECHECK_TIME
        elif self._recheck > RECHECK_TIME:  # nothing came after the last checks
            wait = self._recheck
        self._timers[_Timer.ANSWER] = now + wait

    def _answer_time(self) -> int:
        return max(ANSWER_TIME, 2 * self.path.round_trip if self.path else 0)

    def _check_answer(self, now: int) -> None:
        unanswered = self._traffic().unanswered
        if not unanswered or self._current is None:
            self._suspected_at = None
        elif now - unanswered < self._answer_time():  # what was sent before is answered
            self._expect_answer(unanswered)
        elif self._suspected_at is None:
            self._suspect(self._current, now)
        elif self._has_answered(self._current, self._suspected_at):
            self._suspected_at = None
            self._try_another(now)
            self._timers[_Timer.ANSWER] = now + self._recheck
            self._recheck = min(3 * self._recheck, LAST_RECHECK_TIME)
        elif self._stalled_at == now and not self._has_waited:  # an answer may be there, and not read yet
            self._has_waited = True
            self._timers[_Timer.ANSWER] = now + self._answer_time()
        else:
            self._leave(now)
            self._recheck = min(2 * self._recheck, LAST_RECHECK_TIME)
            self._expect_answer(now)

    def _suspect(self, current: Endpoint, now: int) -> None:
        self._suspected_at, self._has_waited = now, False
        self._timers[_Timer.ANSWER] = now + self._answer_time()
        relay = self._relays.get(current)
        self._outputs.append(Ask(current, relay.key if relay else None))
        if relay or self._recheck > RECHECK_TIME:  # what answers may carry nothing to the peer
            self._search.ask_for_echo()

    def _has_answered(self, current: Endpoint, since: int) -> bool:
        path = self._path
        return path.has_answered(since) if path else self._relays.has_answered(current, since)

    def _leave(self, now: int, *, for_deaf: bool = False) -> None:
        """Leave the path in use, which carries nothing, at least in one direction. for_deaf: to the peer."""
        if path := self._path:
            path.answered_at = None
        elif self._current:
            self._relays.note_failure(self._current, now)
        if now - self._since >= STEADY_TIME:
            self._search.shorten_pauses()
        self._ask_relays()
        left = self._current
        self._use_fallback(now)
        if left and left == self._current and self._is_direct:  # there is nothing else: follow the peer
            self._outputs.append(Use(left, False, Session.KEEP))
        if not for_deaf or left != self._current:  # else each would be told for ever that the other was told
            self._report_deaf()
        self._search.expect_round(now)

    def _leave_for_deaf(self, left: Endpoint, now: int) -> None:
        """Leave the direct path in use, by which the peer hears nothing, or was only late: so ask it."""
        if self._stalled_at is None or now - self._stalled_at > STALL_TIME:
            self._direct.distrust(left, now)
        self._leave(now, for_deaf=True)
        self._search.ask(left, now)

    def _report_deaf(self) -> None:
        self._is_deaf = True
        self._search.tell(deaf=True)

    def _try_another(self, now: int) -> None:
        """What answers carries nothing to the peer: leave the relay, or a path after it was tried twice."""
        if self._is_direct and self._recheck > 3 * RECHECK_TIME:
            self._direct.distrust(self._current, now)
            self._leave(now)
        elif self._current and not self._is_direct:
            self._relays.note_failure(self._current, now)
            self._session_by = self._current = None
            self._use_fallback(now)
            self._report_deaf()

    def _ask_relays(self) -> None:
        """How do they see this host now? Its NAT may have forgotten it."""
        self._outputs += [Ask(relay.endpoint, relay.key) for relay in self._relays.first()]

    # -- Choosing --------------------------------------------------------------------------------------

    @property
    def _path(self) -> DirectPath | None:
        """The direct path in use."""
        return self._direct.get(self._current) if self._is_direct else None

    @property
    def _has_good_path(self) -> bool:
        """Whether a direct path is in use that answers."""
        path = self._path
        return path is not None and path.answered_at is not None

    @property
    def _is_direct(self) -> bool:
        return self._current is not None and self._relays.get(self._current) is None

    def _choose(self, now: int) -> None:
        """Use the best direct path that has answered, unless the one in use is about as good."""
        best, current = self._direct.best(now), self._path
        has_good = self._has_good_path
        # The other end follows, unless it has no path by which it could.
        may_choose = self._is_leader or not (self._relays or has_good)
        if best is None or not may_choose or (current and has_good and not best.is_better(current)):
            return
        self._use(best.endpoint, now)
        self._search.cancel_round()
        self._search.tell()  # so that the peer follows

    def _use_fallback(self, now: int) -> None:
        """The best direct path that has answered, else a relay, else what there is."""
        best, first = self._direct.best(now), self._direct.first()
        if best and self._is_active:
            self._use(best.endpoint, now)
        elif self._relays:
            self._use_relay(self._relays.best(), now)
        elif first and self._path is None:
            self._use(first.endpoint, now)

    def _use(self, endpoint: Endpoint, now: int) -> None:
        if endpoint != self._current:
            self._set_current(endpoint, now)
            path = self._path
            self._is_pinned = self._is_leader and path is not None and path.answered_at is not None
            self._outputs.append(Use(endpoint, self._is_pinned, Session.KEEP))

    def _pin(self, now: int) -> None:
        """Have the leader stay on the direct path in use, once that has answered.

        Else each end may follow the other from the relay to the path and back for ever.
        """
        path = self._path
        if path is None or not self._is_leader or self._is_pinned or path.distrusted_until > now:
            return
        if path.is_fresh(now):
            self._is_pinned = True
            self._outputs.append(Use(path.endpoint, True, Session.KEEP))
        elif self._is_active:
            self._search.ask(path.endpoint, now)

    def _use_relay(self, relay: Relay, now: int) -> None:
        if relay.endpoint != self._current:
            self._set_current(relay.endpoint, now)
            is_known = self._session_by == relay.endpoint
            session = Session.KEEP if is_known else Session.BEGIN if self._is_active else Session.END
            self._outputs += [Register(relay.key), Use(relay.endpoint, False, session)]

    def _set_current(self, endpoint: Endpoint, now: int) -> None:
        self._current, self._since, self._is_pinned = endpoint, now, False
        self._suspected_at = None
