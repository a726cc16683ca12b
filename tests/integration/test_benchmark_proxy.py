"""The rows of proxies, and of a tunnel without root: every measure is taken."""

import shutil
from pathlib import Path

import pytest

from benchmarks.rows import proxy, read_rows
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.rounds import Turn, settings_for
from benchmarks.suite.values import Kind
from tests.integration.hosts import Lab
from tests.integration.meshlab import program as installed

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
OURS = Implementation("wgpy-proxy", Role.OURS, (installed("wgpy"),), kind=Kind.PROXY)


def test_every_measure_of_a_proxy_is_taken(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "HELD", 20)
    (setting,) = settings_for(OURS, read_rows("proxyheld,proxy"))
    built = setting.build(Turn(OURS, lab, 1, {}, tmp_path))

    for row in setting.rows:
        samples = row.measure(built, 1)

        assert set(samples) == {measure.name for measure in row.measures}
        assert all(sample > 0 for name, sample in samples.items() if name != "proxy_memory"), samples


def test_every_measure_of_a_program_without_root_is_taken(lab: Lab, program: str, tmp_path: Path) -> None:
    ours = Implementation("wgpyd", Role.OURS, (program, "-f", "{interface}"))
    (setting,) = settings_for(ours, read_rows("rootless,rootlessmesh"))
    built = setting.build(Turn(ours, lab, 1, {}, tmp_path))

    for row in setting.rows:
        samples = row.measure(built, 1)

        assert set(samples) == {measure.name for measure in row.measures}
        assert all(sample > 0 for sample in samples.values()), samples
