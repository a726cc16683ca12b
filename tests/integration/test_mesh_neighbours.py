"""Two nodes without any coordinator tell each other what they know, and find each other."""

import asyncio
import time
from ipaddress import IPv6Network

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually
from tests.mesh.nodes import Network
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.addressing import node_address6
from wgpy.node import agent_client as agent
from wgpy.node.agent_client import Status
from wgpy.node.http import Client

PORT = 51820
FOLDER = "/var/lib/wgpyd/mesh/prod"
NOWHERE = Endpoint("10.10.0.99", PORT)
METRICS = "/run/metrics.sock"


@pytest.fixture
def hosts(lab: Lab) -> list[Host]:
    """
    n1                              n2
    eth0 10.10.0.1/24 ───────────── eth0 10.10.0.2/24
    mesh0 100.80.0.1/16             mesh0 100.80.0.2/16
    """
    hosts = [lab.host("n1"), lab.host("n2")]
    connect(hosts[0], "eth0", hosts[1], "eth0")
    for number, host in enumerate(hosts, 1):
        add_addresses(host, "eth0", f"10.10.0.{number}/24")
    return hosts


def status(host: Host, monkeypatch: pytest.MonkeyPatch) -> Status:
    monkeypatch.setattr(agent, "SOCKETS", host.path("/run/wgpyd"))
    return agent.status("prod")


async def metrics(host: Host) -> str:
    reader, writer = await asyncio.open_unix_connection(host.path(METRICS))
    try:
        client = Client(reader, writer, "node")
        return b"".join([data async for data in client.request("GET", "/metrics")]).decode()
    finally:
        writer.close()


def test_a_removal_that_one_node_knows_reaches_the_other_with_their_first_packet(
    hosts: list[Host], program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network.found(int(time.time()))
    one, two = hosts
    for number in (1, 2, 3):
        network.join(Endpoint(f"10.10.0.{number}", PORT), port=PORT)
    network.store(network.nodes[1], two.path(FOLDER))
    network.administrator.remove(network.nodes[2].identity)
    network.store(network.nodes[0], one.path(FOLDER))
    two.run(program, "--mesh", "prod", f"--metrics=unix:{METRICS}")
    assert [peer.name for peer in status(two, monkeypatch).peers] == ["n1", "n3"]
    one.run(program, "--mesh", "prod")

    address6 = node_address6(IPv6Network("fd12:3456::/32"), network.nodes[0].identity.verify_key())
    two.run("ping", "-c", "1", "-W", "5", str(address6))

    eventually(
        lambda: [peer.name for peer in status(two, monkeypatch).peers] == ["n1"], "n2 knows of the removal"
    )
    told = status(two, monkeypatch)
    assert [(node.name, node.reason) for node in told.excluded] == [("n3", "it was removed")]
    assert told.sequence == status(one, monkeypatch).sequence
    assert (told.rejected, told.withheld) == ((), ())
    assert "\nwgpy_mesh_admin_record_sequence 3\n" in asyncio.run(metrics(two))


def test_a_node_that_is_not_at_its_best_endpoint_is_found_at_the_next(
    hosts: list[Host], program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network.found(int(time.time()))
    one, two = hosts
    network.join(port=PORT)  # so that the second cannot begin
    network.join(NOWHERE, Endpoint("10.10.0.2", PORT), port=PORT)
    for node, host in zip(network.nodes, hosts, strict=True):
        network.store(node, host.path(FOLDER))
    one.run(program, "--mesh", "prod")
    assert status(one, monkeypatch).peers[0].endpoint == str(NOWHERE)
    two.run(program, "--mesh", "prod")

    one.run("ping", "-c", "1", "-W", "8", "100.80.0.2")

    assert status(one, monkeypatch).peers[0].endpoint == f"10.10.0.2:{PORT}"
    assert status(two, monkeypatch).peers[0].endpoint == f"10.10.0.1:{PORT}"
