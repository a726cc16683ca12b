"""`wgpy mesh why`: what it finds, and what it says of that."""

import re
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from tests.unit.mesh_statuses import KEYS, NOW, a_status, client, peer
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import probe
from wgpy.cli.mesh.probe import Way
from wgpy.cli.mesh.why import Finding, judge, sentence
from wgpy.cli.mesh.why_ports import Permitted, split
from wgpy.cli.mesh.why_target import find
from wgpy.cli.mesh.why_trial import Trial
from wgpy.mesh.ports import TCP, UDP, Ports
from wgpy.node.agent_client import Excluded, KubernetesStatus, Rule, Status, UdpAnswer

INNER, OUTER = Way("mesh0", "", ""), Way("eth0", "10.0.0.1", "")
BEHIND_NAT = ("203.0.113.9:51820", "192.168.1.2:51820")


def trial(**fields: Any) -> Trial:
    return Trial(**{"is_up": True, "inner": INNER, "outer": OUTER, **fields})


def findings(known: Status, tried: Trial | None, name: str = "web2") -> dict[str, Finding]:
    return {finding.subject: finding for finding in judge(known, name, NOW, tried)}


@pytest.mark.parametrize(
    ("known", "subject", "good", "text", "advice"),
    [
        (a_status(), "handshake", True, "ago", ""),
        (a_status(peers=()), "node", False, "none of that name", "`wgpy mesh node-list`"),
        (
            a_status(peers=(), rules=(Rule(1, "any", "any", 0),)),
            "node", False, "none of that name", "A rule may be missing",
        ),
        (a_status(peers=(), connected=False), "node", False, "", "The coordinator does not answer"),
        (
            a_status(peers=(), excluded=(Excluded("web2", KEYS[2], "it was removed", over=True, since=0),)),
            "node", False, "no member: it was removed", "join again",
        ),
        (a_status(peers=(peer(last_handshake=0),)), "handshake", None, "never", ""),
        (a_status(peers=(peer(last_handshake=NOW - 181),)), "handshake", None, "ago", ""),
    ],
)  # fmt: skip
def test_why_ends_with_what_decides(
    known: Status, subject: str, good: bool | None, text: str, advice: str
) -> None:
    last = list(judge(known, "web2", NOW))[-1]

    assert (last.subject, last.good) == (subject, good)
    assert text in last.text
    assert advice in last.advice if advice else last.advice == ""


def test_why_tells_of_rule_route_and_endpoint() -> None:
    known = a_status(
        rules=(Rule(2, "node:db", "tag:office", 0), Rule(12, "tag:k8s", "node:web1", 0)),
        peers=(peer(endpoint="", left_out=("10.2.0.0/16 is a network of eth0",), inbound_rule=12),),
    )

    found = {finding.subject: finding for finding in judge(known, "web2", NOW)}

    assert found["inbound"].text == "web2 may begin to web1: allow tag:k8s web1 (rule 12)"
    assert found["outbound"].text == "web1 may not begin to web2: no rule says so"
    assert (found["outbound"].good, found["inbound"].good) == (False, True)
    assert "`wgpy mesh allow web1 web2`" in found["outbound"].advice
    assert found["route"].text == "10.2.0.0/16 is a network of eth0"
    assert "--endpoint" in found["endpoint"].advice


def test_a_node_that_may_not_begin_here_is_reachable_nevertheless() -> None:
    known = a_status(rules=(Rule(3, "any", "tag:k8s", 9),), peers=(peer(outbound_rule=3),))

    findings = {finding.subject: finding for finding in judge(known, "web2", NOW)}

    assert findings["inbound"].text == "web2 may not begin to web1: no rule says so"
    assert (findings["inbound"].good, findings["inbound"].is_decisive) == (False, False)
    assert findings["outbound"].good


def test_why_begins_with_this_node_itself() -> None:
    (first,) = judge(a_status(member=False, exclusion="it was removed"), "web2", NOW)

    assert (first.subject, first.good, first.text) == ("this node", False, "no member: it was removed")
    with pytest.raises(CommandError, match="web1 is this node"):
        next(judge(a_status(), "web1", NOW))


# -- what was tried ----------------------------------------------------------------------------------


def test_an_answer_is_what_makes_a_node_reachable() -> None:
    *_, last = judge(a_status(peers=(peer(last_handshake=0),)), "web2", NOW, trial(milliseconds=3.25))

    assert (last.subject, last.good) == ("ping", True)
    assert last.text == "100.64.0.2 answered within 3.2 ms"


