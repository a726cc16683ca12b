"""The record of a run: all that a report needs, in one JSON file."""

import dataclasses
import json
import math
import os
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.processor import processor_name
from benchmarks.suite.values import Kind, Measure

FORMAT: Final = "wgpy benchmark"
VERSION: Final = 2


class RecordUnreadable(Exception):
    """A file is no record, or one of another version; the message says which file and why."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An implementation did not do something in a round; what it had not done yet is not measured then."""

    implementation: str
    round: int
    doing: str
    reason: str

    @property
    def sentence(self) -> str:
        return f"{self.implementation} failed in round {self.round}, {self.doing}: {self.reason}"


@dataclass(slots=True)
class Results:
    """Samples by implementation, measure and round, what went wrong, and what was not tried, a sentence each.

    Rounds count from 1.
    """

    samples: dict[str, dict[str, dict[int, float]]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def taken(self, implementation: str, measure: str) -> list[float]:
        """Return the samples of a measure in the order of the rounds; none if it was not measured."""
        return list(self.samples.get(implementation, {}).get(measure, {}).values())


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run was measured on.

    processor: its name and microarchitecture; memory: MiB; virtual: whether below a hypervisor; load: before
    the run; congestion: how TCP controls it.
    """

    processor: str
    processors: int
    memory: int
    virtual: bool
    kernel: str
    system: str
    python: str
    load: float
    congestion: str = ""

    @classmethod
    def here(cls) -> "Machine":
        """Describe this machine as it is now."""
        cpuinfo = Path("/proc/cpuinfo").read_text()
        flags = re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE)
        return cls(
            processor=processor_name(cpuinfo, platform.machine()),
            processors=len(os.sched_getaffinity(0)),
            memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
            virtual=flags is not None,
            kernel=f"{platform.release()} {platform.machine()}",
            system=_system(),
            python=platform.python_version(),
            load=os.getloadavg()[0],
            congestion=Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """One run.

    date: of its beginning, ISO 8601, UTC; host: its name; rounds: that were planned; seconds: of each stream;
    measures: all that were to be measured, in the order of the table.
    """

    date: str
    host: str
    machine: Machine
    plan: str
    rounds: int
    seconds: float
    implementations: list[Implementation]
    measures: list[Measure]
    results: Results = field(default_factory=Results)

    def write(self, path: Path) -> None:
        """Write the file, or leave one that is there as it is. Raises OSError."""
        text = json.dumps(_record_to_json(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        if path.exists() and not path.is_file():  # a terminal, a pipe: nothing can take its place
            path.write_text(text, encoding="utf-8")
            return
        unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            with unfinished.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Raises RecordUnreadable."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RecordUnreadable(f"{path} cannot be read: {error.strerror}") from None
        except ValueError:
            raise RecordUnreadable(f"{path} is no record of a benchmark: it is not JSON") from None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise RecordUnreadable(f"{path} is no record of a benchmark")
        if found.get("version") != VERSION:
            raise RecordUnreadable(f"{path} is of version {found.get('version')}; this reads {VERSION}")
        try:
            return _record_from_json(found)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RecordUnreadable(f"{path} is damaged: {type(error).__name__}: {error}") from None


def _record_to_json(record: Record) -> dict[str, Any]:
    fields = dataclasses.asdict(record)
    for implementation in fields["implementations"]:
        implementation["role"] = implementation["role"].value
        implementation["kind"] = implementation["kind"].value
    fields["measures"] = [
        {key: None if value == math.inf else value for key, value in measure.items()}  # JSON has no infinity
        for measure in fields["measures"]
    ]
    return {"format": FORMAT, "version": VERSION, **fields}


def _record_from_json(found: dict[str, Any]) -> Record:
    """Raises whatever Python does where something is missing, unknown or of another type."""
    return Record(
        date=str(found["date"]),
        host=str(found["host"]),
        machine=Machine(**found["machine"]),
        plan=str(found["plan"]),
        rounds=int(found["rounds"]),
        seconds=float(found["seconds"]),
        implementations=[
            Implementation(
                **{
                    **one,
                    "role": Role(one["role"]),
                    "kind": Kind(one["kind"]),
                    "command": tuple(one["command"]),
                }
            )
            for one in found["implementations"]
        ],
        measures=[Measure(**_with_infinity(measure)) for measure in found["measures"]],
        results=_results_from_json(found["results"]),
    )


def _with_infinity(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: math.inf if value is None else value for key, value in fields.items()}


def _results_from_json(found: dict[str, Any]) -> Results:
    return Results(
        samples={
            str(implementation): {
                str(measure): {int(number): float(sample) for number, sample in by_round.items()}
                for measure, by_round in by_measure.items()
            }
            for implementation, by_measure in found["samples"].items()
        },
        failures=[Failure(**failure) for failure in found["failures"]],
        left_out=[str(sentence) for sentence in found["left_out"]],
    )


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()
