"""Fixtures: the control plane that the tests of one process share, and the lab of a cluster.

The program with all components is built by `component/build.sh`, which `./run test` starts.
"""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.integration import cgroups
from tests.kubernetes import components
from tests.kubernetes.cluster import Cluster, running
from tests.kubernetes.controlplane import ControlPlane

_HERE = Path(__file__).parent
_LOGS = pytest.StashKey[list[Path]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker("integration")
            if item.get_closest_marker("xdist_group") is None:  # so that there is one control plane
                item.add_marker(pytest.mark.xdist_group("control-plane"))
            if missing := _missing(item.get_closest_marker("root") is not None):
                item.add_marker(pytest.mark.skip(reason=f"KUBERNETES TESTS DID NOT RUN: {missing}"))


def _missing(has_nodes: bool) -> str:
    """Return what is to be done before a test can run, or nothing. Raises UsageError where all must run."""
    missing = ""
    if not components.program().exists():
        missing = f"run {components.BUILD} once, which takes ten minutes"
    elif has_nodes and not components.runtime("usr/bin/containerd").exists():
        missing = f"{components.BUILD} found no containerd"
    if missing and os.environ.get("CI") == "true":
        raise pytest.UsageError(f"KUBERNETES TESTS CANNOT RUN: {missing}")
    if has_nodes and not os.access("/sys/fs/cgroup", os.W_OK):
        return "a node needs cgroups, which real root may make"
    return missing


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the components said when a test fails."""
    report = yield
    if report.failed:
        folders = item.session.stash.get(_LOGS, [])
        for log in sorted(log for folder in folders for log in folder.glob("*.log")):
            report.sections.append((log.name, log.read_text(errors="replace")[-4000:]))
    return report


@pytest.fixture(scope="session")
def log_folder(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str], Path]:
    """Makes a folder whose logs are shown when a test fails."""

    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        request.session.stash.setdefault(_LOGS, []).append(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def cgroup() -> Iterator[None]:
    """The cgroup of this process, for those of its nodes."""
    cgroups.remove_old()
    yield
    cgroups.remove_own()


@pytest.fixture(scope="session")
def control_plane(log_folder: Callable[[str], Path]) -> Iterator[ControlPlane]:
    """A control plane on the loopback interface: tests share it, and name what they make in it uniquely."""
    plane = ControlPlane.local(log_folder("control-plane"))
    try:
        yield plane
    finally:
        plane.end()


@pytest.fixture(scope="session")
def cluster(log_folder: Callable[[str], Path], cgroup: None) -> Iterator[Cluster]:
    """A cluster with a service; its tests belong to one xdist_group, and leave it as it was."""
    with running(Cluster.boot, log_folder("cluster")) as cluster:
        yield cluster
