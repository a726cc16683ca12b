"""All rows, and their selection."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks.rows.flood import JUNK, VALID
from benchmarks.rows.gateway import GATEWAY
from benchmarks.rows.handshakes import HANDSHAKES
from benchmarks.rows.hub import HUB
from benchmarks.rows.lossy import LOSSY
from benchmarks.rows.meshrelay import MESH_RELAY
from benchmarks.rows.meshsize import MESH_SIZES
from benchmarks.rows.nat import NAT, NAT_ALL
from benchmarks.rows.pods import PODS
from benchmarks.rows.proxy import PROXY
from benchmarks.rows.recovery import RECOVERY
from benchmarks.rows.relay import RELAY
from benchmarks.rows.relayflood import RELAY_FLOOD
from benchmarks.rows.rest import REST
from benchmarks.rows.rootless import ROOTLESS
from benchmarks.rows.scale import CROWDS
from benchmarks.rows.tunnel import TUNNEL, TUNNEL6
from benchmarks.suite.values import Measure, Plan, Row, Setting

# Rest before load, what is compared with one stream beside it, and the harshest load last.
SETTINGS: Final[tuple[Setting[Any], ...]] = (
    REST, TUNNEL, TUNNEL6, LOSSY, RECOVERY, HANDSHAKES, *CROWDS, HUB, GATEWAY, PODS, RELAY, NAT,
    NAT_ALL, MESH_RELAY, *MESH_SIZES, ROOTLESS, PROXY, JUNK, VALID, RELAY_FLOOD,
)  # fmt: skip


def rows_of(plan: Plan) -> list[Setting[Any]]:
    """Return the settings with the rows that a plan has."""
    return _having(lambda row: row.plan <= plan)


def read_rows(text: str) -> list[Setting[Any]]:
    """Read NAME,... and return the settings with those rows alone. Raises ValueError."""
    names = text.split(",")
    known = [row.name for setting in SETTINGS for row in setting.rows]
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"there is no row {', '.join(unknown)}; want some of {','.join(known)}")
    return _having(lambda row: row.name in names)


def measures_of(settings: Sequence[Setting[Any]]) -> list[Measure]:
    return [measure for setting in settings for row in setting.rows for measure in row.measures]


def seconds_of(settings: Sequence[Setting[Any]], stream: float) -> float:
    """Return how long one turn takes, about, with streams of so many seconds."""
    rows = sum(row.seconds + row.streams * stream for setting in settings for row in setting.rows)
    return rows + sum(setting.seconds for setting in settings)


def _having(wanted: Callable[[Row[Any]], bool]) -> list[Setting[Any]]:
    chosen = [
        dataclasses.replace(setting, rows=tuple(row for row in setting.rows if wanted(row)))
        for setting in SETTINGS
    ]
    return [setting for setting in chosen if setting.rows]