def test_a_young_handshake_does_not_make_a_silent_node_reachable() -> None:
    known = a_status(peers=(peer(last_handshake=NOW - 5, unanswered=182),))

    found = findings(known, trial())

    assert found["traffic"].text == "nothing came for 182 seconds, although this node sent"
    assert (found["ping"].good, found["ping"].text) == (False, "no answer within 6 s, and nothing else came")
    assert "UDP passes from here to 192.0.2.2:51820" in found["ping"].advice


def test_a_node_that_drops_pings_is_not_called_unreachable() -> None:
    found = findings(a_status(), trial(received=32))

    assert found["ping"].good is None
    assert "a firewall drops pings" in found["ping"].advice


def test_by_which_relay_a_node_is_reached_is_said() -> None:
    known = peer(relay="hub", since=NOW, relays=("hub", "spare"))

    by_relay = findings(a_status(peers=(known,)), trial(milliseconds=1.0))["path"]
    direct = replace(known, relay="", since=0)
    directly = findings(a_status(peers=(direct,)), trial(milliseconds=1.0))["path"].text

    assert by_relay.text.startswith("by the relay hub, first ")
    assert "map a UDP port to web1 (port 51820) or to web2" in by_relay.advice
    assert directly == "directly; hub, spare can pass on what it is sent, too"
    assert "path" not in findings(a_status(), trial(milliseconds=1.0))


def test_since_when_and_how_fast_a_node_is_reached_is_said() -> None:
    known = peer(relays=("hub",), since=NOW, round_trip=2_500)
    without = replace(known, relays=())

    texts = [findings(a_status(peers=(one,)), trial())["path"].text for one in (known, without)]

    assert re.fullmatch(
        r"directly, first .* ago, within 2\.5 ms; hub can pass on what it is sent, too", texts[0]
    )
    assert re.fullmatch(r"directly, first .* ago, within 2\.5 ms", texts[1])


def test_what_the_nats_do_and_what_was_tried_is_said_of_a_relayed_node() -> None:
    known = peer(relay="hub", relays=("hub",), tried=("198.51.100.7:51820",), nat="address-dependent")
    here = a_status(peers=(known,), nat="203.0.113.1", keepalive=25, nat_kind="endpoint-independent")

    found = findings(here, trial())

    assert found["path"].text == (
        "by the relay hub, as it has not answered at 198.51.100.7:51820 (the NAT of web1 shows one port to "
        "everybody and the NAT of web2 shows another port to each host)"
    )
    assert found["NAT"].text.startswith("web1 is behind 203.0.113.1, which shows one port to everybody, and")
    assert found["endpoint"].text.endswith("web2 is behind a NAT, which shows another port to each host")


def test_a_handshake_that_was_begun_and_never_answered_is_told_from_none() -> None:
    known = a_status(peers=(peer(last_handshake=0),))

    assert findings(known, trial())["handshake"].text == "never, although this node began one"
    assert findings(known, None)["handshake"].text == "never"


def test_the_reason_is_what_decides_with_what_to_do() -> None:
    unknown = sentence(list(judge(a_status(peers=()), "web2", NOW)))
    silent = sentence(list(judge(a_status(), "web2", NOW, trial())))

    assert unknown.startswith("none of that name is known here. `wgpy mesh node-list` says")
    assert silent.startswith("no answer within 6 s, and nothing else came. See that web2 runs")


@pytest.mark.parametrize(
    ("relay", "advice"),
    [
        (True, "The relay hub answers, and web2 does not: see that web2 runs"),
        (
            False,
            "Nor does the relay hub: see that it runs, and that UDP passes to 203.0.113.2:51820",
        ),
        (None, "See that web2 runs"),
    ],
)
def test_a_silent_node_is_told_from_a_silent_relay(relay: bool | None, advice: str) -> None:
    silent = peer(relay="hub", relays=("hub",), endpoint="203.0.113.2:51820", unanswered=60)

    found = findings(a_status(peers=(silent,)), trial(relay=relay))

    assert found["ping"].advice.startswith(advice)
    assert found["endpoint"].text == "203.0.113.2:51820, of the relay hub"


