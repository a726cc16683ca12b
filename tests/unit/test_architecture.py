"""Who may import whom, read from the source.

A room is a package or a module. Of ours, each may use itself and the rooms that `ROOMS` names for it. What is
sans-IO touches no socket, no clock and no randomness of its own.
"""

import ast
import gc
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[2]
WGPY = ROOT / "wgpy"

IMPURE: Final = {
    "asyncio", "logging", "os", "random", "secrets", "select", "socket", "threading", "time", "uvloop",
}  # fmt: skip
SANS_IO: Final = (
    "wgpy.device_update",
    "wgpy.contract",
    "wgpy.datapath",
    "wgpy.device",
    "wgpy.dns",
    "wgpy.engine",
    "wgpy.kubernetes",
    "wgpy.mesh",
    "wgpy.model",
    "wgpy.paths",
    "wgpy.ratelimiter",
    "wgpy.transport.demultiplexer",
)

_VALUES: Final = {"wgpy.contract", "wgpy.address", "wgpy.keys", "wgpy.number"}
# What is not named here may use everything of wgpy: it joins the parts, or is a program.
ROOMS: Final[dict[str, set[str]]] = {
    "wgpy.contract": set(),
    "wgpy.engine": {"wgpy.contract", "wgpy.ratelimiter", "wgpy._fastpath"},
    "wgpy.datapath": {"wgpy.contract", "wgpy._fastpath"},
    "wgpy.paths": {"wgpy.contract", "wgpy.engine.crypto", "wgpy.address"},
    "wgpy.number": {"wgpy.contract"},
    "wgpy.address": {"wgpy.contract", "wgpy.number"},
    "wgpy.keys": {"wgpy.contract", "wgpy.engine.crypto"},
    "wgpy.config": {*_VALUES, "wgpy.model", "wgpy.config_values"},
    "wgpy.config_values": {*_VALUES, "wgpy.model"},
    "wgpy.model": _VALUES,
    "wgpy.device": {*_VALUES, "wgpy.model", "wgpy.engine", "wgpy.datapath", "wgpy.paths"},
    "wgpy.device_update": {
        *_VALUES,
        "wgpy.device",
        "wgpy.model",
        "wgpy.engine.peer",
        "wgpy.datapath",
        "wgpy.paths",
    },
    "wgpy.sansio": {*_VALUES, "wgpy.config", "wgpy.datapath.portable", "wgpy.device", "wgpy.device_update"},
    "wgpy.uapi": {*_VALUES, "wgpy.model"},
    "wgpy.lazy_log": set(),
    "wgpy.loop": {"wgpy.lazy_log"},
    "wgpy.ratelimiter": {"wgpy.contract"},
    "wgpy.transport": {"wgpy.contract", "wgpy.ratelimiter"},
    "wgpy.host": {"wgpy.contract", "wgpy.lazy_log"},
    "wgpy.dns": {"wgpy.address", "wgpy.contract"},
    "wgpy.endpoint_names": {*_VALUES, "wgpy.config"},
    "wgpy.tunnel": {
        *_VALUES,
        "wgpy.endpoint_names",
        "wgpy.config",
        "wgpy.config_values",
        "wgpy.model",
        "wgpy.datapath",
        "wgpy.device",
        "wgpy.driver",
        "wgpy.engine.actions",
        "wgpy.host",
    },
    "wgpy.kubernetes": {"wgpy.address", "wgpy.contract"},
    "wgpy.proxy": {
        *_VALUES,
        "wgpy.datapath.packet",
        "wgpy.datapath.unreachable",
        "wgpy.host.bootclock",
        "wgpy.model",
        "wgpy.node.http",
        "wgpy.prometheus",
        "wgpy.tunnel",
    },
    "wgpy.mesh": _VALUES,
    "wgpy.node": {
        *_VALUES,
        "wgpy.mesh",
        "wgpy.host.disk",
        "wgpy.host.netlink",
        "wgpy.host.resolv_conf",
        "wgpy.paths.nat64",
    },
}


def sources(room: str) -> list[Path]:
    """The files of a room, none if it is not there."""
    path = ROOT.joinpath(*room.split("."))
    module = path.with_suffix(".py")
    return sorted(path.rglob("*.py")) or ([module] if module.is_file() else [])


def module_name(path: Path, root: Path = ROOT) -> str:
    below = path.relative_to(root / "daemon" if path.is_relative_to(root / "daemon") else root)
    return ".".join(below.with_suffix("").parts).removesuffix(".__init__")


