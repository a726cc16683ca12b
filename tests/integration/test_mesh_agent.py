"""A node's daemon on hosts of their own: what is on disk becomes interface, addresses, routes and peers."""

import json
import sys
import time
from ipaddress import IPv6Network, ip_network
from pathlib import Path

import pytest

from tests.integration.hosts import Host, Lab, Result, add_addresses, connect, eventually
from tests.mesh.nodes import Network
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.addressing import node_address6
from wgpy.node.files import NodeFile

PORT = 51820
FOLDER = "/var/lib/wgpyd/mesh/prod"
POD_RANGES = "10.42.1.0/24", "10.42.2.0/24"


_ASK = """
import json
from wgpy.mesh import codec
from wgpy.node.agent_client import status
print(json.dumps(codec.write(status("prod"))))
"""


def two_nodes(lab: Lab) -> tuple[Network, list[Host]]:
    """
    n1                              n2
    eth0 10.10.0.1/24 ───────────── eth0 10.10.0.2/24
    mesh0 100.80.0.1/16             mesh0 100.80.0.2/16
    announces 10.42.1.0/24          announces 10.42.2.0/24
    """
    network = Network.found(int(time.time()), routes=(ip_network("10.42.0.0/16"),))
    hosts = [lab.host("n1"), lab.host("n2")]
    connect(hosts[0], "eth0", hosts[1], "eth0")
    for number, host in enumerate(hosts, 1):
        add_addresses(host, "eth0", f"10.10.0.{number}/24")
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        routes = (ip_network(POD_RANGES[number - 1]),)
        network.join(Endpoint(f"10.10.0.{number}", PORT), port=PORT, routes=routes)
    for node, host in zip(network.nodes, hosts, strict=True):
        network.store(node, host.path(FOLDER))
    return network, hosts


def start(host: Host, program: str) -> None:
    """Begin a node's daemon; the command returns once it is ready."""
    host.run(program, "--mesh", "prod")


def address6(node: NodeFile) -> str:
    return str(node_address6(IPv6Network("fd12:3456::/32"), node.identity.verify_key()))


def ping(host: Host, address: str) -> None:
    host.run("ping", "-c", "1", "-W", "5", address)


def routes(host: Host) -> set[str]:
    return {
        route["dst"]
        for route in json.loads(
            host.run("ip", "-4", "-json", "route", "show", "table", "all", "proto", "151", "dev", "mesh0")
        )
    }


def status(host: Host) -> Result:
    """What the agent answers: JSON, or why it cannot."""
    return host.attempt(sys.executable, "-c", _ASK)


def warnings(host: Host) -> list[str]:
    found: list[str] = json.loads(status(host).output)["warnings"]
    return found


def test_nodes_meet_from_their_disks_alone(lab: Lab, program: str) -> None:
    network, (one, two) = two_nodes(lab)

    for host in one, two:
        start(host, program)

    ping(one, str(network.nodes[1].address))
    ping(two, address6(network.nodes[0]))


def test_a_node_that_was_killed_is_heard_again_at_once_by_who_still_has_its_old_session(
    lab: Lab, program: str
) -> None:
    network, (one, two) = two_nodes(lab)
    for host in one, two:
        start(host, program)
    ping(one, str(network.nodes[1].address))

    two.run("pkill", "--signal", "KILL", "wgpyd")
    eventually(lambda: two.attempt("pgrep", "wgpyd").status != 0, "the daemon is gone")
    start(two, program)

    one.run("ping", "-c", "10", "-i", "0.2", "-W", "1", str(network.nodes[1].address))


def test_what_a_node_announces_is_reached_by_the_others_and_not_by_itself(lab: Lab, program: str) -> None:
    _, (one, two) = two_nodes(lab)
    add_addresses(two, "lo", "10.42.2.1/32")

    for host in one, two:
        start(host, program)

    assert routes(one) == {"100.80.0.0/16", "10.42.2.0/24"}
    ping(one, "10.42.2.1")


def test_a_route_into_a_network_of_this_host_is_left_out(lab: Lab, program: str) -> None:
    _, (one, _) = two_nodes(lab)
    add_addresses(one, "eth0", "10.42.2.77/25")

    start(one, program)

    assert routes(one) == {"100.80.0.0/16"}


