"""Nodes as they are run, beside a coordinator that is hostile: `tests.mesh.hostile` says what it tries."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path

from tests.integration.hosts import Host, HostProcess, Lab, add_addresses, connect, eventually
from tests.integration.meshlab import NETWORK, PORT, Node
from tests.mesh.hostile import ATTEMPTS, Mallory
from tests.mesh.network import key_of
from tests.mesh.nodes import Network
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh import codec
from wgpy.mesh.ledger import Verdict
from wgpy.mesh.signing import Signed
from wgpy.mesh.wire import Delta, encode_line
from wgpy.node.agent_client import Status, socket_path
from wgpy.node.files import Journal

_ROOT = Path(__file__).parents[2]
_ADDRESS = "10.10.0.254"
_TIME_TO_TELL = 10  # seconds, after which a coordinator withholds what a neighbour knew


@dataclass(slots=True)
class Liar:
    """A hostile coordinator in a process of its own."""

    process: HostProcess

    def close(self) -> None:
        for pipe in self.process.popen.stdin, self.process.popen.stdout:
            assert pipe is not None
            pipe.close()

    def tell(self, records: Sequence[Signed]) -> None:
        assert self.process.popen.stdin is not None
        self.process.popen.stdin.write(encode_line(Delta(1, tuple(records))).decode())
        self.process.popen.stdin.flush()


@dataclass(slots=True)
class Scene:
    """
    liar                           n1 … n4
    br0 10.10.0.254/24 ─────────── eth0 10.10.0.1/24 … 10.10.0.4/24
    """

    network: Network
    liar: Liar
    nodes: list[Node]

    @classmethod
    def build(cls, lab: Lab, size: int) -> "Scene":
        network, host = Network.found(int(time.time())), lab.host("liar")
        host.run("ip", "link", "add", "br0", "type", "bridge")
        host.run("ip", "link", "set", "br0", "up")
        add_addresses(host, "br0", f"{_ADDRESS}/24")
        liar = _start_liar(host, network)
        lab.closing.callback(liar.close)
        nodes = [_stand(lab, host, f"n{number}", f"10.10.0.{number}") for number in range(1, size + 1)]
        for node in nodes:
            network.join(Endpoint(node.inside, PORT), port=PORT)
        return cls(network, liar, nodes)

    def start(self) -> None:
        """Let all nodes know on their disks what was said by now, and start them."""
        self.liar.tell(self.network.records)
        for file, node in zip(self.network.nodes, self.nodes, strict=True):
            self.network.store(file, node.folder)
            node.start()
        for node in self.nodes:
            eventually(lambda node=node: node.status().connected, f"{node.name} follows")  # type: ignore[misc]


def _start_liar(host: Host, network: Network) -> Liar:
    python = ("env", f"PYTHONPATH={_ROOT}", sys.executable, "-m", "tests.mesh.hostile")
    key = str(network.administrator.key.verify_key())
    process = host.start(*python, key, _ADDRESS, "/run", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.popen.stdout is not None
    said = json.loads(process.popen.stdout.readline())
    network.url, network.key_hash = said["url"], bytes.fromhex(said["key_hash"])
    return Liar(process)


def _stand(lab: Lab, liar: Host, name: str, address: str) -> Node:
    host = lab.host(name)
    connect(host, "eth0", liar, name)
    liar.run("ip", "link", "set", name, "master", "br0")
    add_addresses(host, "eth0", f"{address}/24")
    return Node(name, host, address, address)


def test_nothing_that_it_tells_makes_a_node_another(lab: Lab) -> None:
    scene = Scene.build(lab, 3)
    administrator, gone = scene.network.administrator, key_of(99)
    administrator.join(gone, scene.network.token)
    administrator.remove(gone)
    administrator.records.append(replace(scene.network.nodes[1], sequence=7).signed(())[1])
    scene.start()
    first, second, _ = scene.nodes
    before = first.status()
    mallory = Mallory(administrator, scene.network.nodes[0].identity)

    for name, attempt in ATTEMPTS.items():
        tried, known = attempt(mallory), noticed(first.status())
        scene.liar.tell(tried.records)
        eventually(lambda known=known: noticed(first.status()) > known, f"that it {name}")  # type: ignore[misc]
        after, reason = first.status(), "older than" if tried.shows is Verdict.OLD else tried.shows.value

        assert peers(after) == peers(before)
        assert (after.member, after.rules, after.address) == (True, (), before.address)
        for told in (shown(after), log(first), metrics(first)):
            assert reason in told, name
    first.ping(second)
    assert len(first.host.run("wg", "show", "mesh0", "peers").split()) == 2


def test_a_removal_that_it_hides_is_learned_from_a_neighbour_and_only_from_one_that_knows(lab: Lab) -> None:
    """n1, n2 and n3 are peers; n3 is removed, which only n2 learns; n4 is a peer of n3 alone."""
    scene = Scene.build(lab, 4)
    administrator = scene.network.administrator
    for one, other in (("n1", "n2"), ("n1", "n3"), ("n2", "n3"), ("n4", "n3")):
        administrator.rule(f"node:{one}", f"node:{other}")
    scene.start()
    first, second, third, fourth = scene.nodes
    for node in (first, second, fourth):
        node.ping(third)
    second.kill()
    removal = administrator.remove(scene.network.nodes[2].identity)
    Journal(second.folder).append(Delta(2, (removal,)))
    second.start()
    eventually(lambda: second.status().connected, "n2 is back")

    # What first sends before second has begun a new session is lost.
    eventually(lambda: first.reaches(second), "n1 reaches n2 again")

    eventually(lambda: not first.reaches(third), "n1 learned of it from n2")
    fourth.ping(third)
    told = f"n2 knew removal {administrator.sequence}, and the coordinator does not send it"
    eventually(lambda: first.status().withheld == (told,), "n1 says so", within=_TIME_TO_TELL + 5)
    eventually(lambda: told in log(first), "n1 logs it")
    assert "wgpy_mesh_withheld_records 1" in metrics(first)


# -- Helpers ---------------------------------------------------------------------------------------


def peers(status: Status) -> set[tuple[object, ...]]:
    return {(peer.name, peer.identity, peer.key, peer.address, peer.routes) for peer in status.peers}


def noticed(status: Status) -> int:
    return status.rejected_count + len(status.excluded)


def shown(status: Status) -> str:
    return json.dumps(codec.write(status))


def log(node: Node) -> str:
    return "".join(path.read_text() for path in node.host.logs.glob(f"{node.name}-*.log"))


def metrics(node: Node) -> str:
    agent = HTTPConnection("agent")
    with socket.socket(socket.AF_UNIX) as agent.sock:
        agent.sock.connect(str(node.host.path(f"/run/wgpyd/{socket_path(NETWORK).name}")))
        agent.request("GET", "/metrics")
        return agent.getresponse().read().decode()
