"""Rules with ports, on hosts as in `meshlan`: what they allow begins, by IPv4 and IPv6, and nothing else.

hub (coordinator), dev (tag dev), db (echoes on TCP 5432 and 5433, UDP 5354 and 54)
"""

import json
import re
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.integration.hosts import Lab, Result, eventually
from tests.integration.meshlab import Node
from tests.integration.meshlan import Lan

pytestmark = pytest.mark.slow

CLIENT: Final = (sys.executable, "-I", "-S", str(Path(__file__).with_name("portclient.py")))


@pytest.fixture(params=["native", "portable"])
def network(lab: Lab, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Lan:
    monkeypatch.setenv("WGPY_DATAPATH", request.param)
    lan = Lan(lab)
    lan.add("hub")
    lan.init()
    lan.joined("dev", "--tag", "dev")
    db = lan.joined("db")
    serving = db.host.start(*CLIENT, "serve", db.address(4), db.address(6))
    eventually(lambda: "ready" in serving.log.read_text(), "db serves")
    return lan


def found(node: Node, other: Node) -> list[list[str]]:
    """What of another node answers, by both versions of IP."""
    ask = (*CLIENT, "try")
    return [json.loads(node.host.run(*ask, other.address(family))) for family in (4, 6)]


def sentence(result: Result) -> str:
    assert result.status == 1, result
    assert re.fullmatch(r"wgpy: .*\.\n", result.output), result.output
    return result.output.removeprefix("wgpy: ")


def test_a_rule_with_ports_opens_these_and_no_other(network: Lan) -> None:
    hub, dev, db = network.nodes
    eventually(lambda: dev.reaches(db), "dev reaches db")
    said = hub.mesh("allow", "tag:dev", "db:5432/tcp,5354,55/udp", "--dry-run")
    assert "dev can begin only to db:5432/tcp,55/udp,5354/udp.\n" in said
    assert "hub can no longer begin to db, dev.\n" in said

    said = hub.mesh("allow", "tag:dev", "db:5432/tcp,5354,55/udp", "-y")
    assert "tag:dev to db:5432/tcp,55/udp,5354/udp is allowed." in said
    eventually(lambda: not dev.reaches(db), "a ping is not allowed")

    expected = ["tcp 5432", "udp 5354", "large udp 5354", "refused udp 55"]
    assert found(dev, db) == [expected, expected]
    assert found(hub, db) == [[], []]
    port = dev.ask("why", "db:5432/tcp")
    assert port["reachable"]
    assert port["findings"]["5432/tcp"]["text"] == (
        "dev may begin to db:5432/tcp: allow tag:dev db:5432/tcp,55/udp,5354/udp"
    )
    assert "connection" in port["findings"]
    assert dev.why("db:22/tcp")["advice"][0].startswith(
        "`wgpy mesh allow dev db:22/tcp` lets this node begin"
    )
    assert dev.why("db")["reachable"] is None  # a ping is not allowed, so its silence says nothing
    assert re.search(r"tag:dev to db:5432/tcp,55/udp,5354/udp \(rule 1, let in [1-9]", db.mesh("status"))

    hub.mesh("allow", "tag:dev", "db:icmp")
    eventually(lambda: dev.reaches(db), "now it is")
    assert not db.reaches(dev)
    hub.mesh("disallow", "tag:dev", "db:5432/tcp,5354,55/udp")
    eventually(lambda: found(dev, db) == [[], []], "what the rule opened is closed")
    dev.ping(db)


def test_what_makes_no_rule_is_refused_with_a_sentence(network: Lan) -> None:
    hub = network.hub
    refused = hub.attempt("allow", "dev:22/tcp", "db")
    assert (refused.status, "ports: those of a rule are of its DESTINATION" in refused.output) == (2, True)
    assert "http is no list of ports" in hub.attempt("allow", "dev", "db:http").output
    assert "no node has tag dba yet" in sentence(hub.attempt("allow", "tag:dba", "db:22/tcp"))
    assert "tag:dba to db:22/tcp is allowed" in hub.mesh("allow", "tag:dba", "db:22/tcp", "--anyway", "-y")
    assert "is allowed already" in sentence(hub.attempt("allow", "tag:dba", "db:22/tcp", "--anyway"))
    assert "the rules are: tag:dba to db:22/tcp" in sentence(hub.attempt("disallow", "tag:dba", "db"))
    assert "rule tag:dba to node:db:22/tcp" in hub.mesh("audit")
    hub.mesh("disallow", "tag:dba", "db:22/tcp", "-y")
