"""What `wgpy mesh status` shows."""

import re
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from tests.documents import checked
from tests.unit.mesh_statuses import KEYS, NOW, a_status, client, peer
from wgpy.cli.mesh import status
from wgpy.cli.mesh.output import columns, date
from wgpy.cli.mesh.peer_table import MAX_REASONS
from wgpy.mesh.codec import MAX_NUMBER
from wgpy.node import document
from wgpy.node.agent_client import Excluded, RejectedRecord, Rule
from wgpy.node.coordinator_client import with_port


def test_a_healthy_network_is_a_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)

    shown = status.text(a_status(), None)

    assert "coordinator    https://vpn.example.com:51820, connected" in shown
    assert "everybody reaches everybody" in shown
    assert shown.splitlines()[-1].startswith("web2  100.64.0.2  192.0.2.2:51820")
    assert shown.splitlines()[-1].endswith("fd12:3456::2")


def test_a_narrow_terminal_is_shown_no_ipv6_addresses_of_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    shown = status.text(a_status(), None)

    assert "fd12:3456::2" not in shown
    assert "192.0.2.2:51820" in shown


def test_whatever_is_wrong_is_shown_with_what_to_do() -> None:
    shown = status.text(
        a_status(
            connected=False, trouble="nobody answers", heard=0,
            requested=(IPv4Network("10.1.0.0/16"),), rejected_count=4,
            rules=(Rule(7, "node:web1", "tag:k8s", 1),),
            rejected=(RejectedRecord(NOW, "coordinator", "not signed by the right key", "a node"),),
            excluded=(Excluded("old", KEYS[3], "it left", over=True, since=0),),
            withheld=("the removal of web3",),
            peers=(peer(left_out=("10.2.0.0/16 is a network of eth0",)),), warnings=("the disk is full",),
        ),
        None,
    )  # fmt: skip

    for expected in (
        "not connected, last heard never: nobody answers",
        "would announce 10.1.0.0/16: `wgpy mesh approve web1` allows it",
        "web1 to tag:k8s (rule 7, let in 1 packet)",
        "web2: 10.2.0.0/16 is a network of eth0",
        "old is no member: it left",
        "withheld by the coordinator: the removal of web3",
        "rejected 4 records",
        "from coordinator: not signed by the right key (a node)",
        "warning: the disk is full",
    ):
        assert expected in shown


def test_a_peer_is_shown_with_its_path_and_why_that_is_not_a_direct_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    relayed = peer(
        name="web3", relay="hub", endpoint="203.0.113.2:51820", round_trip=12_345, nat="endpoint-independent",
        tried=("198.51.100.7:51820", "10.0.0.3:51820"),
    )  # fmt: skip
    known = a_status(peers=(peer(round_trip=800), relayed), nat_kind="address-and-port-dependent")

    shown = status.text(known, None)

    assert re.search(r"^web2 +100\.64\.0\.2 +192\.0\.2\.2:51820 +- +0\.8 ms ", shown, re.MULTILINE)
    assert re.search(r"^web3 +100\.64\.0\.2 +by the relay hub +- +12\.3 ms ", shown, re.MULTILINE)
    assert "web3 is reached by the relay hub, as it has not answered at 198.51.100.7:51820, 10.0.0.3" in shown
    assert "(the NAT of web1 shows another port to each host and port and the NAT of web3 shows one" in shown
    assert "web2 is reached" not in shown


def test_a_host_without_udp_is_shown_so_for_each_peer() -> None:
    shown = status.text(a_status(peers=(peer(by_connection=True, relay="hub"),)), None)

    assert "web2 is reached by TLS and the relay hub, as no UDP passes from this host" in shown


def test_a_relay_that_is_used_after_a_silence_is_no_failure() -> None:
    shown = status.text(a_status(peers=(peer(relay="hub", idle=True),)), None)

    assert "web2 is reached by the relay hub, as nothing was sent for a while" in shown


def test_of_many_that_are_relayed_the_first_are_explained() -> None:
    many = tuple(peer(name=f"web{number}", relay="hub") for number in range(10, 30))

    shown = status.text(a_status(peers=many), None)

    assert shown.count("is reached by the relay hub") == MAX_REASONS
    assert f"{20 - MAX_REASONS} more are not; `wgpy mesh why NAME` says why of each" in shown


