"""Many hosts that join at the same moment, as a rack of machines does that was installed from one image."""

import os
import sys
from functools import partial

import pytest

from tests.integration.hosts import HostProcess, Lab, Result, eventually
from tests.integration.meshlab import NETWORK, Node
from tests.integration.meshlan import Lan
from wgpy.node.files import NODES, NodeFile

HOSTS = 20
# What `wgpy mesh join` does until its host is a member. It has imported everything when it waits.
JOIN = f"""
import sys
from wgpy.cli.command import parser
from wgpy.cli.host import Host
from wgpy.cli.mesh import join
from wgpy.cli.mesh.commands import MESH
from wgpy.mesh.invitation import Invitation
print("ready", flush=True)
sys.stdin.read()
arguments = parser("wgpy", "", "", (MESH,)).parse_args(["mesh", "join", *sys.argv[2:]])
assert join.become_node(Host(), Invitation.from_text(sys.argv[1]), arguments) == {NETWORK!r}
"""


@pytest.fixture
def network(lab: Lab) -> Lan:
    """A network of one node, and hosts without one."""
    lan = Lan(lab)
    lan.add("hub")
    lan.init()
    for number in range(HOSTS):
        lan.add(f"h{number}")
    return lan


def test_hosts_of_one_name_that_join_at_once_all_get_in(network: Lan) -> None:
    token, hosts = network.hub.token("--uses", str(HOSTS)), network.nodes[1:]

    joins = joined_at_once(hosts, token)

    assert [join.output for join in joins if join.status != 0] == []
    files = [NodeFile.load(node.host.path(str(NODES / NETWORK))) for node in hosts]
    names = {file.name for file in files}
    assert len(names) == len({file.address for file in files}) == HOSTS
    assert len({name.rstrip("0123456789").rstrip("-") for name in names}) <= 2, (
        "one made of the host's, numbered"
    )
    listed = {node["name"] for node in network.hub.ask("node-list")["nodes"] if node["member"]}
    assert listed == {"hub", *names}


def test_a_name_that_was_asked_for_is_given_to_one_and_refused_to_the_others(network: Lan) -> None:
    token, hosts = network.hub.token("--uses", str(HOSTS)), network.nodes[1:6]

    joins = joined_at_once(hosts, token, "--name", "db")

    failed = [join.output for join in joins if join.status != 0]
    assert len(failed) == len(hosts) - 1
    assert all("another node is called db; choose another name with --name" in output for output in failed)


def joined_at_once(hosts: list[Node], token: str, *options: str) -> list[Result]:
    """Have hosts join when all of them are ready to."""
    waiting, go = os.pipe()
    joins = [node.host.start(sys.executable, "-c", JOIN, token, *options, stdin=waiting) for node in hosts]
    os.close(waiting)
    for join in joins:
        eventually(partial(_is_ready, join), "the host is ready")
    os.close(go)
    return [join.wait(60) for join in joins]


def _is_ready(join: HostProcess) -> bool:
    return "ready" in join.log.read_text()
