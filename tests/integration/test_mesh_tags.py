"""Tags of nodes that are given after they joined, and of the first node, on hosts as in `meshlan`."""

import re

import pytest

from tests.integration.hosts import Lab, eventually
from tests.integration.meshlan import Lan


@pytest.fixture
def network(lab: Lab) -> Lan:
    """A network whose first node has a tag."""
    lan = Lan(lab)
    lan.add("hub")
    lan.init("--tag", "k8s")
    return lan


def test_the_first_node_has_the_tags_of_init_and_is_not_cut_off_by_a_rule_for_them(network: Lan) -> None:
    web = network.joined("web", "--tag", "k8s")

    network.hub.mesh("allow", "tag:k8s", "tag:k8s", "--yes")

    assert network.hub.status().tags == ("k8s",)
    network.hub.ping(web)
    web.ping(network.hub)


def test_tags_that_are_set_later_count_on_every_node_at_once(network: Lan) -> None:
    hub, desk = network.hub, network.joined("desk", "--tag", "office")
    hub.mesh("allow", "tag:k8s", "tag:k8s", "--yes")
    eventually(lambda: not desk.reaches(hub), "the rule is in force")

    said = hub.mesh("tag", "desk", "k8s", "edge")

    assert said == (
        "desk has the tags edge, k8s; before, it had the tag office.\n"
        "The rule tag:k8s to tag:k8s now concerns it.\n"
    )
    eventually(lambda: desk.reaches(hub), "desk reaches hub")
    assert desk.status().tags == ("edge", "k8s")
    assert "tags edge, k8s" in desk.mesh("status")
    assert re.search(r"^desk .* edge, k8s", hub.mesh("node-list"), re.MULTILINE)
    assert "may begin to hub: allow tag:k8s tag:k8s" in desk.mesh("why", "hub")
    assert "tags of desk: edge, k8s" in hub.mesh("audit")

    removed = hub.mesh("tag", "desk", "--remove")
    assert "desk has no tag; before" in removed
    assert "desk can no longer begin to hub." in removed
    eventually(lambda: not desk.reaches(hub), "desk no longer reaches hub")
    desk.kill()
    desk.start()
    assert desk.status().tags == ()


def test_what_makes_no_sense_to_tag_is_one_sentence_and_changes_nothing(network: Lan) -> None:
    hub = network.hub

    for arguments, status, says in (
        (("hub",), 2, "give all tags that the node is to have, or --remove for none"),
        (("hub", "web", "--remove"), 2, "give all tags that the node is to have, or --remove for none"),
        (("nobody", "web"), 1, "there is no node nobody; there are hub"),
    ):
        result = hub.attempt("tag", *arguments)
        assert (result.status, result.output) == (status, f"wgpy: {says}.\n")
    assert hub.attempt("tag", "hub", "Web!").status == 2
    assert hub.status().tags == ("k8s",)
