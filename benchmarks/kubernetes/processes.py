"""What runs on the hosts of a cluster: its processes, by what they are for, their memory and their time."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.suite.readings import read_pss
from tests.integration.hosts import Host

PARTS = ("control plane", "nodes", "mesh")
_TICKS = os.sysconf("SC_CLK_TCK")
_CONTROL_PLANE = {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}
_MESH = {"wgpyd", "wgmesh"}


@dataclass(frozen=True, slots=True)
class Load:
    """What the processes of some hosts take, by part. memory: PSS in MiB; seconds: of a processor, so far."""

    processes: Counter[str]
    memory: Mapping[str, float]
    seconds: float


def read(hosts: Iterable[Host]) -> Load:
    processes, memory, seconds = Counter[str](), dict.fromkeys(PARTS, 0.0), 0.0
    for process in (process for host in hosts for process in _processes(host)):
        with suppress(OSError):  # it has ended meanwhile
            size = read_pss((process / "smaps_rollup").read_text())
            seconds += _seconds((process / "stat").read_text())
            part = part_of((process / "cmdline").read_text().split("\0"))
            processes[part] += 1
            memory[part] += size
    return Load(processes, memory, seconds)


def _processes(host: Host) -> Iterator[Path]:
    """Give the folders in /proc of a host, also of the pods there, without the first: it only is the host."""
    yield from (folder for folder in host.path("/proc").glob("[0-9]*") if folder.name != "1")


def part_of(words: Iterable[str]) -> str:
    """Return which part a command is of, by its words."""
    names = {Path(word).name for word in words}
    if names & _CONTROL_PLANE:
        return "control plane"
    return "mesh" if names & _MESH else "nodes"


def _seconds(stat: str) -> float:
    """Return the seconds that a process, and those that ended below it, ran; proc(5)."""
    after_name = stat.rpartition(")")[2].split()  # begins with the third field
    return sum(map(int, after_name[11:15])) / _TICKS
