"""The implementations of WireGuard that this host has, and the limit they are measured against."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from benchmarks.compiler import build

_LIMIT: Final = Path(__file__).parents[1] / "limit"
_WGPY: Final = Path(__file__).parents[2] / "wgpy"
_TOLD: Final = ("{interface}", "{port}", "{remote}", "{port}")
_GO_MODULES: Final = {
    "golang.zx2c4.com/wireguard": "wireguard-go",
    "github.com/tailscale/wireguard-go": "tailscale",
}
# What the Go linker writes into a program: the module it was built from, and its version.
_GO_BUILD: Final = re.compile(rb"\nmod\t(\S+)\t(\S+)")


class Role(Enum):
    """What an implementation is compared as."""

    OURS = "ours"
    PEER = "peer"
    LIMIT = "limit"
    RULER = "ruler"  # as little of a daemon as the limit, but nothing is compared with it


@dataclass(frozen=True, slots=True)
class Implementation:
    """A program that makes a tunnel interface and stays in the foreground.

    command: {interface} stands for the name of the interface, {remote} and {port} for the other end's, which
    only a limit or a ruler has to be told.
    """

    name: str
    role: Role
    command: tuple[str, ...]
    version: str = ""

    @property
    def is_daemon(self) -> bool:
        """Whether it has to be configured, and has a cipher to be configured with."""
        return self.role in (Role.OURS, Role.PEER)


def read_implementation(text: str) -> Implementation:
    """Read NAME=COMMAND. The interface is appended unless the command says {interface}.

    A name that begins with wgpy is one of ours. Raises ValueError.
    """
    name, equals, command = text.partition("=")
    words = shlex.split(command)
    if not (name and equals and words):
        raise ValueError(f"{text!r} is not NAME=COMMAND, as in 'mine=/usr/local/bin/mine --foreground'")
    if not any("{interface}" in word for word in words):
        words.append("{interface}")
    return Implementation(name, Role.OURS if name.startswith("wgpy") else Role.PEER, tuple(words))


def find_implementations() -> list[Implementation]:
    """Return every daemon that is in its usual place; of two builds of one implementation the newer kind."""
    found: dict[str, Implementation] = {}
    for implementation in _candidates():
        found.setdefault(implementation.name, implementation)
    return list(found.values())


def build_limit(folder: Path) -> Implementation:
    """Build the limit program in a folder. Raises BuildFailed."""
    program = build(folder / "limit", [_LIMIT / "limit.c"], "-march=native", "-pthread")
    return Implementation("limit", Role.LIMIT, (str(program), *_TOLD), "null cipher")


def build_structures(folder: Path) -> list[Implementation]:
    """Build the C data path without Python, with its cipher and with none. Raises BuildFailed."""
    fastpath = _WGPY / "fastpath"
    sources = [_LIMIT / "structure.c", _WGPY / "_fastpath.c", *sorted(fastpath.glob("*.c"))]
    program = build(folder / "structure", sources, "-I", str(fastpath), "-pthread")
    return [
        Implementation(f"structure-{cipher}", Role.RULER, (str(program), *_TOLD, cipher), "C data path")
        for cipher in ("null", "aead")
    ]


def go_build(program: Path) -> tuple[str, str]:
    """Return the module and version that a Go program was built from; empty for other programs."""
    found = _GO_BUILD.search(program.read_bytes())
    return (found[1].decode(), found[2].decode()) if found else ("", "")


def _candidates() -> Iterator[Implementation]:
    """Yield what is found, the better of two of one name first."""
    for program in _programs("wgpyd", Path(sys.executable).parent):
        yield Implementation("wgpyd", Role.OURS, (program, "-f", "{interface}"), _said_version(program))
    for file in ("wireguard", "wireguard-go"):  # `go install` calls it wireguard, Debian wireguard-go
        for program in _programs(file, Path.home() / "go" / "bin"):
            module, version = go_build(Path(program))
            name = _GO_MODULES.get(module, "wireguard-go" if file == "wireguard-go" else "")
            if name:
                version = version or _said_version(program)
                yield Implementation(name, Role.PEER, (program, "-f", "{interface}"), version)
    # They would change to the user who logged in, where nobody need have done so.
    options = ("-f", "--disable-drop-privileges")
    for name, file in (("gotatun", "gotatun"), ("boringtun", "boringtun-cli")):
        for program in _programs(file, Path.home() / ".cargo" / "bin"):
            command = (program, *options, "{interface}")
            yield Implementation(name, Role.PEER, command, _said_version(program))


def _programs(file: str, usual: Path) -> Iterator[str]:
    """Yield the paths of a program: in the folder where it usually is, and in PATH."""
    if (usual / file).is_file():
        yield str(usual / file)
    if program := shutil.which(file):
        yield program


def _said_version(program: str) -> str:
    """Return the first line of what a program says of its version."""
    lines = _output([program, "--version"]).splitlines()
    return lines[0].strip() if lines else ""


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout
