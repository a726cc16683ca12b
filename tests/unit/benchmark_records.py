"""Records of benchmarks, made up for the tests of their report."""

import struct
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.rows import SETTINGS, measures_of
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.record import Failure, Machine, Record, Results
from benchmarks.suite.values import Measure

MEASURES = {measure.name: measure for measure in measures_of(SETTINGS)}
TCP_1 = MEASURES["tcp_1"]
MEMORY = MEASURES["memory"]
LOST = Measure("lost", "datagrams lost", "%", more_is_better=False, wrong_from=1)
OURS = Implementation("wgpyd", Role.OURS, ("/home/someone/wgpyd", "-f", "{interface}"), "wgpyd 1.2")
OURS_TOO = Implementation("wgpyd-portable", Role.OURS, ("wgpyd-portable",))
FAST = Implementation("fast", Role.PEER, ("fast",), "v0.5")
SLOW = Implementation("slow", Role.PEER, ("slow",))
KERNEL = Implementation("kernel", Role.KERNEL, ("sh",))
LIMIT = Implementation("limit", Role.LIMIT, ("limit",))
EVERYONE = [OURS, OURS_TOO, FAST, SLOW, KERNEL, LIMIT]
MACHINE = Machine("Some(R) Processor", 2, 4096, True, "6.1 x86_64", "Some Linux", "3.11.2", 0.1)
USUAL = {
    "wgpyd": {"tcp_1": [6.0, 6.1, 5.9], "memory": [25.0, 25.1, 25.2]},
    "wgpyd-portable": {"tcp_1": [0.5, 0.5, 0.5], "memory": [30.0, 31.0, 32.0]},
    "fast": {"tcp_1": [3.0, 3.2, 3.1], "memory": [12.0, 12.5, 13.0]},
    "slow": {"tcp_1": [1.0, 1.1, 1.2], "memory": [290.0, 291.0, 292.0]},
    "kernel": {"tcp_1": [7.0, 7.1, 7.2]},
    "limit": {"tcp_1": [8.0, 8.1, 8.2], "memory": [0.4, 0.4, 0.4]},
}
SVG = "{http://www.w3.org/2000/svg}"


def results_of(samples: dict[str, dict[str, list[float]]], *failures: Failure) -> Results:
    """Return the results of rounds that all gave a sample."""
    by_round = {
        name: {measure: dict(enumerate(taken, 1)) for measure, taken in measures.items()}
        for name, measures in samples.items()
    }
    return Results(by_round, list(failures))


def record_of(samples: dict[str, dict[str, list[float]]], measures: list[Measure] | None = None) -> Record:
    """Return a run of three rounds; in it are those who have samples, and may have none."""
    return Record(
        date="2026-01-02T03:04:05+00:00",
        host="here",
        machine=MACHINE,
        plan="default",
        rounds=3,
        seconds=2,
        implementations=[one for one in EVERYONE if one.name in samples],
        measures=measures or [TCP_1, MEMORY],
        results=results_of(samples),
    )


def written(record: Record, folder: Path) -> Path:
    path = folder / "record.json"
    record.write(path)
    return path


def words(svg: Path) -> set[str]:
    """Return the texts of a picture."""
    return {"".join(text.itertext()).strip() for text in ET.parse(svg).iter(f"{SVG}text")}


def png_size(path: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]