def test_a_node_that_does_not_answer_is_not_said_to_be_reached() -> None:
    shown = status.text(a_status(peers=(peer(relay="hub", unanswered=305),)), None)

    assert "web2 has not answered for 5 minutes, 5 seconds" in shown
    assert "is reached by" not in shown


def test_what_is_wrong_comes_first_where_it_is_watched() -> None:
    good, relayed, silent = peer(name="a"), peer(name="b", relay="hub"), peer(name="c", unanswered=60)
    known = a_status(peers=(good, relayed, silent), warnings=("the disk is full",))

    shown = status.text(known, None, wrong_first=True).splitlines()

    remarks = " is reached by ", " has not answered for "
    first_words = [
        line.split()[0] for line in shown if line and not any(remark in line for remark in remarks)
    ]
    order = [first_words.index(word) for word in ("warning:", "c", "b", "a", "network")]
    assert shown[0] == "web1 of prod: the coordinator is connected"
    assert order == sorted(order)


def test_who_is_no_member_sees_that_first() -> None:
    known = a_status(member=False, exclusion="it was removed")

    first, *_ = status.text(known, None, wrong_first=True).splitlines()

    assert first == "web1 is no member of prod: it was removed"


def test_the_rules_of_a_node_that_is_none_any_more_are_those_of_its_identity() -> None:
    rules = (Rule(1, "node:web2", "any", 0), Rule(2, f"node:{KEYS[3]}", "tag:k8s", 0))
    former = Excluded("web2", KEYS[3], "it was removed", over=True, since=0, rules=(2,))
    renewed = Excluded("db", KEYS[4], "it was removed", over=True, since=0)

    shown = status.text(a_status(rules=rules, excluded=(former, renewed)), None).splitlines()

    assert f"a former web2 is no member: it was removed; rules for it: {KEYS[3]} to tag:k8s" in shown
    assert "db is no member: it was removed" in shown


def test_a_node_without_peers_is_told_that_rules_may_hide_them() -> None:
    ruled = status.text(a_status(peers=(), rules=(Rule(1, "tag:a", "tag:b", 0),)), None)
    alone = status.text(a_status(peers=()), None)

    assert "a node knows those that a rule joins it with" in ruled
    assert "`wgpy mesh token`" not in ruled
    assert "No other node is known here; `wgpy mesh token` makes a token for one." in alone


def test_a_removed_node_is_shown_why_it_is_not_connected() -> None:
    removed = Excluded("web1", KEYS[1], "it was removed", over=True, since=NOW)
    about = a_status(
        connected=False, trouble="reconnecting", member=False, exclusion="it was removed", excluded=(removed,)
    )

    shown = status.text(about, None)

    assert "as this node is no member" in shown
    assert "reconnecting" not in shown


@pytest.mark.parametrize(
    ("hosts", "endpoints", "line"),
    [
        (("192.0.2.1:51820",), ("192.0.2.1:51820",), "reached at 192.0.2.1:51820\n"),
        (
            ("vpn.example.com:51820",),
            ("192.0.2.1:51820",),
            "reached at vpn.example.com:51820, now 192.0.2.1:51820",
        ),
        (("vpn.example.com:51820",), (), "reached at vpn.example.com:51820, without an address yet"),
    ],
)
def test_where_a_node_is_reached_is_shown_once(
    hosts: tuple[str, ...], endpoints: tuple[str, ...], line: str
) -> None:
    assert line in status.text(a_status(hosts=hosts, endpoints=endpoints), None)


@pytest.mark.parametrize(
    ("nat", "keepalive", "lasts", "line"),
    [
        ("203.0.113.7", 25, 0, "behind the NAT 203.0.113.7, keepalives every 25 s"),
        ("203.0.113.7", 0, 0, "behind the NAT 203.0.113.7, no keepalives"),
        (
            "203.0.113.7", 85, 88,
            "behind the NAT 203.0.113.7, keepalives every 85 s; a mapping lasts at least 88 s",
        ),
        ("", 9, 0, "keepalives every 9 s"),
    ],
)  # fmt: skip
def test_a_node_behind_a_nat_is_shown_so(nat: str, keepalive: int, lasts: int, line: str) -> None:
    shown = status.text(a_status(nat=nat, keepalive=keepalive, mapping_lasts=lasts), None)

    assert line in [text.strip() for text in shown.splitlines()]