# By name.
MODULES: Final = {
    module_name(path): path for folder in ("wgpy", "daemon") for path in sorted((ROOT / folder).rglob("*.py"))
}


SOURCES: Final = sorted(
    path
    for folder in ("wgpy", "daemon", "tests", "benchmarks", "examples")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".c", ".h")
)


def cases(*rooms: str) -> list[object]:
    return [
        pytest.param(room, path, id=f"{path.relative_to(ROOT)}") for room in rooms for path in sources(room)
    ]


@pytest.mark.parametrize(("room", "path"), cases(*ROOMS))
def test_a_room_uses_only_the_rooms_below_it(room: str, path: Path) -> None:
    allowed = (room, *ROOMS[room])

    assert not [name for name in ours(path) if not any(is_within(name, one) for one in allowed)]


@pytest.mark.parametrize(("room", "path"), cases(*SANS_IO))
def test_what_is_sans_io_does_not_touch_the_world(room: str, path: Path) -> None:
    assert not {name for name in imports(path) if name.partition(".")[0] in IMPURE}


def test_only_the_device_carries_out_what_the_engine_wants() -> None:
    taking = {path.relative_to(WGPY) for path in WGPY.rglob("*.py") if ".take_actions()" in path.read_text()}

    assert taking == {Path("device.py")}


def test_the_library_imports_no_daemon() -> None:
    imported = {
        name
        for path in WGPY.rglob("*.py")
        for name in imports(path)
        if name.partition(".")[0] in ("wgpyd", "wgmesh")
    }

    assert not imported


@pytest.mark.parametrize("path", sources("daemon.wgmesh"), ids=lambda path: path.stem)
def test_the_coordinator_knows_the_mesh_and_nothing_of_tunnels(path: Path) -> None:
    tunnels = ("wgpy.datapath", "wgpy.engine", "wgpy.driver", "wgpy.host.tun", "wgpyd")

    assert not [name for name in imports(path) if any(is_within(name, one) for one in tunnels)]


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = TopologicalSorter(
        {
            module: {name for name in imports(path) if name in MODULES and name != module}
            for module, path in MODULES.items()
        }
    )

    graph.prepare()  # raises CycleError, which names them


def test_no_file_has_more_than_500_lines() -> None:
    assert not [path.name for path in SOURCES if line_count(path) > 500]


def test_the_agent_hands_on_in_less_than_150_lines() -> None:
    assert line_count(ROOT / "daemon" / "wgpyd" / "agent" / "agent.py") < 150


def test_an_import_is_seen_wherever_and_however_it_is_written(tmp_path: Path) -> None:
    engine = tmp_path / "wgpy" / "engine"
    engine.mkdir(parents=True)
    (engine / "peer.py").touch()
    module = engine / "module.py"
    module.write_text(
        "import time\n"
        "def f():\n"
        "    from . import peer\n"
        "    from .noise import create_initiation\n"
        "    from ..keys import Key\n"
        "    from wgpy.engine import peer\n"
    )

    seen = ["time", "wgpy.engine.peer", "wgpy.engine.noise", "wgpy.keys", "wgpy.engine.peer"]
    assert list(imports(module, root=tmp_path)) == seen


# -- Helpers -------------------------------------------------------------------------------------


def line_count(path: Path) -> int:
    return len(path.read_text().splitlines())


def is_within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def ours(path: Path) -> set[str]:
    """The modules of wgpy that a file imports."""
    return {name for name in imports(path) if name.partition(".")[0] == "wgpy"}


def imports(path: Path, root: Path = ROOT) -> Iterator[str]:
    """The full names of the modules a file below root imports, at its top or inside of functions."""
    package = module_name(path, root).split(".")[: None if path.stem == "__init__" else -1]
    for node in ast.walk(parsed(path)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                above = package[: len(package) + 1 - level] if level else ()
                base = ".".join([*above, *([module] if module else [])])
                yield from dict.fromkeys(module_of(base, name.name, root) for name in names)


def parsed(path: Path) -> ast.Module:
    """Parse while no garbage is collected.

    In CPython 3.11 ast.parse raises SystemError if a finalizer of another test's garbage, which formats a
    traceback and so parses, runs meanwhile.
    """
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()


def module_of(base: str, name: str, root: Path) -> str:
    """What `from base import name` loads: base.name if that is a module, else base."""
    inner = [folder.joinpath(*base.split("."), name) for folder in (root, root / "daemon")]
    is_module = any(path.is_dir() or path.with_suffix(".py").is_file() for path in inner)
    return f"{base}.{name}" if is_module else base
