"""wgpyd follows the API of a cluster: the whole daemon, on a host that is a node of both.

hub (coordinator)          gate (kubelet's Node, and the API server on its loopback interface)
br0 10.10.0.1/24 ───────── eth0 10.10.0.2/24
"""

import sys
from pathlib import Path

from tests.integration.hosts import HostProcess, Lab, eventually
from tests.integration.meshlab import NETWORK, Node, program
from tests.integration.meshlan import Lan

_API = (sys.executable, str(Path(__file__).with_name("kubernetesapi.py")))
_FOLDER, _PORT = "/run/api", "7443"
_PODS, _POD = "10.244.3.0/24", "10.244.3.9"
OPTIONS = (
    "--kubernetes", f"--kube-api=https://127.0.0.1:{_PORT}", f"--kube-token={_FOLDER}/token",
    f"--kube-ca={_FOLDER}/ca.crt", "--node-name=worker-1",
)  # fmt: skip


def start_api(node: Node) -> HostProcess:
    """Start an API server on the host of a node of which it is to be a Node, and return when it answers."""
    node.host.run("mkdir", "-p", _FOLDER)
    api = node.host.start(*_API, _FOLDER, _PORT, "worker-1", _PODS)
    eventually(lambda: "ready" in api.log.read_text(), "the API server answers")
    return api


def test_pod_ranges_and_a_site_come_from_the_api_and_outlive_it(lab: Lab) -> None:
    lan = Lan(lab)
    hub = lan.add("hub")
    lan.init()
    gate = lan.joined("gate", "--routes", "10.244.0.0/16", "10.96.0.0/16")
    gate.host.run("sysctl", "-w", "net.ipv4.ip_forward=1")
    gate.host.run("ip", "route", "add", "default", "via", hub.inside)
    gate.host.run("ip", "address", "add", f"{_POD}/24", "dev", "lo")
    api = start_api(gate)
    gate.kill()

    daemon = gate.host.start(program("wgpyd"), "-f", "--mesh", NETWORK, *OPTIONS)

    def is_reached() -> bool:
        return hub.host.attempt("ping", "-n", "-c", "1", "-W", "1", _POD).status == 0

    eventually(is_reached, "the hub reaches a pod")
    assert f"node worker-1, pod ranges {_PODS}, by https://127.0.0.1:{_PORT}" in gate.mesh("status")
    said = gate.mesh("site", "add", "blue", "--kubernetes", "--mapped", "--firewall")
    assert said.startswith("blue (10.96.0.0/16, 10.244.0.0/16) is reached as ")
    assert f"{NETWORK}.mesh {{ forward . {gate.address()} }}" in gate.mesh("site", "show", "blue")
    api.kill()
    daemon.kill()
    daemon.wait()  # it answers pings until then
    gate.host.start(program("wgpyd"), "-f", "--mesh", NETWORK, *OPTIONS)

    eventually(is_reached, "the hub reaches the pod without an API")
    eventually(lambda: f"this node goes on announcing {_PODS}" in gate.mesh("status"), "it says so")
    gate.mesh("leave", "--force")