def test_where_both_are_behind_nats_without_a_relay_one_is_advised() -> None:
    known = peer(endpoints=("198.51.100.7:51820", "192.168.1.10:51820"))

    alone = findings(a_status(nat="203.0.113.1", peers=(known,)), trial())["ping"].advice
    with_relay = findings(a_status(nat="203.0.113.1", peers=(replace(known, relays=("hub",)),)), trial())[
        "ping"
    ].advice

    assert "`wgpy mesh relay add NODE`" in alone
    assert "relay add" not in with_relay


def test_both_ways_are_shown() -> None:
    found = findings(a_status(), trial(milliseconds=1.0))

    assert found["inner way"].text == "by mesh0"
    assert found["outer way"].text == "by eth0, gateway 10.0.0.1"


@pytest.mark.parametrize(
    ("tried", "subject", "text", "advice"),
    [
        (trial(is_up=False), "inner way", "mesh0 is down", "`ip link set mesh0 up`"),
        (trial(inner=OUTER), "inner way", "by eth0, gateway 10.0.0.1, and not by mesh0", "Another route"),
        (
            trial(inner=Way("", "", "Network is unreachable")),
            "inner way", "no way: Network is unreachable, and not by mesh0", "`ip route get 100.64.0.2`",
        ),
        (trial(outer=Way("", "", "No route to host")), "outer way", "no way: No route to host", "no route"),
        (trial(outer=INNER), "outer way", "by mesh0", "into the tunnel"),
    ],
)  # fmt: skip
def test_a_way_that_leads_elsewhere_is_told(tried: Trial, subject: str, text: str, advice: str) -> None:
    finding = findings(a_status(), tried)[subject]

    assert (finding.good, finding.text) == (False, text)
    assert advice in finding.advice


def test_what_leaves_by_another_interface_is_not_judged_by_its_answer() -> None:
    *_, last = judge(a_status(), "web2", NOW, trial(inner=OUTER, milliseconds=1.0))

    assert last.subject != "ping"


def test_a_host_that_answers_by_udp_has_a_node_that_does_not() -> None:
    answers = (UdpAnswer("192.0.2.2:51820", True, 4000), UdpAnswer("10.0.0.2:51820", False, 0))

    found = findings(a_status(), trial(udp=answers))

    assert found["UDP"].text == "answered from 192.0.2.2:51820 within 4.0 ms"
    assert "answers by UDP, but its node does not" in found["ping"].advice


def test_no_answer_by_udp_decides_nothing() -> None:
    found = findings(a_status(), trial(udp=(UdpAnswer("192.0.2.2:51820", False, 0),), milliseconds=2.0))

    assert (found["UDP"].good, found["UDP"].is_decisive) == (None, False)
    assert found["ping"].good


def test_a_firewall_in_front_of_this_node_is_named() -> None:
    here = findings(a_status(filtered=True, keepalive=25), None)["firewall"]

    assert here.good is None, "it reaches others nevertheless"
    assert here.text.endswith("lets nothing in that was not asked for; it sends keepalives every 25 s")
    assert "let UDP port 51820 in" in here.advice


# -- NAT ---------------------------------------------------------------------------------------------


def test_a_nat_is_named_where_it_is() -> None:
    here = findings(a_status(nat="203.0.113.7", keepalive=25), None)["NAT"]
    silent = findings(a_status(nat="203.0.113.7"), None)["NAT"]
    there = findings(a_status(peers=(peer(endpoints=BEHIND_NAT),)), trial())

    assert (here.good, here.text) == (True, "web1 is behind 203.0.113.7, and sends keepalives every 25 s")
    assert "`wgpy mesh keepalive auto`" in silent.advice
    assert there["endpoint"].text.endswith("; web2 is probably behind a NAT")
    assert "it is reached while it sends keepalives" in there["ping"].advice


@pytest.mark.parametrize(
    "endpoints",
    [(), ("203.0.113.9:51820",), ("192.168.1.2:51820", "10.0.0.2:51820"), ("[fd00::2]:51820",),
     ("[fd00::2]:51820", "[2001:db8::2]:51820", "203.0.113.9:51820")],
)  # fmt: skip
def test_a_node_with_addresses_of_one_kind_is_not_said_to_be_behind_a_nat(endpoints: tuple[str, ...]) -> None:
    assert "NAT" not in findings(a_status(peers=(peer(endpoints=endpoints),)), trial())["endpoint"].text


