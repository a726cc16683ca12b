"""What the page shows of a network."""

import json
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from tests.unit.mesh_statuses import KEYS, NOW, a_status, client, peer
from wgpy.cli.errors import UsageError
from wgpy.cli.page.command import served_at
from wgpy.cli.page.view import view
from wgpy.node.agent_client import Excluded, RejectedRecord, Rule, Site, SiteGateway, Status

_OFFICE = Site(
    "office", (IPv4Network("192.168.1.0/24"),), (IPv4Network("100.64.128.0/24"),),
    (SiteGateway("web2", KEYS[2], 100, is_routed=True), SiteGateway("web3", KEYS[3], 200, is_routed=True)),
    "web2", own=False, exclusion="",
)  # fmt: skip


def shown(status: Status) -> dict[str, Any]:
    found = json.loads(json.dumps(view(status)))
    assert isinstance(found, dict)
    return found


def end(document: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in document["ends"] if one["name"] == name]
    assert isinstance(found, dict)
    return found


def edges(document: dict[str, Any]) -> dict[tuple[str, str], str]:
    names = {one["id"]: one["name"] for one in document["ends"]}
    return {(names[edge["source"]], names[edge["target"]]): edge["state"] for edge in document["edges"]}


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "direct"),
        ({"last_handshake": 0}, "idle"),
        ({"relay": "hub"}, "relay"),
        ({"relay": "hub", "by_connection": True}, "tls"),
        ({"unanswered": 16}, "silent"),
        ({"unanswered": 16, "last_handshake": 0}, "silent"),
        ({"unanswered": 15}, "direct"),
    ],
)
def test_a_node_is_in_the_state_of_its_path(fields: dict[str, Any], state: str) -> None:
    found = shown(a_status(peers=(peer(**fields),)))

    assert end(found, "web2")["state"] == state


def test_what_goes_by_a_relay_is_drawn_from_there() -> None:
    hub = peer(name="hub", identity=KEYS[3])
    relayed = peer(relay="hub", relays=("hub",), round_trip=12_345)

    found = shown(a_status(peers=(hub, relayed)))

    assert edges(found) == {("web1", "hub"): "direct", ("hub", "web2"): "relay"}
    assert end(found, "hub")["relay"]
    assert [edge["text"] for edge in found["edges"]] == ["", "12.3 ms"]


def test_a_site_hangs_at_each_gateway_and_is_as_well_as_the_one_in_use() -> None:
    peers = peer(unanswered=20), peer(name="web3", identity=KEYS[3])

    found = shown(a_status(peers=peers, sites=(_OFFICE,)))

    assert edges(found)["web2", "office"] == "site"
    assert edges(found)["web3", "office"] == "standby"
    assert end(found, "office")["state"] == "silent"


def test_a_site_without_its_spare_gateway_is_not_as_well_as_it_looks() -> None:
    peers = peer(), peer(name="web3", identity=KEYS[3], unanswered=60)

    found = end(shown(a_status(peers=peers, sites=(_OFFICE,))), "office")

    assert found["state"] == "degraded"
    assert ["no answer from", "web3"] in found["rows"]
    assert ["prefixes there", "192.168.1.0/24"] in found["rows"]


def test_what_a_node_may_begin_stands_with_its_ports() -> None:
    rules = (Rule(3, "node:web1", "tag:db:5432/tcp", 7),)

    found = end(shown(a_status(rules=rules, peers=(peer(outbound_rule=3),))), "web2")

    assert ["may begin", "this node to it, by rule 3: web1 to tag:db:5432/tcp"] in found["rows"]


def test_a_client_hangs_at_its_gateway() -> None:
    entered = client(name="bob", gateway="web1", last_handshake=NOW, received=5)

    found = shown(a_status(clients=(client(), entered)))

    assert edges(found)["web2", "alice"] == edges(found)["web1", "bob"] == "client"
    assert end(found, "alice")["state"] == "elsewhere"
    assert end(found, "bob")["state"] == "direct"


def test_who_is_no_member_is_named_and_has_no_path() -> None:
    former = Excluded("old", KEYS[4], "it was removed", over=True, since=NOW)

    found = shown(a_status(excluded=(former,)))

    assert end(found, "old")["rows"][0] == ["no member", "it was removed"]
    assert end(found, "old")["id"] not in {edge["target"] for edge in found["edges"]}


def test_each_thing_has_the_command_that_would_change_it() -> None:
    rules = (Rule(3, "node:web1", "tag:db:5432/tcp", 7),)

    found = shown(a_status(rules=rules, sites=(_OFFICE,)))

    (rule,) = found["rules"]
    assert rule["command"] == "sudo wgpy mesh disallow web1 tag:db:5432/tcp"
    assert "sudo wgpy mesh remove web2" in [text for _, text in end(found, "web2")["commands"]]
    assert "sudo wgpy mesh site remove office" in [text for _, text in end(found, "office")["commands"]]


def test_what_was_rejected_stands_the_newest_first() -> None:
    records = tuple(RejectedRecord(NOW + index, "coordinator", f"reason {index}", "x") for index in range(2))

    found = shown(replace(a_status(), rejected=records, rejected_count=7))

    assert [one["reason"] for one in found["rejected"]] == ["reason 1", "reason 0"]
    assert found["rejected_count"] == 7


@pytest.mark.parametrize(
    ("endpoints", "where"),
    [
        (("192.168.1.2:51820", "203.0.113.9:4000"), "203.0.113.9"),
        (("10.0.0.1:51820",), "192.0.2.2"),
        (("[2001:db8::5]:51820",), "2001:db8::5"),
    ],
)
def test_those_behind_one_nat_are_at_one_place(endpoints: tuple[str, ...], where: str) -> None:
    found = shown(a_status(peers=(peer(endpoints=endpoints),)))

    assert end(found, "web2")["place"] == where


@pytest.mark.parametrize("address", ["127.0.0.1", "127.3.4.5", "::1", "100.64.0.1", "fd12:3456::1"])
def test_the_page_is_served_to_this_host_or_to_the_mesh(address: str) -> None:
    assert served_at((address, 8080), a_status()) == (address, 8080)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "100.64.0.2", "localhost", "web1"])
def test_it_is_served_nowhere_else(address: str) -> None:
    with pytest.raises(UsageError, match="127.0.0.1 or ::1, or to the mesh, at 100.64.0.1 or fd12:3456::1"):
        served_at((address, 8080), a_status())
