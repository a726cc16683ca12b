"""`wgpy mesh ping`: whether a node answers, by which path, and how fast.

A node is measured inside of the tunnel by its own agent, which no rule forbids; what is behind a node gets
the echo requests of ICMP.
"""

import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from statistics import median
from typing import Final

from wgpy.cli.changes import need_root
from wgpy.cli.colours import Colour, paint
from wgpy.cli.documents import Ping, PingAnswer
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import daemons, networks, probe, why, why_names
from wgpy.cli.mesh.output import columns, report
from wgpy.cli.mesh.ping_paths import path_document, show_paths
from wgpy.cli.mesh.why_paths import milliseconds, words
from wgpy.cli.mesh.why_target import Target, find
from wgpy.mesh.wire import GOSSIP_PORT
from wgpy.node import agent_client as agent
from wgpy.node.agent_client import RoundTrip, RoundTripWanted, UsedPath

INTERVAL: Final = 1.0  # seconds
FIRST_PATIENCE: Final = 6.0  # seconds: an initiation that gets lost is repeated after five
PATIENCE: Final = 1.0  # seconds after an answer, or thrice its round trip
NEXT_PATIENCE: Final = 2.0  # after none

_Measure = Callable[[float], RoundTrip]  # within so many seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one question. microseconds: 0 if there was none in `patience` seconds."""

    number: int
    microseconds: int
    path: UsedPath
    patience: float


def ping(arguments: Namespace) -> None:
    """Raises CommandError, also if nothing answers, and AgentError."""
    need_root("mesh ping")
    network = networks.selected(arguments)
    target = _target(network, arguments.name)
    if arguments.all_paths:
        show_paths(arguments, network, target.peer)
        return
    seen = Report(arguments.name)
    try:
        for answer in answers(_measuring(network, target), arguments.count):
            lines = list(seen.add(answer))
            if not arguments.json:
                print("\n".join(lines), flush=True)
    except KeyboardInterrupt:
        pass
    report(arguments, seen.document(), f"\n{seen.summary()}")
    if not seen.answered:
        raise CommandError(f"{arguments.name} is not reachable: {_reason(network, arguments.name)}")


def _reason(network: str, name: str) -> str:
    """Try otherwise, and return why nothing answered, and what to do. Raises CommandError and AgentError."""
    findings = why.look(network, name)
    if why.verdict(findings) is not True:
        return why.sentence(findings)
    return (
        f"its host answers pings, but not at TCP port {GOSSIP_PORT} inside of the tunnel, by which "
        "nodes compare records: see its firewall"
    )


def _target(network: str, name: str) -> Target:
    """Raises CommandError."""
    status = daemons.status(network)
    name = why_names.meant(status, name)
    if target := find(status, name):
        return target
    raise CommandError(f"{name} is not reachable: {why.sentence(why.judged(status, name))}")


def _measuring(network: str, target: Target) -> _Measure:
    peer = target.peer

    def ask(seconds: float) -> RoundTrip:
        return agent.measure(network, RoundTripWanted(peer.identity, int(seconds * 1000)))

    def echo(seconds: float) -> RoundTrip:
        """Raises CommandError."""
        elapsed = _echo(target, seconds)
        return RoundTrip(int(elapsed * 1000), ask(0).path)

    return ask if target.address in (peer.address, peer.address6) else echo


def _echo(target: Target, seconds: float) -> float:
    """Return milliseconds, 0 without an answer. Raises CommandError."""
    try:
        return probe.ping(target.address, seconds) or 0
    except PermissionError:
        raise CommandError(f"this user may not ping {target.address}: that takes CAP_NET_RAW") from None
    except OSError:  # an ICMP error came
        return 0


def answers(measure: _Measure, wanted: int | None, interval: float = INTERVAL) -> Iterator[Answer]:
    """Ask so many times, None for ever. interval: seconds from one question to the next."""
    patience, following = FIRST_PATIENCE, NEXT_PATIENCE
    for number in count(1):
        began = time.monotonic()
        found = measure(patience)
        yield Answer(number, found.microseconds, found.path, patience)
        if number == wanted:
            return
        if found.microseconds:
            following = min(max(PATIENCE, 3e-6 * found.microseconds), FIRST_PATIENCE)
        patience = following
        time.sleep(max(0.0, began + interval - time.monotonic()))


# -- What is shown. Pure. ----------------------------------------------------------------------------


@dataclass(slots=True)
class Report:
    """Of what was asked about a name."""

    name: str
    answers: list[Answer] = field(default_factory=list)

    @property
    def answered(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.microseconds]

    def add(self, answer: Answer) -> Iterator[str]:
        """Return the lines for it."""
        path = words(answer.path)
        before = words(self.answers[-1].path) if self.answers else path
        if path != before:
            yield paint(f"{self.name} is reached {path} now, no longer {before}", Colour.STRONG)
        self.answers.append(answer)
        yield f"{answer.number}  {path}  {_outcome(answer)}"

    def summary(self) -> str:
        sent, answered = len(self.answers), len(self.answered)
        head = f"{self.name}: {sent} sent, {answered} answered"
        if not answered:
            return head
        rows = [(words(path), f"{len(times)} answered", spread(times)) for path, times in self._by_path()]
        return f"{head}; least / median / most:\n{columns(rows)}"

    def _by_path(self) -> Iterable[tuple[UsedPath, list[int]]]:
        found: dict[UsedPath, list[int]] = {}
        for answer in self.answered:
            found.setdefault(answer.path, []).append(answer.microseconds)
        return found.items()

    def document(self) -> Ping:
        return {
            "name": self.name,
            "sent": len(self.answers),
            "answered": len(self.answered),
            "answers": [_document(answer) for answer in self.answers],
            "paths": [
                {
                    **path_document(path),
                    "answered": len(times),
                    "least": min(times) / 1000,
                    "median": median(times) / 1000,
                    "most": max(times) / 1000,
                }
                for path, times in self._by_path()
            ],
        }


def _document(answer: Answer) -> PingAnswer:
    elapsed = answer.microseconds / 1000 if answer.microseconds else None
    return {"number": answer.number, "milliseconds": elapsed, **path_document(answer.path)}


def _outcome(answer: Answer) -> str:
    if answer.microseconds:
        is_direct = not answer.path.relay and not answer.path.by_connection
        return paint(milliseconds(answer.microseconds), Colour.GOOD if is_direct else Colour.NOTICE)
    return paint(f"no answer within {answer.patience:.0f} s", Colour.BAD)


def spread(times: Iterable[int]) -> str:
    """Return the least, the median and the most. times: microseconds."""
    found = sorted(times)
    return " / ".join(f"{one / 1000:.1f}" for one in (found[0], median(found), found[-1])) + " ms"
