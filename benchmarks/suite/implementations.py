"""The implementations of WireGuard that this host has, and the limit they are measured against."""

import importlib.util
import os
import platform
import pwd
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from benchmarks.compiler import build
from benchmarks.suite.values import Kind

PEERS: Final = {  # that can be installed
    Kind.TUNNEL: ("wireguard-go", "tailscale", "gotatun", "boringtun"),
    Kind.MESH: ("tailscaled", "nebula"),
    Kind.PROXY: ("onetun", "tailscaled-socks5"),
}
PEER_RELAY: Final = "tailscaled-peer-relay"  # measured if asked for by name
# Their programs, a node's first. Tailscale's has not all that a node can do, so it is not called tailscaled.
LAB_TAILSCALE: Final = ("lab-tailscaled", "lab-tailscale")
LAB_SOCKS5: Final = "lab-tailscaled-socks5"  # the same, with its userspace network
NEBULA: Final = ("nebula", "nebula-cert")
_LIMIT: Final = Path(__file__).parents[1] / "limit"
_WGPY: Final = Path(__file__).parents[2] / "wgpy"
_TOLD: Final = ("{interface}", "{port}", "{remote}", "{port}")
_GO_MODULES: Final = {
    "golang.zx2c4.com/wireguard": "wireguard-go",
    "github.com/tailscale/wireguard-go": "tailscale",
}
# Its interface lives as long as its process, or rather as the namespace.
_KERNEL: Final = ("sh", "-c", "ip link add {interface} type wireguard && exec sleep infinity")
# What the Go linker writes into a program: the module it was built from, and its version.
_GO_BUILD: Final = re.compile(rb"\nmod\t(\S+)\t(\S+)")


class Role(Enum):
    """What an implementation is compared as."""

    OURS = "ours"
    PEER = "peer"
    KERNEL = "kernel"  # is no userspace: shown, and compared with nothing
    LIMIT = "limit"
    RULER = "ruler"  # as little of a daemon as the limit, but nothing is compared with it


@dataclass(frozen=True, slots=True)
class Implementation:
    """A program that makes a tunnel interface and stays in the foreground.

    command: {interface} stands for the name of the interface, {remote} and {port} for the other end's, which
    only a limit or a ruler has to be told. kind: of a mesh and of a proxy, command has the paths of its
    programs.
    """

    name: str
    role: Role
    command: tuple[str, ...]
    version: str = ""
    kind: Kind = Kind.TUNNEL

    @property
    def is_daemon(self) -> bool:
        """Whether it is a process that speaks WireGuard, and answers `wg` by a socket."""
        return self.role in (Role.OURS, Role.PEER)

    @property
    def has_keys(self) -> bool:
        """Whether it has to be configured by `wg`, and has a cipher to be configured with."""
        return self.is_daemon or self.role is Role.KERNEL


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
    """Return all that are in their usual places; of two builds of one implementation the newer kind."""
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


def usual_folders(below: str) -> list[Path]:
    """Return that folder of the home of who called, under sudo too, and of root's; then those of PATH."""
    homes = [Path.home()]
    if user := os.environ.get("SUDO_USER"):
        with suppress(KeyError):
            homes.insert(0, Path(pwd.getpwnam(user).pw_dir))
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return [*(home / below for home in homes), *map(Path, path)]


def programs(file: str, folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the programs of that name in some folders."""
    for folder in folders:
        program = folder / file
        if program.is_file() and os.access(program, os.X_OK):
            yield program


def _candidates() -> Iterator[Implementation]:
    """Yield what is found, the better of two of one name first."""
    for program in programs("wgpyd", [Path(sys.executable).parent, *usual_folders(".local/bin")]):
        ours, version = (str(program), "-f", "{interface}"), _said_version(program)
        yield Implementation("wgpyd", Role.OURS, ours, version)
        if importlib.util.find_spec("wgpy._fastpath"):  # else it is portable as it is
            portable = ("env", "WGPY_DATAPATH=portable", *ours)
            yield Implementation("wgpyd-portable", Role.OURS, portable, version)
    for file in ("wireguard", "wireguard-go"):  # `go install` calls it wireguard, Debian wireguard-go
        for program in programs(file, usual_folders("go/bin")):
            module, version = go_build(program)
            name = _GO_MODULES.get(module, "wireguard-go" if file == "wireguard-go" else "")
            if name:
                known = version if version not in ("", "(devel)") else _said_version(program)
                yield Implementation(name, Role.PEER, (str(program), "-f", "{interface}"), known)
    # They would change to the user who logged in, where nobody need have done so.
    options = ("-f", "--disable-drop-privileges")
    for name, file in (("gotatun", "gotatun"), ("boringtun", "boringtun-cli")):
        for program in programs(file, usual_folders(".cargo/bin")):
            command = (str(program), *options, "{interface}")
            yield Implementation(name, Role.PEER, command, _said_version(program))
    if _kernel_has_wireguard():
        yield Implementation("kernel", Role.KERNEL, _KERNEL, platform.release())
    yield from _meshes()
    yield from _proxies()


def _meshes() -> Iterator[Implementation]:
    """Yield the meshes that are found."""
    for program in programs("wgpy", [Path(sys.executable).parent]):
        yield Implementation("wgpy-mesh", Role.OURS, (str(program),), _said_version(program), kind=Kind.MESH)
    for name, files in (("tailscaled", LAB_TAILSCALE), (PEER_RELAY, LAB_TAILSCALE), ("nebula", NEBULA)):
        found = [next(programs(file, usual_folders("go/bin")), None) for file in files]
        if all(found):
            command = tuple(map(str, found))
            yield Implementation(name, Role.PEER, command, go_build(Path(command[0]))[1], kind=Kind.MESH)


def _proxies() -> Iterator[Implementation]:
    """Yield the proxies that are found."""
    for program in programs("wgpy", [Path(sys.executable).parent]):
        yield Implementation("wgpy-proxy", Role.OURS, (str(program),), _said_version(program), Kind.PROXY)
    for program in programs("onetun", usual_folders(".cargo/bin")):
        yield Implementation("onetun", Role.PEER, (str(program),), _said_version(program), Kind.PROXY)
    files = (LAB_SOCKS5, *LAB_TAILSCALE)
    found = [next(programs(file, usual_folders("go/bin")), None) for file in files]
    if all(found):
        command = tuple(map(str, found))
        version = go_build(Path(command[0]))[1]
        yield Implementation("tailscaled-socks5", Role.PEER, command, version, Kind.PROXY)


def _kernel_has_wireguard() -> bool:
    """Try it, in a network namespace that is gone at once."""
    command = ["unshare", "--net", "ip", "link", "add", "wg0", "type", "wireguard"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _said_version(program: Path) -> str:
    """Return the first line of what a program says of its version."""
    lines = _output([str(program), "--version"]).splitlines()
    return lines[0].strip() if lines else ""


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
