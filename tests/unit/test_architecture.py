"""Who may import whom, read from the source.

The engine, the portable data path and the mesh are sans-IO: no sockets, no clock, no randomness of their own.
The first two know only each other's values, and `interface` is the one place that joins them.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WGPY = ROOT / "wgpy"

ENGINE = sorted((WGPY / "engine").glob("*.py"))
MESH = sorted((WGPY / "mesh").glob("*.py"))
DATAPATH = sorted((WGPY / "datapath").glob("*.py"))
COORDINATOR = sorted((ROOT / "daemon" / "wgmesh").glob("*.py"))
IMPURE = {"asyncio", "logging", "os", "random", "secrets", "select", "socket", "threading", "time", "uvloop"}
VALUES = {"actions", "constants", "crypto", "endpoint", "errors", "events", "messages"}
# The drivers, one for the real world and one for the simulated; the package itself only names what is public.
JOINS = {"interface", "testing", "__init__"}


@pytest.mark.parametrize("path", ENGINE + DATAPATH + MESH, ids=lambda path: path.stem)
def test_neither_engine_nor_data_path_nor_mesh_touches_the_world(path: Path) -> None:
    assert not {name for name in imports(path) if name.partition(".")[0] in IMPURE}


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.stem)
def test_the_engine_imports_only_itself_of_wgpy(path: Path) -> None:
    assert not {name for name in ours(path) if not name.startswith("wgpy.engine")}


@pytest.mark.parametrize("path", DATAPATH, ids=lambda path: path.stem)
def test_the_data_path_knows_the_values_of_the_engine_and_nothing_of_handshakes(path: Path) -> None:
    allowed = {"wgpy._fastpath", *(f"wgpy.engine.{name}" for name in VALUES)}

    assert not {name for name in ours(path) if not name.startswith("wgpy.datapath") and name not in allowed}


@pytest.mark.parametrize("path", MESH, ids=lambda path: path.stem)
def test_the_mesh_knows_keys_and_endpoints_and_nothing_else_of_wgpy(path: Path) -> None:
    allowed = {"wgpy.keys", "wgpy.engine.endpoint"}

    assert not {name for name in ours(path) if not name.startswith("wgpy.mesh") and name not in allowed}


def test_the_library_imports_no_daemon_and_one_command_makes_a_coordinator() -> None:
    importing = {
        path.relative_to(WGPY)
        for path in WGPY.rglob("*.py")
        if any(name.partition(".")[0] in ("wgpyd", "wgmesh") for name in imports(path))
    }

    assert importing <= {Path("cli/mesh/init.py")}


@pytest.mark.parametrize("path", COORDINATOR, ids=lambda path: path.stem)
def test_the_coordinator_knows_the_mesh_and_nothing_of_tunnels(path: Path) -> None:
    tunnels = ("wgpy.datapath", "wgpy.engine", "wgpy.interface", "wgpy.traffic", "wgpy.tun", "wgpyd")

    assert not {name for name in imports(path) if name.startswith(tunnels)}


def test_only_the_drivers_join_engine_and_data_path() -> None:
    joining = {
        path.relative_to(WGPY).parts[0].removesuffix(".py")
        for path in WGPY.rglob("*.py")
        if {"wgpy.engine.device", "wgpy.datapath.portable"} <= ours(path)
    }

    assert joining <= JOINS


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


def ours(path: Path) -> set[str]:
    """The modules of wgpy that a file imports."""
    return {name for name in imports(path) if name.partition(".")[0] == "wgpy"}


def imports(path: Path, root: Path = ROOT) -> Iterator[str]:
    """The full names of the modules a file below root imports, at its top or inside of functions."""
    package = path.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                above = package[: len(package) + 1 - level] if level else ()
                base = ".".join([*above, *([module] if module else [])])
                yield from dict.fromkeys(module_of(base, name.name, root) for name in names)


def module_of(base: str, name: str, root: Path) -> str:
    """What `from base import name` loads: base.name if that is a module, else base."""
    inner = root.joinpath(*base.split("."), name)
    return f"{base}.{name}" if inner.is_dir() or inner.with_suffix(".py").is_file() else base
