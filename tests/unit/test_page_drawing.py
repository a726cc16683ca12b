"""A network as a text and as a graph."""

import shutil
import subprocess
from ipaddress import IPv4Address, IPv4Network

import pytest

from tests.unit.mesh_statuses import KEYS, a_status, client, peer
from wgpy.cli.page.drawing import dot, text
from wgpy.cli.page.view import view
from wgpy.node.agent_client import Site, SiteGateway, Status

_SITE = Site(
    "plant", (IPv4Network("192.168.1.0/24"),), (IPv4Network("100.64.128.0/24"),),
    (SiteGateway("web2", KEYS[2], 100, is_routed=True),), "web2", own=False, exclusion="",
)  # fmt: skip
_DRAWN = """\
web1, this node        100.64.0.1
├─ client bob          100.64.9.1
├─ no answer
│  └─ web5             100.64.0.5                k8s
├─ by a relay
│  └─ web4             100.64.0.4       31.0 ms  k8s
└─ direct
   ├─ hub              100.64.0.3       2.0 ms   relay, k8s
   └─ web2             100.64.0.2                k8s
      ├─ site plant    100.64.128.0/24
      └─ client alice  100.64.9.1"""


def network() -> Status:
    hub = peer(name="hub", identity=KEYS[3], address=IPv4Address("100.64.0.3"), round_trip=2000)
    relayed = peer(
        name="web4", identity=KEYS[4], address=IPv4Address("100.64.0.4"), relay="hub", relays=("hub",),
        round_trip=31_000,
    )  # fmt: skip
    silent = peer(name="web5", identity=KEYS[5], address=IPv4Address("100.64.0.5"), unanswered=60)
    clients = client(), client(name="bob", gateway="web1")
    return a_status(peers=(peer(), hub, relayed, silent), sites=(_SITE,), clients=clients)


def test_the_text_has_what_is_wrong_first_and_what_is_behind_each() -> None:
    assert text(view(network())) == _DRAWN


def test_a_node_that_is_alone_is_a_line() -> None:
    assert text(view(a_status(peers=()))).split() == ["web1,", "this", "node", "100.64.0.1"]


@pytest.mark.skipif(not shutil.which("twopi"), reason="this host has no Graphviz: apt-get install graphviz")
@pytest.mark.parametrize("name", ["web2", 'a "b\\', "</g>&\\N"])
def test_graphviz_draws_the_graph_whatever_the_names_are(name: str) -> None:
    graph = dot(view(a_status(peers=(peer(name=name),))))

    done = subprocess.run(["twopi", "-Tplain"], input=graph, capture_output=True, text=True, check=True)

    assert done.stderr == ""
    assert len([line for line in done.stdout.splitlines() if line.startswith("node ")]) == 2
    assert len([line for line in done.stdout.splitlines() if line.startswith("edge ")]) == 1
