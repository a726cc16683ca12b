"""What a benchmark consists of: a setting is built for an implementation, and rows are measured in it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from benchmarks.suite.rounds import Turn

Samples = dict[str, float]
S = TypeVar("S")


class Plan(IntEnum):
    """How much is measured; each plan has all rows of those before it."""

    QUICK = 1
    DEFAULT = 2
    FULL = 3


class Kind(Enum):
    """What an implementation makes, and a row measures."""

    TUNNEL = "tunnel"
    MESH = "mesh"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class Measure:
    """A line of the table.

    beside: the measure that it should not fall far below; failed_from: a sample that reaches it stands for
    what did not succeed; of_process: read of a daemon's process, so the kernel's WireGuard has none;
    wrong_from: a median that reaches it says that the implementation does not do what a tunnel must, and its
    other figures do not compare.
    """

    name: str
    title: str
    unit: str
    more_is_better: bool
    beside: str = ""
    failed_from: float = math.inf
    of_process: bool = False
    wrong_from: float = math.inf

    @classmethod
    def more(cls, name: str, title: str, beside: str = "", unit: str = "Gbit/s") -> "Measure":
        """Return one of which more is better."""
        return cls(name, title, unit, more_is_better=True, beside=beside)

    @classmethod
    def less(cls, name: str, title: str, unit: str) -> "Measure":
        """Return one of which less is better."""
        return cls(name, title, unit, more_is_better=False)


@dataclass(frozen=True, slots=True)
class Row(Generic[S]):
    """One thing that is done in a setting, and what it measures.

    measure: gets the setting and how many seconds a stream lasts, and returns a sample for each of the
    measures; streams: how many it runs, one after another; seconds: what it takes beside them, about;
    plan: the least that has it; rulers: whether it can be measured with what is no daemon, too; ours: whether
    only with wgpyd; kind: of the implementations that it is of.
    """

    name: str
    title: str
    measures: tuple[Measure, ...]
    measure: Callable[[S, float], Samples]
    plan: Plan
    streams: int = 1
    seconds: float = 1
    rulers: bool = True
    ours: bool = False
    kind: Kind = Kind.TUNNEL


@dataclass(frozen=True, slots=True)
class Setting(Generic[S]):
    """Hosts, wires and daemons, built anew for each turn, and what is measured in them in this order.

    build: raises like a row's measure, AssertionError or MeasureFailed; seconds: what that takes, about.
    """

    name: str
    build: Callable[["Turn"], S]
    rows: tuple[Row[S], ...]
    seconds: float = 3
