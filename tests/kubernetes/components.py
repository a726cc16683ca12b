"""The components of Kubernetes: where their program is, and their processes.

`component/build.sh` builds the program once; it takes ten minutes of a processor, so no test waits for it.
"""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from tests.integration.hosts import die_with_parent, eventually

BUILD = Path(__file__).parent / "component" / "build.sh"


class Process(Protocol):
    """A component that runs, here or on a host."""

    def is_running(self) -> bool: ...

    def kill(self, number: signal.Signals = ..., /) -> None: ...


Launch = Callable[..., Process]  # (name, *command): starts a component that writes its log under that name


@cache
def program() -> Path:
    """Return where the program is, if it was built."""
    return Path(subprocess.run([BUILD, "--where"], check=True, capture_output=True, text=True).stdout.strip())


def release() -> str:
    """Return which release of Kubernetes it is."""
    (found,) = re.findall(
        r"^\tk8s.io/kubernetes (v\S+)$", BUILD.with_name("go.mod").read_text(), re.MULTILINE
    )
    return str(found)


def flannel() -> Path:
    """Return where flanneld is, if it was built."""
    return program().with_name("flanneld")


def runtime(path: str) -> Path:
    """Return where a file of containerd, runc or the network plugins is, if they were unpacked."""
    return program().parent / "runtime" / path


def are_built() -> bool:
    """Say whether all that a cluster needs is there."""
    return program().exists() and runtime("usr/bin/containerd").exists()


@dataclass(slots=True)
class LocalProcess:
    """A component among this process's children; it dies with this process, however that ends."""

    popen: subprocess.Popen[bytes]

    @classmethod
    def start(cls, log: Path, *command: str) -> "LocalProcess":
        with log.open("ab") as output:
            popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=log.parent,
                preexec_fn=die_with_parent, start_new_session=True,
            )  # fmt: skip
        return cls(popen)

    def is_running(self) -> bool:
        return self.popen.poll() is None

    def kill(self, number: signal.Signals = signal.SIGTERM) -> None:
        os.kill(self.popen.pid, number)


def end(process: Process) -> None:
    """Kill a component, and return when it is gone.

    An API server that is only asked to end waits for who watches.
    """
    if process.is_running():
        process.kill(signal.SIGKILL)
        eventually(lambda: not process.is_running(), "a killed component is gone")
