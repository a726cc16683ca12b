"""Cgroups of hosts: kubelet and systemd make theirs below one that must be there; kubelet in every hierarchy.

Hosts of the lab end with this process and cgroups do not: so their names say whose they are, and the next run
removes what a killed one has left.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.integration.hosts import eventually

_CGROUPS = Path("/sys/fs/cgroup")
_PREFIX = "wgpy-tests-"


def remove_old() -> None:
    """Remove what tests that were killed have left: their processes have ended with them."""
    for cgroup in {folder.name for tree in _trees() for folder in tree.glob(f"{_PREFIX}*")}:
        pid, started = cgroup.removeprefix(_PREFIX).split("-")
        if _start_time(int(pid)) != int(started):
            remove(cgroup)


def remove_own() -> None:
    remove(own())


def remove(name: str) -> None:
    """Remove it from every tree, as soon as the last of its processes is gone."""
    eventually(lambda: all(_remove(tree / name) for tree in _trees()), f"{name} is empty")


def _remove(cgroup: Path) -> bool:
    with suppress(OSError):  # a process is still ending
        for folder, _, _ in os.walk(cgroup, topdown=False):
            Path(folder).rmdir()
    return not cgroup.exists()


def own() -> str:
    """Return the name of this process's, which no other process has or had."""
    return f"{_PREFIX}{os.getpid()}-{_start_time(os.getpid())}"


def _start_time(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def _is_unified() -> bool:
    """Say whether this machine has version 2 of cgroups only."""
    return (_CGROUPS / "cgroup.controllers").exists()


def _trees() -> list[Path]:
    """Return where each hierarchy is mounted."""
    return [_CGROUPS] if _is_unified() else [mounted for mounted, _, _ in _mounted_cgroups()]


def unified() -> Path | None:
    """Return where version 2 is mounted, None if it is nowhere."""
    return next((place for place, kind, _ in _mounted_cgroups() if kind == "cgroup2"), None)


def _mounted_cgroups() -> Iterator[tuple[Path, str, str]]:
    """Give each hierarchy of cgroups: where the system has it mounted, its kind and its options."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind in {"cgroup", "cgroup2"} and Path(place).is_relative_to(_CGROUPS):  # others may mount it, too
            yield Path(place), kind, options


def mounts() -> Iterator[str]:
    """Give the commands that mount on a host what is mounted here: its /sys is another."""
    if not _is_unified():
        yield f"mount -t tmpfs tmpfs {_CGROUPS}"
    for place, kind, options in _mounted_cgroups():
        mine = ",".join(option for option in options.split(",") if option not in {"rw", "relatime"})
        yield f"mkdir -p {place}; mount -t {kind} {f'-o {mine}' if mine else ''} {kind} {place}"


def make(name: str) -> None:
    """Make it in every tree, with all controllers and processors that its parent has."""
    for tree in _trees():
        cgroup = tree
        for part in Path(name).parts:
            _delegate(cgroup)
            cgroup /= part
            cgroup.mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if not _is_unified() and (cgroup / setting).exists():
                    (cgroup / setting).write_text((cgroup.parent / setting).read_text())
        _delegate(cgroup)


def _delegate(cgroup: Path) -> None:
    if _is_unified():
        controllers = (cgroup / "cgroup.controllers").read_text().split()
        (cgroup / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