def test_a_node_behind_a_firewall_is_shown_so() -> None:
    shown = status.text(a_status(filtered=True, keepalive=85, mapping_lasts=88), None)

    line = "behind a firewall that lets nothing in that was not asked for, keepalives every 85 s; a mapping"
    assert f"{line} lasts at least 88 s" in [text.strip() for text in shown.splitlines()]


DAY = 86_400
OLD = Excluded("old", KEYS[3], "it left", over=True, since=NOW - DAY - 1)


@pytest.mark.parametrize(
    ("node", "is_shown"),
    [
        (OLD, False),
        (replace(OLD, since=0), False),
        (replace(OLD, since=NOW - DAY), True),
        (replace(OLD, over=False, reason="its WireGuard key is another node's"), True),
        (replace(OLD, identity=KEYS[1]), True),
    ],
)
def test_who_ceased_to_be_a_member_is_shown_for_a_day(node: Excluded, is_shown: bool) -> None:
    known = status.without_old(a_status(excluded=(node,)), NOW)

    assert (node in known.excluded) is is_shown


def test_a_membership_that_expired_is_told_with_both_times() -> None:
    expired = Excluded("web1", KEYS[1], "its membership has expired", over=True, since=NOW)

    shown = status.text(
        a_status(member=False, exclusion="its membership has expired", excluded=(expired,), peers=()), None
    )

    assert "its membership has expired: 2023-11-14 22:13:20 UTC, and this host's clock says 20" in shown


def test_the_membership_of_another_node_that_expired_is_told_with_both_times() -> None:
    expired = Excluded("web2", KEYS[2], "its membership has expired", over=True, since=NOW)

    shown = status.text(a_status(excluded=(expired,)), None)

    expected = "web2 is no member: its membership has expired: 2023-11-14 22:13:20 UTC, and this host's clock"
    assert f"{expected} says 20" in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://vpn.example.com", "https://vpn.example.com:51820"),
        ("https://vpn.example.com:443", "https://vpn.example.com:443"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]:51820"),
        ("https://[2001:db8::1]:443", "https://[2001:db8::1]:443"),
    ],
)
def test_a_coordinator_is_shown_with_its_port(url: str, shown: str) -> None:
    assert with_port(url) == shown


def test_who_is_no_member_is_told_how_to_become_one_again() -> None:
    shown = status.text(a_status(member=False, exclusion="it was removed", peers=()), None)

    assert "no member: it was removed; `wgpy mesh leave`, then join with a new token" in shown
    assert "No other node" not in shown


def test_clients_are_shown_and_of_those_that_enter_here_the_traffic() -> None:
    entering = client(
        name="bob",
        gateway="web1",
        endpoint="198.51.100.9:4000",
        last_handshake=NOW,
        received=2048,
        expires=NOW,
    )
    shown = status.text(a_status(clients=(client(), entering)), None)

    table = shown[shown.index("CLIENT") :].splitlines()
    assert table[0].split("  ")[0] == "CLIENT"
    assert table[1].startswith("bob") and "198.51.100.9:4000" in table[1] and "2.00 KiB" in table[1]  # noqa: PT018
    assert table[2].split() == ["alice", "100.64.9.1", "web2", "-", "-", "-", "never"]
    assert "CLIENT" not in status.text(a_status(), None)


def test_programs_get_the_same_as_json() -> None:
    said = document.text({"networks": {"prod": a_status()}, "network_keys": {}})

    assert checked(("wgpy", "mesh", "status"), said)["networks"]["prod"]["peers"][0]["name"] == "web2"


def test_columns_stand_below_each_other() -> None:
    assert columns([("A", "BB"), ("ccc", "d")]) == "A    BB\nccc  d"


def test_a_time_that_no_calendar_has_is_shown_as_a_number() -> None:
    assert date(MAX_NUMBER) == str(MAX_NUMBER)
