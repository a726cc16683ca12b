"""How meshes connect hosts behind NATs: how soon, how directly, at what cost in silence, and what disturbs.

See `benchmarks.nat.world` for the hosts. A mesh has been at rest for ten seconds when the first pair talks,
and no pair has talked before. On the left host's wire packets of a size are watched that nothing else has;
one that goes to any address but a relay's is direct.
"""

from dataclasses import dataclass
from itertools import combinations_with_replacement
from statistics import median
from typing import Final

from benchmarks.nat.contact import WITHIN, contact
from benchmarks.nat.meshes import mesh_of
from benchmarks.nat.world import World, build
from benchmarks.rows.natlife import LIFE
from benchmarks.suite.rounds import Turn
from benchmarks.suite.values import Kind, Measure, Plan, Row, Samples, Setting

KINDS: Final = ("public", "full cone", "port-restricted", "random", "UDP blocked")
ALL_KINDS: Final = (
    "public", "full cone", "address-restricted", "port-restricted", "Linux", "Linux, input open",
    "carrier-grade", "firewall", "counting", "random", "UDP blocked",
)  # fmt: skip
_PAIR: Final = 8  # seconds, about: those that cannot be direct take WITHIN


@dataclass(frozen=True, slots=True)
class Matrix:
    """All pairs of some kinds of NAT. name: of the row that measures them."""

    name: str
    kinds: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return list(combinations_with_replacement(self.kinds, 2))

    def build(self, turn: Turn) -> World:
        return build(turn.lab, mesh_of(turn.implementation), self.kinds)

    def measure(self, world: World, _seconds: float) -> Samples:
        """Let one pair after another talk for the first time."""
        times = {
            (one, other): contact(world, world.pairs[one][0], world.pairs[other][1])
            for one, other in self.pairs
        }
        firsts, directs = ([time[index] for time in times.values()] for index in range(2))
        return {
            **{self._of("first", pair): first for pair, (first, _) in times.items()},
            **{self._of("direct", pair): direct for pair, (_, direct) in times.items()},
            self._of("first", ("median",)): median(firsts),
            self._of("first", ("longest",)): max(firsts),
            self._of("direct", ("share",)): 100 * sum(direct < WITHIN for direct in directs) / len(directs),
        }

    @property
    def row(self) -> Row[World]:
        title = f"first packets between hosts behind NATs of {len(self.kinds)} kinds"
        seconds = _PAIR * len(self.pairs)
        return Row(
            self.name,
            title,
            self._measures,
            self.measure,
            Plan.FULL,
            streams=0,
            seconds=seconds,
            kind=Kind.MESH,
        )

    @property
    def _measures(self) -> tuple[Measure, ...]:
        return (
            *(self._time("first", f"first answer, {' and '.join(pair)}", pair) for pair in self.pairs),
            self._time("first", "first answer, median of these", ("median",)),
            self._time("first", "first answer, longest of these", ("longest",)),
            *(self._time("direct", f"direct path, {' and '.join(pair)}", pair) for pair in self.pairs),
            Measure(self._of("direct", ("share",)), "pairs that became direct", "%", more_is_better=True),
        )

    def _time(self, what: str, title: str, of: tuple[str, ...]) -> Measure:
        return Measure(self._of(what, of), title, "s", more_is_better=False, failed_from=WITHIN)

    def _of(self, what: str, of: tuple[str, ...]) -> str:
        return " ".join((self.name, what, *of))


_ESSENTIAL: Final = Matrix("nat", KINDS)
_ALL: Final = Matrix("natall", ALL_KINDS)
NAT: Final = Setting("nat", _ESSENTIAL.build, (_ESSENTIAL.row, *LIFE), seconds=60)
NAT_ALL: Final = Setting("natall", _ALL.build, (_ALL.row,), seconds=100)
