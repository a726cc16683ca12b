"""Fixtures: the lab a test powers on, the daemon under test, and the peers it must get along with.

The daemon under test is the wgpyd beside the running Python. WGPY_TEST_DAEMON names another one: with
WGPY_TEST_DAEMON=wireguard-go these tests examine themselves.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.integration.hosts import CommandFailed, Lab
from tests.integration.oracle import guest
from tests.integration.peers import Implementation, Kernel, Userspace
from tests.integration.topologies import Pair

_HERE = Path(__file__).parent
_TOOLS = ["unshare", "nsenter", "ip", "wg", "wg-quick", "nft", "ping", "sysctl"]
_LOGS = pytest.StashKey[Path]()


def _missing() -> str:
    """Return what this host lacks to run these tests, or nothing."""
    if os.geteuid() != 0:
        return "root"
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun"
    if absent := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return ", ".join(absent)
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "true"]
    if subprocess.run(unshare).returncode != 0:
        return "namespaces (unshare failed)"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mine = [item for item in items if item.path.is_relative_to(_HERE)]
    missing = _missing() if mine else ""
    for item in mine:
        item.add_marker("integration")
        if missing:
            reason = f"INTEGRATION TESTS DID NOT RUN: this host lacks {missing}"
            item.add_marker(pytest.mark.skip(reason=reason))
    # The long waits first, one for each worker, and the longest of all; then what one worker does as a whole.
    # So all workers end at the same time: run with `-n 7 --dist loadgroup --no-loadscope-reorder`.
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> tuple[bool, float, bool]:
    is_slow, is_of_a_group = (item.get_closest_marker(name) for name in ("slow", "xdist_group"))
    return is_slow is None, -_limit(item), is_of_a_group is None


def _limit(item: pytest.Item) -> float:
    """Return how many seconds a test of a longer time-out may take, 0 for others."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the machines said when a test fails."""
    report = yield
    if report.failed:
        stashes = [node.stash for node in item.listchain() if _LOGS in node.stash]
        for log in sorted(log for stash in stashes for log in stash[_LOGS].glob("*.log")):
            report.sections.append((log.name, log.read_text(errors="replace")[-8000:]))
    return report


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A network to power machines on in."""
    yield from _powered(tmp_path, request)


@pytest.fixture(scope="module")
def module_lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The same, for all tests of a file, which then belong to one xdist_group."""
    yield from _powered(tmp_path_factory.mktemp("lab"), request)


def _powered(logs: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    request.node.stash[_LOGS] = logs
    lab = Lab(logs)
    try:
        yield lab
    finally:
        lab.power_off()


@pytest.fixture(scope="session")
def program() -> str:
    """The path of the daemon under test."""
    name = os.environ.get("WGPY_TEST_DAEMON", "wgpyd")
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is neither beside {sys.executable} nor in PATH: pip install -e .")
    return found


@pytest.fixture(scope="session")
def daemon(program: str, request: pytest.FixtureRequest) -> Implementation:
    """The implementation under test. Parameter: its environment; see peers.on_both_data_paths."""
    return Userspace(program, getattr(request, "param", ()))


@pytest.fixture(scope="session")
def wireguard_go() -> Implementation:
    """Debian's: Tailscale's fork has the same name, may come first in PATH, and follows no roaming peer."""
    program = Path("/usr/bin/wireguard-go")
    if not program.exists():
        pytest.skip("wireguard-go is not installed: apt-get install wireguard-go")
    return Userspace(str(program))


@pytest.fixture(scope="session")
def kernel() -> Implementation:
    try:
        return Kernel(guest.kernel())
    except CommandFailed as error:
        pytest.skip(f"no kernel to test against: {error}")


@pytest.fixture(params=["daemon", "wireguard_go", "kernel"])
def peer(request: pytest.FixtureRequest) -> Implementation:
    """Each kind of peer in turn."""
    implementation: Implementation = request.getfixturevalue(request.param)
    return implementation


@pytest.fixture
def pair(lab: Lab, daemon: Implementation) -> Pair:
    """Two peers of the daemon under test with a running session."""
    pair = Pair.build(lab, daemon, daemon)
    pair.introduce()
    pair.left.ping(pair.right)
    return pair
