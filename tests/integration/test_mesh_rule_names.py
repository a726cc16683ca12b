"""Rules are for nodes and not for their names, and the first one asks, on hosts as in `meshlan`."""

import re

import pytest

from tests.integration.hosts import Lab, Result, eventually
from tests.integration.meshlab import program
from tests.integration.meshlan import Lan
from tests.integration.terminal import Terminal


@pytest.fixture
def network(lab: Lab) -> Lan:
    """hub, lap and srv."""
    lan = Lan(lab)
    lan.add("hub")
    lan.init()
    lan.joined("lap")
    lan.joined("srv")
    return lan


def sentence(result: Result) -> str:
    """Return the one sentence of a command that failed."""
    assert result.status == 1, result
    assert re.fullmatch(r"wgpy: .*\.\n", result.output), result.output
    return result.output.removeprefix("wgpy: ")


def test_the_first_rule_asks_and_says_whom_it_cuts_off(network: Lan) -> None:
    hub, lap, srv = network.nodes
    asked = sentence(hub.attempt("allow", "lap", "srv"))
    assert "this is the first rule, from which on 3 nodes can no longer begin to others" in asked
    assert "give --yes" in asked
    said = hub.mesh("allow", "lap", "srv", "--dry-run")
    assert said == (
        "No rule joins these with any node: hub.\n"
        "hub can no longer begin to lap, srv.\n"
        "lap can no longer begin to hub.\n"
        "srv can no longer begin to hub, lap.\n"
    )
    assert hub.ask("allow", "lap", "srv", "--dry-run")["would_be_cut_off"] == ["hub"]

    with Terminal(hub.host, program("wgpy"), "mesh", "allow", "lap", "srv") as terminal:
        assert "No rule joins these with any node: hub." in terminal.shows("Allow it? [y/N] ")
        terminal.types("\n")
        assert terminal.ends() == 1
    assert "nothing was changed" in terminal.shown
    srv.ping(lap)

    with Terminal(hub.host, program("wgpy"), "mesh", "allow", "lap", "srv") as terminal:
        terminal.shows("Allow it? [y/N] ")
        terminal.types("y\n")
        assert terminal.ends() == 0
    eventually(lambda: not srv.reaches(lap), "srv no longer begins to lap")
    lap.ping(srv)
    hub.mesh("allow", "hub", "srv")  # no other one asks
    assert "hub can no longer begin to srv." in hub.mesh("disallow", "hub", "srv", "--dry-run")


def test_a_rule_stays_with_its_node_and_each_end_of_a_name_tells_which(network: Lan) -> None:
    hub, lap, srv = network.nodes
    mallory = network.joined("mallory")
    hub.mesh("allow", "lap", "srv", "--yes")
    eventually(lambda: "lap to srv" in hub.mesh("status"), "the hub, which knows neither, shows both names")
    assert "there is no node desk, and a rule is for a node" in sentence(hub.attempt("allow", "desk", "srv"))
    lap.ping(srv)

    assert "Rules for it, which stay so: lap to srv." in lap.mesh("rename", "desk")
    assert "Rules" not in mallory.mesh("rename", "lap")

    eventually(lambda: "desk to srv" in srv.mesh("status"), "srv shows the new name")
    lap.ping(srv)
    assert not mallory.reaches(srv)
    assert "rule node:lap to node:srv" in hub.mesh("audit")

    assert "for no node from now on: desk to srv." in srv.mesh("leave")
    removed = hub.ask("remove", "desk")
    assert removed["rules"] == ["desk to srv"]
    mallory.mesh("rename", "desk")
    assert "there is no rule desk to srv; the rules are: " in sentence(hub.attempt("disallow", "desk", "srv"))
    identity = removed["identity"]
    assert "There is no rule left" in hub.mesh("disallow", identity, "srv", "--yes")
