"""What a person gets who installs wgpy: from the clone to an import, and what happens without a compiler.

Everything is built from a copy of the clone's files, so a stale build directory cannot hide a gap.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

import wgpy
from tests import clone

NOT_FOR_USERS = {".ci/run", ".gitignore"}

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="there is no dpkg-deb here")
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")


def test_the_hand_written_c_file_was_not_overwritten_by_cffi() -> None:
    assert "_cffi_" not in (clone.ROOT / "wgpy/_fastpath.c").read_text().lower()


def test_importing_wgpy_loads_neither_cryptography_nor_asyncio() -> None:
    loaded = python(sys.executable, "import sys, wgpy; print(*sys.modules)").split()

    assert "wgpy" in loaded
    assert not {"asyncio", "cryptography", "nacl", "socket", "wgpy.keys"} & set(loaded)


@pytest.mark.parametrize("name", wgpy.__all__)
def test_a_public_name_can_be_had_and_is_listed(name: str) -> None:
    assert getattr(wgpy, name)
    assert name in dir(wgpy)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Tunnle'"):
        wgpy.Tunnle  # noqa: B018  # type: ignore[attr-defined]


def test_the_source_distribution_holds_every_file_of_the_clone(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}

    assert clone.files() - held <= NOT_FOR_USERS


@needs_compiler
def test_the_wheel_serves_every_python_from_3_11_on(wheel: Path) -> None:
    assert "-cp311-abi3-" in wheel.name


@needs_compiler
def test_the_wheel_holds_what_runs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert "wgpy/_fastpath.abi3.so" in names
    assert {"wgpy/py.typed", "wgpy/cli/page/static/index.html"} <= set(names)
    assert {"wgpyd/__init__.py", "wgmesh/__init__.py"} <= set(names)
    assert any(name.endswith("/data/lib/systemd/system/wgpyd-mesh@.service") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"wgmesh", "wgpy", "wgpyd"}
    assert not [name for name in names if name.endswith((".c", ".h")) or name.startswith("wgpy/fastpath")]


def test_the_hand_written_c_file_is_in_the_source_distribution_as_it_is(unpacked: Path) -> None:
    assert (unpacked / "wgpy/_fastpath.c").read_bytes() == (clone.ROOT / "wgpy/_fastpath.c").read_bytes()


@needs_compiler
def test_the_wheel_runs_in_a_clean_virtual_environment(wheel: Path, tmp_path: Path) -> None:
    interpreter = clean_environment(tmp_path)

    pip(interpreter, "install", str(wheel))

    program = "import wgpy, wgpy.datapath.native as n; print(n.available(), wgpy.PrivateKey.generate())"
    assert python(interpreter, program) == "True PrivateKey(hidden)"


@pytest.mark.parametrize("compiler", ["/bin/false", "no-such-compiler"])
def test_without_a_compiler_it_builds_with_the_portable_path_only_and_says_so(
    compiler: str, sdist: Path, tmp_path: Path
) -> None:
    interpreter = clean_environment(tmp_path)

    said = build("wheel", unpack(sdist, tmp_path / "source"), tmp_path, env={"CC": compiler})
    pip(interpreter, "install", "--no-deps", str(only(tmp_path.glob("*.whl"))))

    assert "the portable one in Python is installed" in said
    program = "import wgpy, importlib.util as u; print(u.find_spec('wgpy._fastpath'))"
    assert python(interpreter, program) == "None"


def test_the_wheel_for_all_other_hosts_has_no_c_and_is_of_no_platform(dist: Path) -> None:
    with zipfile.ZipFile(only(dist.glob("*-py3-none-any.whl"))) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".so", ".c", ".h"))]


def test_packages_are_the_same_bytes_whoever_makes_them(dist: Path, unpacked: Path, tmp_path: Path) -> None:
    """Here who has the source distribution alone, unpacked elsewhere, and whose files are nobody else's."""
    again = tmp_path / "dist"

    package(unpacked, again, umask=0o077)

    names = [path.name for path in dist.iterdir()]
    assert len(names) == (4 if shutil.which("cc") and shutil.which("dpkg-deb") else 2)
    assert [(again / name).read_bytes() for name in names] == [(dist / name).read_bytes() for name in names]


@needs_compiler
@needs_dpkg
def test_what_the_debian_package_installs_runs(dist: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "-x", str(only(dist.glob("*.deb"))), str(tmp_path))

    modules = {"PYTHONPATH": str(tmp_path / "usr/lib/python3/dist-packages")}
    for program in ("wgpy", "wgpyd"):
        said = run(sys.executable, str(tmp_path / "usr/bin" / program), "--version", cwd="/", env=modules)
        assert said == f"{program} {wgpy.__version__}\n"
    found = "import wgpy, wgpy.datapath.native as n; print(n.available(), wgpy.__file__)"
    assert run(sys.executable, "-c", found, cwd="/", env=modules).startswith(
        f"True {tmp_path}/usr/lib/python3/"
    )


@needs_compiler
@pytest.mark.skipif(
    shutil.which("lintian") is None, reason="lintian is not installed: `./run package` asks it, too"
)
def test_the_debian_package_keeps_to_debians_policy(dist: Path) -> None:
    said = run("lintian", "--allow-root", "--fail-on", "error", str(only(dist.glob("*.deb"))))

    assert "E: " not in said


# -- Helpers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `./run package` makes, but for other hosts than this."""
    pytest.importorskip("sqlalchemy", reason="the coordinator, which has a man page, is not installed here")
    out = tmp_path_factory.mktemp("made") / "dist"
    package(clone.copy_to(tmp_path_factory.mktemp("clone")), out)
    return out


@pytest.fixture(scope="module")
def sdist(dist: Path) -> Path:
    return only(dist.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(sdist, tmp_path_factory.mktemp("unpacked"))


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return only(dist.glob("*-linux_*.whl"))


def only(paths: Iterable[Path]) -> Path:
    (path,) = paths
    return path


def unpack(sdist: Path, directory: Path) -> Path:
    """The one folder that a source distribution consists of, below a directory."""
    with tarfile.open(sdist) as archive:
        archive.extractall(directory, filter="data")
    return only(directory.iterdir())


def clean_environment(directory: Path) -> str:
    """The interpreter of a new virtual environment in which nothing is installed."""
    run(sys.executable, "-m", "venv", "--without-pip", str(directory / "venv"))
    return str(directory / "venv/bin/python")


def build(what: str, source: Path, out: Path, env: Mapping[str, str] | None = None) -> str:
    command = (
        sys.executable,
        "-m",
        "build",
        f"--{what}",
        "--no-isolation",
        "--outdir",
        str(out),
        str(source),
    )
    return run(*command, env=env)


def package(source: Path, out: Path, umask: int = 0o022) -> None:
    platforms = ["any", *(["native"] if shutil.which("cc") and shutil.which("dpkg-deb") else [])]
    command = [sys.executable, str(source / "daemon/deploy/packages/build.py"), str(out), *platforms]
    former = os.umask(umask)
    try:
        run(*command, cwd="/")
    finally:
        os.umask(former)


def pip(interpreter: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    return run(sys.executable, "-m", "pip", "--python", interpreter, *arguments, env=env)


def python(interpreter: str, program: str) -> str:
    """Run a program outside of the clone and return what it printed."""
    return run(interpreter, "-c", program, cwd="/").strip()


def run(*command: str, cwd: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a command and return its output; a failing one fails the test with all it said."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}")
    return done.stdout
