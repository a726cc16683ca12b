"""Fixtures: the control plane that the tests of one process share.

The program with all components is built by `component/build.sh`, which `./run test` starts.
"""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.kubernetes import components
from tests.kubernetes.controlplane import ControlPlane

_HERE = Path(__file__).parent
_LOGS = pytest.StashKey[Path]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker("integration")
            if item.get_closest_marker("xdist_group") is None:  # so that there is one control plane
                item.add_marker(pytest.mark.xdist_group("control-plane"))
            if missing := _missing(item.get_closest_marker("root") is not None):
                _skip(item, f"KUBERNETES TESTS DID NOT RUN: {missing}")


def _missing(has_nodes: bool) -> str:
    """Return what is to be done before a test can run, or nothing."""
    if not components.program().exists():
        return f"run {components.BUILD} once, which takes ten minutes"
    if has_nodes and not components.runtime("usr/bin/containerd").exists():
        return f"{components.BUILD} found no containerd"
    return ""


def _skip(item: pytest.Item, reason: str) -> None:
    if os.environ.get("CI") == "true":
        raise pytest.UsageError(reason)
    item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the components said when a test fails."""
    report = yield
    if report.failed and _LOGS in item.session.stash:
        for log in sorted(item.session.stash[_LOGS].glob("*.log")):
            report.sections.append((log.name, log.read_text(errors="replace")[-4000:]))
    return report


@pytest.fixture(scope="session")
def control_plane(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[ControlPlane]:
    """A control plane on the loopback interface: tests share it, and name what they make in it uniquely."""
    folder = tmp_path_factory.mktemp("control-plane")
    request.session.stash[_LOGS] = folder
    plane = ControlPlane.local(folder)
    try:
        yield plane
    finally:
        plane.end()
