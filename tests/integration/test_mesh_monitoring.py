"""A real Prometheus beside a mesh, with the alerts and the board that are delivered, and a node that dies.

one 203.0.113.3 ── net ── hub 203.0.113.2, coordinator and relay; Prometheus
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.hosts import Host, Lab, eventually
from tests.integration.internet import Internet
from tests.integration.meshlab import NETWORK, Coordinator, Node, program

pytestmark = [
    pytest.mark.xdist_group("mesh_monitoring"),
    pytest.mark.skipif(
        not shutil.which("prometheus"), reason="MONITORING WAS NOT TESTED: apt-get install prometheus"
    ),
]

_DELIVERED = Path(__file__).parents[2] / "daemon" / "deploy" / "monitoring"
_WITHIN = 60.0  # seconds: hosts are slow where many tests run
_INTERVAL = "1s"
# What a network without sites, exits, rules, Kubernetes and trouble has no samples of.
_ABSENT = {
    "wgpy_mesh_site_reached", "wgpy_mesh_exit_used", "wgpy_mesh_gateway_moves_total",
    "wgpy_kubernetes_connected", "wgpy_mesh_permitted_packets_total", "wgpy_mesh_rejected_records_total",
    "wgpy_mesh_name_questions_total", "wgpy_dropped_packets_total",
}  # fmt: skip
_NAME = re.compile(r"\b(?:wgpy|wgmesh)_[a-z_]+")


@dataclass(frozen=True, slots=True)
class Monitored:
    """hub: of whom Prometheus is a neighbour on the same host."""

    hub: Node
    one: Node

    def ask(self, path: str) -> Any:
        """Return what Prometheus' API answers."""
        return _ask(self.hub.host, f"http://127.0.0.1:9090/api/v1/{path}")["data"]

    def query(self, expression: str) -> list[Any]:
        return list(self.ask(f"query?query={quote(expression)}")["result"])

    def alerts(self) -> dict[str, str]:
        """Return the state of each alert that has one."""
        return {one["labels"]["alertname"]: one["state"] for one in self.ask("alerts")["alerts"]}


@pytest.fixture(scope="module")
def mesh(module_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Monitored:
    net = Internet.build(module_lab)
    hub, one = net.public("hub", 2), net.public("one", 3)
    hub.mesh("init", NETWORK, "--public", hub.outside, "--name", "hub")
    one.join(hub.token())
    for node in (hub, one):
        node.kill()
        node.daemon_options = (f"--metrics={node.address()}:9586",)
        node.start()
    Coordinator(hub.host).kill()
    hub.host.start(program("wgmesh"), "serve", NETWORK, "--metrics", f"{hub.address()}:9587")
    one.ping(hub, within=20)
    folder = tmp_path_factory.mktemp("prometheus")
    _configure(folder, {"9586": [hub.address(), one.address()], "9587": [hub.address()]})
    hub.host.start(
        "prometheus", f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
        "--web.listen-address=127.0.0.1:9090",
    )  # fmt: skip
    found = Monitored(hub, one)
    eventually(lambda: _is_serving(found), "Prometheus has scraped all three twice", _WITHIN)
    return found


def test_all_that_is_scraped_has_a_name_and_a_unit_as_prometheus_wants_them(mesh: Monitored) -> None:
    for node, port in ((mesh.hub, 9586), (mesh.hub, 9587)):
        shown = _fetch(mesh.hub.host, f"http://{node.address()}:{port}/metrics")
        (mesh.hub.host.path("/run/metrics")).write_text(shown)

        assert mesh.hub.host.run("sh", "-c", "promtool check metrics < /run/metrics") == ""


def test_every_panel_and_every_alert_asks_for_what_there_is(mesh: Monitored) -> None:
    known = set(mesh.ask("label/__name__/values")) | _ABSENT
    for expression in (*_panels(), *_alerts(mesh)):
        assert {name.removesuffix("_bucket") for name in _NAME.findall(expression)} <= {
            name.removesuffix("_bucket") for name in known
        }
        result = mesh.query(expression)

        if not _ABSENT & set(_NAME.findall(expression)) and not re.search(r"[<>=] *\d", expression):
            assert result, expression


def test_a_node_that_dies_is_an_alert_to_come(mesh: Monitored) -> None:
    mesh.one.kill()

    eventually(lambda: mesh.alerts().get("WgpydDown") == "pending", "the alert has begun", _WITHIN)


def test_alerts_begin_when_they_should() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts_test.yaml"], cwd=_DELIVERED, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr


def _configure(folder: Path, targets: Mapping[str, list[str]]) -> None:
    """Write what is delivered, with other targets and more often."""
    text = (_DELIVERED / "prometheus.yaml").read_text().replace("15s", _INTERVAL)
    for port, addresses in targets.items():
        there = ", ".join(f"'{address}:{port}'" for address in addresses)
        text = text.replace(f"[127.0.0.1:{port}]", f"[{there}]")
    (folder / "prometheus.yaml").write_text(text)
    shutil.copy(_DELIVERED / "alerts.yaml", folder)


def _is_serving(found: Monitored) -> bool:
    try:
        counts = found.query("count_over_time(up[1m])")
    except (AssertionError, ValueError):
        return False
    return (
        len(counts) == 3
        and all(int(one["value"][1]) >= 3 for one in counts)
        and len(found.query("up == 1")) == 3
    )


def _panels() -> Iterator[str]:
    """Give what the board's panels ask, of all nodes."""
    board = json.loads((_DELIVERED / "grafana.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")


def _alerts(mesh: Monitored) -> Iterator[str]:
    for group in mesh.ask("rules")["groups"]:
        for rule in group["rules"]:
            yield rule["query"]


def _fetch(host: Host, url: str) -> str:
    done = host.attempt("curl", "-s", "-S", "-m", "10", url)
    assert done.status == 0, done.output
    return done.output


def _ask(host: Host, url: str) -> Any:
    answer = json.loads(_fetch(host, url))
    assert answer["status"] == "success", answer
    return answer