@pytest.mark.parametrize(
    "tried",
    [
        trial(udp=(UdpAnswer(BEHIND_NAT[0], True, 3),)),
        trial(milliseconds=2.0),
        trial(received=148),
    ],
)
def test_a_node_that_is_reached_by_its_public_address_is_not_said_to_be_behind_a_nat(tried: Trial) -> None:
    gateway = peer(endpoints=BEHIND_NAT, endpoint=BEHIND_NAT[0])

    found = findings(a_status(peers=(gateway,)), tried)

    assert "NAT" not in found["endpoint"].text
    assert "behind a NAT" not in found["ping"].advice


# -- clients -----------------------------------------------------------------------------------------


def test_a_silent_client_is_told_from_a_silent_gateway() -> None:
    known = a_status(clients=(client(),))
    answer = (UdpAnswer("192.0.2.2:51820", True, 3),)

    of_both = findings(known, trial(), "alice")["ping"]
    of_client = findings(known, trial(udp=answer), "alice")["ping"]

    assert of_both.advice.startswith("See that web2 runs")
    assert of_client.good is None
    assert of_client.text == "alice did not answer, but web2 did, by which it enters"
    assert "it is alice whose tunnel may not be up" in of_client.advice


@pytest.mark.parametrize(
    ("last", "said"), [(0, "has not come yet: its device has to bring"), (NOW, "was here ")]
)
def test_at_its_own_gateway_a_client_is_said_to_have_come_or_not(last: int, said: str) -> None:
    known = a_status(clients=(client(gateway="web1", last_handshake=last),))

    with pytest.raises(CommandError, match=f"alice enters by this node, and {said}"):
        find(known, "alice")


# -- addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["web2", "100.64.0.2", "fd12:3456::2", str(KEYS[2])])
def test_a_node_is_found_by_name_identity_and_address(name: str) -> None:
    target = find(a_status(), name)

    assert target is not None
    assert target.peer.name == "web2"
    assert str(target.address) == ("fd12:3456::2" if ":" in name else "100.64.0.2")


def test_an_address_behind_a_node_is_of_the_longest_prefix() -> None:
    wide, narrow = ip_network("10.42.0.0/16"), ip_network("10.42.3.0/24")
    known = a_status(peers=(peer(routes=(wide,)), peer(name="web3", identity=KEYS[3], routes=(narrow,))))

    target = find(known, "10.42.3.7")

    assert target is not None
    assert (target.peer.name, target.address, target.prefix) == ("web3", ip_address("10.42.3.7"), narrow)
    assert findings(known, None, "10.42.3.7")["node"].text == "web3 announces 10.42.3.0/24"


def test_an_address_that_nobody_has_is_not_reachable() -> None:
    (_, node) = judge(a_status(), "10.9.9.9", NOW)

    assert (node.good, node.text) == (False, "none with that address, or a route to it, is known here")


@pytest.mark.parametrize("name", ["100.64.0.1", "fd12:3456::1"])
def test_an_address_of_this_node_is_this_node(name: str) -> None:
    with pytest.raises(CommandError, match="is this node"):
        find(a_status(), name)


# -- the kernel --------------------------------------------------------------------------------------


def test_the_kernel_is_asked_for_the_way() -> None:
    assert probe.way_to("127.0.0.1") == Way("lo", "", "")
    assert probe.way_to("::1", mark=7) == Way("lo", "", "")
    assert probe.is_up("lo")
    assert not probe.is_up("no-such-link")


def test_a_packet_without_a_way_has_the_kernels_reason() -> None:
    """An address of this kind leads nowhere in any table."""
    way = probe.way_to("fe80::1%2147483647")

    assert (way.interface, bool(way.error)) == ("", True)


def test_an_answer_of_this_host_itself_is_none_of_the_peers() -> None:
    other = UdpAnswer("203.0.113.9:51820", False, 0)
    answers = (UdpAnswer("127.0.0.9:51820", True, 0), UdpAnswer("[::1]:51820", True, 0), other)

    assert probe.from_others(answers) == (other,)


@pytest.mark.parametrize("name", ["alice", "100.64.9.1", "fd12:3456::9:1"])
def test_why_leads_to_a_client_by_its_gateway(name: str) -> None:
    known = a_status(clients=(client(),))

    found = findings(known, None, name)

    assert found["client"].good
    assert found["client"].text == ("alice enters by web2, and has 100.64.9.1 and fd12:3456::9:1 there")
    target = find(known, name)
    assert target is not None
    assert target.peer.name == "web2"
    assert target.address == ip_address("100.64.9.1")


