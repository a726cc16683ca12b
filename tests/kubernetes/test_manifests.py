"""What `kubectl apply -k` makes of the manifests, as the API server itself judges them."""

import asyncio
import subprocess
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes import components
from tests.kubernetes.client import ApiError, Client
from tests.kubernetes.controlplane import NODES, Account, ControlPlane
from tests.kubernetes.overlay import BASE, NAMESPACE, write_overlay
from wgpy.kubernetes.corefile import stub
from wgpy.node.agent_client import AgentError
from wgpy.node.kubernetes import ApiOptions, KubernetesApi
from wgpyd.agent.coredns import CoreDns

_FOLLOWED = ["get", "list", "watch"]
_API = "https://192.0.2.10:6443"
_CONFIG_MAPS = "/api/v1/namespaces/kube-system/configmaps"


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_overlay(
        tmp_path_factory.mktemp("overlay"),
        network="lab",
        api=_API,
        token="wgpy1_x",
        image="localhost/wgpy:7",
        components=["cni"],
    )


@pytest.fixture(scope="module")
def applied(control_plane: ControlPlane, overlay: Path) -> ControlPlane:
    """The control plane, with all of it; no controller there makes pods of it."""
    kubectl(control_plane, "apply", "-k", str(overlay))
    return control_plane


def test_the_api_server_takes_all_of_it_and_finds_nothing_to_change_again(
    applied: ControlPlane, overlay: Path
) -> None:
    said = kubectl(applied, "apply", "-k", str(overlay))

    assert len(said.splitlines()) == 6
    assert all(line.endswith(" unchanged") for line in said.splitlines())


def test_the_service_account_may_read_ranges_and_nothing_else(applied: ControlPlane) -> None:
    client = applied.client(Account(NAMESPACE, "wgpy", applied.new_token(NAMESPACE, "wgpy")))
    everybody = rights(applied.client(applied.make_account([])))

    found = rights(client)

    added = {one: verbs for one, verbs in found.items() if one not in everybody}
    assert added == {"nodes": _FOLLOWED, "servicecidrs": _FOLLOWED}
    assert client.get(NODES)["kind"] == "NodeList"
    assert client.get("/apis/networking.k8s.io/v1/servicecidrs")["items"]
    with pytest.raises(ApiError, match="403"):
        client.get(f"/api/v1/namespaces/{NAMESPACE}/secrets")


def test_a_manifest_of_its_own_lets_it_change_the_settings_of_coredns_alone(
    applied: ControlPlane, tmp_path: Path
) -> None:
    account = Account(NAMESPACE, "wgpy", applied.new_token(NAMESPACE, "wgpy"))
    client, servers = applied.client(account), [ip_address("100.80.3.4")]
    for name in ("coredns", "others"):
        applied.admin.create(_CONFIG_MAPS, {"metadata": {"name": name}, "data": {"Corefile": ".:53 {\n}\n"}})
    before = rights(client, "kube-system")
    token = tmp_path / "token"
    token.write_text(account.token)
    dns = CoreDns(KubernetesApi(ApiOptions(applied.url, str(token), str(applied.ca_file))))
    with pytest.raises(AgentError, match="kubectl apply -f daemon/deploy/kubernetes/coredns.yaml"):
        asyncio.run(dns.change("lab.mesh", servers))

    kubectl(applied, "apply", "-f", str(BASE / "coredns.yaml"))

    assert asyncio.run(dns.change("lab.mesh", servers)) == "coredns"
    written = applied.admin.get(f"{_CONFIG_MAPS}/coredns")["data"]["Corefile"]
    assert written.startswith(".:53 {\n}\n")
    assert stub("lab.mesh", servers) in written
    after = rights(client, "kube-system")
    assert {one: verbs for one, verbs in after.items() if one not in before} == {
        "configmaps": ["get", "update"]
    }
    for path in (_CONFIG_MAPS, f"{_CONFIG_MAPS}/others"):
        with pytest.raises(ApiError, match="403"):
            client.get(path)


def test_no_container_is_privileged_and_only_the_first_one_is_given_the_token(applied: ControlPlane) -> None:
    pod = daemon_set(applied)["spec"]["template"]["spec"]

    (join,), (daemon,) = pod["initContainers"], pod["containers"]

    assert not any("privileged" in one["securityContext"] for one in (join, daemon))
    assert "token" in mounts(join)
    assert "token" not in mounts(daemon)


def test_kubelet_starts_the_daemon_also_while_it_reaches_no_api(applied: ControlPlane) -> None:
    """It asks the API for a ConfigMap or a Secret of the environment at each start of a container."""
    pod = daemon_set(applied)["spec"]["template"]["spec"]

    sources = [one.get("valueFrom", {}) for each in _containers(pod) for one in each["env"]]

    assert not [source for source in sources if {*source} - {"fieldRef"}]
    assert not any("envFrom" in each for each in _containers(pod))


def _containers(pod: Any) -> list[Any]:
    return [*pod["initContainers"], *pod["containers"]]


def test_an_overlay_names_network_api_and_image(applied: ControlPlane) -> None:
    pod = daemon_set(applied)["spec"]["template"]["spec"]
    (daemon,) = pod["containers"]

    values = {one["name"]: one.get("value") for one in daemon["env"]}
    assert values == {"NETWORK": "lab", "KUBE_API": _API, "NODE_NAME": None}
    assert daemon["image"] == "localhost/wgpy:7"


def test_a_component_has_the_daemon_write_the_file_of_the_cni(applied: ControlPlane) -> None:
    pod = daemon_set(applied)["spec"]["template"]["spec"]
    (daemon,) = pod["containers"]

    assert "--cni=/etc/cni/net.d/10-wgpy.conflist" in daemon["args"]
    assert "cni" in mounts(daemon)


def rights(client: Client, namespace: str = NAMESPACE) -> dict[str, list[str]]:
    """Return what a service account may do in a namespace, by what with."""
    review = {"spec": {"namespace": namespace}}
    found = client.create("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review)
    rules = found["status"]["resourceRules"]
    return {name: sorted(rule["verbs"]) for rule in rules for name in rule["resources"]}


def daemon_set(plane: ControlPlane) -> Any:
    return plane.admin.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/wgpyd")


def mounts(container: Any) -> list[str]:
    return [mount["name"] for mount in container["volumeMounts"]]


def kubectl(plane: ControlPlane, *arguments: str) -> str:
    command = [str(components.program()), "kubectl", f"--kubeconfig={plane.kubeconfig}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout
