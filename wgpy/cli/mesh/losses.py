"""What a change of the rules takes from whom, and the question whether it is to be so."""

import sys
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

from wgpy.cli.errors import CommandError
from wgpy.cli.mesh.output import count, report
from wgpy.cli.network_documents import DryRun
from wgpy.mesh.ports import ports_text
from wgpy.mesh.reach import destinations
from wgpy.mesh.records import ANY
from wgpy.mesh.rules import lost, narrowed
from wgpy.mesh.selectors import Names, rule_text, shown
from wgpy.mesh.topology import Topology

_MAX_LINES: Final = 20
_MAX_NAMES: Final = 8  # in a line


@dataclass(frozen=True, slots=True)
class Losses:
    """lost: to whom each node may no longer begin, by names; narrowed: to which ports alone it still may, of
    whom; cut_off: nodes that no rule joins with any; clients: to what alone each may still begin, of those
    lose something; is_closed: whether no node may begin to any other one then.
    """

    is_by_first_rule: bool
    lost: Mapping[str, Collection[str]]
    narrowed: Mapping[str, Mapping[str, str]]
    cut_off: Collection[str]
    clients: Mapping[str, Collection[str]]
    is_closed: bool = False

    @classmethod
    def between(cls, before: Topology, after: Topology, names: Names) -> Self:
        """names: of all members."""
        of = {member.identity: names.get(member.identity, str(member.identity)) for member in before.members}
        found = lost(before, after)
        return cls(
            not before.rules,
            {of[identity]: sorted(of[other] for other in others) for identity, others in found.items()},
            {
                of[identity]: {of[other]: ports_text(ports) for other, ports in others.items()}
                for identity, others in narrowed(before, after).items()
            },
            sorted(of[identity] for identity in found if not after.joined_peers(identity)),
            dict(_clients(before, after, names)),
            not any(after.peers(identity) for identity in of),
        )

    def report(self, arguments: Namespace) -> None:
        """Print them. Nothing was changed."""
        document: DryRun = {
            "would_lose": {name: list(others) for name, others in self.lost.items()},
            "would_keep_only": {name: dict(others) for name, others in self.narrowed.items()},
            "would_be_cut_off": list(self.cut_off),
            "clients_would_keep_only": {name: list(kept) for name, kept in self.clients.items()},
        }
        report(arguments, document, self.text())

    def text(self) -> str:
        """Return lines for people."""
        return "\n".join(self._lines()) or "No node loses another one."

    def __bool__(self) -> bool:
        return bool(self.lost or self.narrowed or self.clients)

    def _lines(self) -> Iterator[str]:
        if self.cut_off and self.is_closed:
            yield "No rule joins any two nodes then: nobody reaches anything."
        elif self.cut_off:
            yield f"No rule joins these with any node: {_some(self.cut_off)}."
        for name, others in sorted(self.lost.items())[:_MAX_LINES]:
            yield f"{name} can no longer begin to {_some(others)}."
        yield from _more(self.lost)
        for name, ports in sorted(self.narrowed.items())[:_MAX_LINES]:
            ends = [f"{other}:{each}" for other, each in sorted(ports.items())]
            yield f"{name} can begin only to {_some(ends)}."
        yield from _more(self.narrowed)
        for name, kept in sorted(self.clients.items())[:_MAX_LINES]:
            only = f"begin only to {_some(kept)}" if kept else "no longer begin to anything"
            yield f"The client {name} can {only}."


def _clients(before: Topology, after: Topology, names: Names) -> Iterator[tuple[str, Collection[str]]]:
    for client in before.clients:
        kept = destinations(after, client)
        if ANY not in kept and destinations(before, client) - kept:
            yield client.name, sorted(rule_text(shown(selector, names)) for selector in kept)


def _more(found: Collection[str]) -> Iterator[str]:
    if len(found) > _MAX_LINES:
        yield f"So it is with {count(len(found) - _MAX_LINES, 'node')} more; --dry-run --json has all."


def confirm(losses: Losses) -> None:
    """Ask at the terminal whether a first rule is to be. Raises CommandError if not."""
    nodes = count(len(losses.lost.keys() | losses.narrowed.keys()), "node")
    _ask(
        f"this is the first rule, from which on {nodes} can no longer begin to others: see --dry-run, and "
        "give --yes",
        "This is the first rule: from then on nodes begin only what a rule allows.", losses.text(),
        "Allow it? [y/N] ",
    )  # fmt: skip


def confirm_last() -> None:
    """Ask at the terminal whether the last rule is to go. Raises CommandError if not."""
    _ask(
        "this is the last rule, without which every node may begin to every other one: give --yes, or allow "
        "something else first",
        "This is the last rule: without it every node may begin to every other one.",
        "Take it back? [y/N] ",
    )


def _ask(otherwise: str, *lines: str) -> None:
    """otherwise: the sentence where there is no terminal. Raises CommandError unless the answer is yes."""
    if not sys.stdin.isatty():
        raise CommandError(otherwise)
    print(*lines, sep="\n", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was changed")


def _some(names: Collection[str]) -> str:
    first = list(names)[:_MAX_NAMES]
    return ", ".join(first) + (f" and {len(names) - len(first)} more" if len(names) > len(first) else "")