def test_what_is_advised_opens_a_client_and_not_its_gateway() -> None:
    known = a_status(clients=(client(),), rules=(Rule(1, "any", "tag:db", 0),))

    found = {one.subject: one for one in judge(known, "alice", NOW, None, Permitted({SSH: ""}))}

    assert "`wgpy mesh allow web1 client:alice:22/tcp`" in found["22/tcp"].advice
    assert "`wgpy mesh allow web1 client:alice`" in found["outbound"].advice
    assert not found["outbound"].is_decisive


def test_why_says_that_a_client_enters_here() -> None:
    with pytest.raises(CommandError, match="alice enters by this node"):
        find(a_status(clients=(client(gateway="web1"),)), "alice")


# -- ports -------------------------------------------------------------------------------------------

SSH, DNS = Ports(TCP, 22, 22), Ports(UDP, 53, 53)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web2", ("web2", ())),
        ("web2:22/tcp", ("web2", (SSH,))),
        ("10.0.0.1:22/tcp,53/udp", ("10.0.0.1", (SSH, DNS))),
        ("fd00::1", ("fd00::1", ())),
        ("[fd00::1]:22/tcp", ("fd00::1", (SSH,))),
        ("site:office", ("site:office", ())),
        ("site:office:22/tcp", ("site:office", (SSH,))),
        ("office/192.168.1.20:22/tcp", ("office/192.168.1.20", (SSH,))),
        ("office/[fd00::1]:22/tcp", ("office/[fd00::1]", (SSH,))),
    ],
)
def test_why_is_asked_of_ports_too(text: str, expected: tuple[str, tuple[Ports, ...]]) -> None:
    assert split(text) == expected


def test_why_of_what_are_no_ports_says_so() -> None:
    with pytest.raises(CommandError, match="ssh is no list of ports"):
        split("web2:ssh")


def test_why_names_the_rule_of_each_port_or_says_which_one_is_missing() -> None:
    known = a_status(rules=(Rule(1, "any", "tag:k8s:22/tcp", 0),), peers=(peer(outbound_rule=1),))
    permitted = Permitted({SSH: "allow any tag:k8s:22/tcp", DNS: ""}, ping=False)

    found = {finding.subject: finding for finding in judge(known, "web2", NOW, None, permitted)}

    assert found["22/tcp"].text == "web1 may begin to web2:22/tcp: allow any tag:k8s:22/tcp"
    assert (found["22/tcp"].good, found["53/udp"].good) == (True, False)
    assert found["53/udp"].text == "web1 may not begin to web2:53/udp: no rule says so"
    assert "`wgpy mesh allow web1 web2:53/udp`" in found["53/udp"].advice
    assert permitted.tcp_port == 22


@pytest.mark.parametrize(
    ("tried", "good", "text"),
    [
        (trial(port=22, milliseconds=1.0), True, "port 22 answered within 1.0 ms"),
        (trial(port=22, milliseconds=1.0, refused=True), False, "and refused the connection"),
        (trial(port=22), False, "port 22 did not answer within 6 s"),
    ],
)
def test_a_connection_decides_where_a_port_is_asked_about(tried: Trial, good: bool, text: str) -> None:
    last = list(judge(a_status(), "web2", NOW, tried, Permitted({SSH: "allow any any"})))[-1]

    assert (last.subject, last.good) == ("connection", good)
    assert text in last.text


def test_a_ping_that_no_rule_allows_decides_nothing() -> None:
    last = list(judge(a_status(), "web2", NOW, trial(), Permitted(ping=False)))[-1]

    assert (last.subject, last.good) == ("ping", None)
    assert "no rule lets this node ping it" in last.text


def test_a_pod_of_the_same_cluster_is_said_to_be_one() -> None:
    own, other, site = map(ip_network, ("10.244.2.0/24", "10.244.3.0/24", "192.168.1.0/24"))
    followed = KubernetesStatus(node="worker-1", ranges=(own,))
    known = a_status(peers=(peer(routes=(other, site)),), kubernetes=followed)

    assert findings(known, trial(), "10.244.3.5")["route"].text == (
        "10.244.3.0/24 is a pod range of node web2, by Kubernetes"
    )
    assert findings(known, trial(), "192.168.1.5")["route"].text.startswith("also to")
    with pytest.raises(CommandError, match="10.244.2.0/24 is a pod range of node worker-1, by Kubernetes"):
        find(known, "10.244.2.7")
