"""`./run demo kubernetes`: what it shows of a cluster, and what is left of it."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from examples.cluster_tour import HELLO, tour
from examples.picture import Node
from tests.integration.hosts import eventually, heed_interrupts
from tests.kubernetes.cluster import POD_PORT, Cluster

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(600)]
_CLONE = Path(__file__).parents[2]
_COLUMNS = 100
_NODES = (
    Node("n1", "cloud", "198.51.100.10", role="API server"),
    Node("n2", "office", "192.0.2.10", "192.168.1.10", role="kubelet", port="51820 mapped"),
    Node("n3", "edge site", "192.0.2.140", "192.168.1.20", role="kubelet", port="none mapped"),
)


def test_the_demo_shows_and_draws_what_reaches_what(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        picture = tour(cluster, _NODES)
        pods = cluster.ready_pods("hello")
        (service, _) = cluster.service_addresses("hello")
    finally:
        cluster.kubectl("delete", "-f", str(HELLO), "--wait=false")
    shown = capsys.readouterr().out

    for source, target in permutations(cluster.node_names, 2):
        there, also = pods[target].addresses
        assert f"n1# kubectl exec {pods[source].name} -- ping -A -q -c 5 {there}\n" in shown
        assert f"{pods[source].name} -- wget -qO- 'http://[{also}]:{POD_PORT}/'\n    {target}\n" in shown
    assert f"service {service}" in picture
    for name in cluster.node_names:
        for drawn in (
            *cluster.worker(name).addresses[:1],
            *cluster.plane.pod_ranges(name)[:1],
            f"from {name}",
        ):
            assert drawn in picture
    assert "none mapped" in picture
    assert max(map(len, picture.splitlines())) <= _COLUMNS


def test_nothing_is_left_of_a_demo_that_was_interrupted_while_its_cluster_started() -> None:
    with TemporaryDirectory(prefix="d-") as folder:  # a short name, as names of sockets begin with it
        demo = subprocess.Popen(
            [sys.executable, "-m", "examples.kubernetes"],
            cwd=_CLONE, env=os.environ | {"TMPDIR": folder}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=heed_interrupts,
        )  # fmt: skip
        try:
            eventually(lambda: "containerd" in _commands(folder), "its nodes start", within=180)
            demo.send_signal(signal.SIGINT)
            said, _ = demo.communicate(timeout=180)
        finally:
            demo.kill()

        assert demo.returncode == 128 + signal.SIGINT, said
        assert _commands(folder) == set()
        assert list(Path(folder).iterdir()) == []


def _commands(folder: str) -> set[str]:
    """Return the names of the programs that have their temporary files below a folder."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if f"\0TMPDIR={folder}".encode() in b"\0" + (process / "environ").read_bytes():
                found.add((process / "comm").read_text().strip())
    return found