def test_a_route_comes_back_once_this_host_has_left_that_network(lab: Lab, program: str) -> None:
    _, (one, _) = two_nodes(lab)
    add_addresses(one, "eth0", "10.42.2.77/25")
    start(one, program)

    one.run("ip", "address", "delete", "10.42.2.77/25", "dev", "eth0")

    eventually(lambda: "10.42.2.0/24" in routes(one), "the route of the other node is used")


def test_the_interface_has_what_the_network_says_and_outlives_the_daemon(lab: Lab, program: str) -> None:
    network, (one, _) = two_nodes(lab)

    start(one, program)

    assert_is_as_planned(one, network)
    one.run("pkill", "wgpyd")
    eventually(lambda: one.attempt("pgrep", "wgpyd").status != 0, "the daemon has ended")
    assert_is_as_planned(one, network)


def assert_is_as_planned(host: Host, network: Network) -> None:
    link = json.loads(host.run("ip", "-json", "address", "show", "dev", "mesh0"))[0]
    assert link["mtu"] == 1380
    assert {(found["local"], found["prefixlen"]) for found in link["addr_info"]} == {
        ("100.80.0.1", 16),
        (address6(network.nodes[0]), 32),
    }


def test_what_ip_refuses_is_a_warning_and_is_tried_again_with_the_next_change(lab: Lab, program: str) -> None:
    network, (one, two) = two_nodes(lab)
    own6 = address6(network.nodes[0])
    one.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
    for host in one, two:
        start(host, program)

    ping(one, str(network.nodes[1].address))
    assert any(
        f"`ip address add {own6}/32 dev mesh0 nodad noprefixroute` failed" in line for line in warnings(one)
    )

    one.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0")
    eventually(lambda: warnings(one) == [], "the address is set")
    ping(two, own6)


def test_a_node_that_knows_nothing_waits_and_says_so(lab: Lab, program: str) -> None:
    _, (one, _) = two_nodes(lab)
    one.run("rm", f"{FOLDER}/records.jsonl")

    process = one.start(program, "-f", "--mesh", "prod")

    eventually(lambda: "does not know yet" in status(one).output, "it says what it waits for")
    process.kill()
    result = process.wait()
    assert (result.status, result.output.splitlines()[-1]) == (
        1,
        "wgpyd: ended before this node knew what prod is",
    )


def test_a_node_that_gets_another_address_tells_everybody_before_it_speaks_to_them(
    lab: Lab, program: str
) -> None:
    """Topology: as above, with a coordinator on n1."""
    one, two = lab.host("n1"), lab.host("n2")
    connect(one, "eth0", two, "eth0")
    for number, host in enumerate((one, two), 1):
        add_addresses(host, "eth0", f"10.10.0.{number}/24")
    wgpy = str(Path(program).with_name("wgpy"))
    said = one.run(wgpy, "mesh", "init", "prod", "--public", "10.10.0.1")
    two.run(wgpy, "mesh", "join", next(word for word in said.split() if word.startswith("wgpy1_")))
    eventually(lambda: "10.10.0.2:" in endpoints(one), "the first knows the second")

    two.run("ip", "address", "delete", "10.10.0.2/24", "dev", "eth0")
    add_addresses(two, "eth0", "10.10.0.22/24")

    eventually(lambda: "10.10.0.22:" in endpoints(one), "the first knows where the second is now", within=10)


def endpoints(host: Host) -> str:
    return host.run("wg", "show", "mesh0", "endpoints")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("rm -r {folder}", "this host has not joined prod"),
        ("echo x > {folder}/node.json", "node.json is damaged"),
    ],
)
def test_a_node_that_cannot_start_says_why(lab: Lab, program: str, damage: str, sentence: str) -> None:
    _, (one, _) = two_nodes(lab)
    one.run("sh", "-c", damage.format(folder=FOLDER))

    result = one.attempt(program, "--mesh", "prod")

    assert result.status == 1
    assert sentence in result.output
    assert len(result.output.splitlines()) == 1
