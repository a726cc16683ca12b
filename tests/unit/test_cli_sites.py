"""`wgpy mesh site`, and what `status` and `why` show of sites, without a mesh."""

import subprocess
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from tests.unit.mesh_statuses import KEYS, NOW, a_status, peer
from wgpy.address import Prefix
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import argument_types as types
from wgpy.cli.mesh import status
from wgpy.cli.mesh.site_table import in_vain, named, return_routes, single, unreached
from wgpy.cli.mesh.why import Finding, judge
from wgpy.cli.mesh.why_names import meant
from wgpy.cli.mesh.why_ports import Permitted
from wgpy.cli.mesh.why_target import find
from wgpy.mesh.ports import TCP, Ports
from wgpy.mesh.selectors import parse_end
from wgpy.node.agent_client import Rule, Site, SiteGateway, Status
from wgpy.node.site_report import how_reached, silent_gateways

LAN = "192.168.1.0/24"


def networks(*texts: str) -> tuple[Prefix, ...]:
    return tuple(map(ip_network, texts))


def site(name: str = "office", **fields: Any) -> Site:
    known: dict[str, Any] = {
        "real": networks(LAN), "mapped": networks("100.96.4.0/24"),
        "gateways": (SiteGateway("web2", KEYS[2], 100, False),), "used": "web2", "own": False,
        "exclusion": "",
    }  # fmt: skip
    return Site(name, **{**known, **fields})


def a_mesh(*sites: Site) -> Status:
    """web2 is the gateway of them all."""
    routes = tuple(prefix for one in sites if one.used for prefix in one.mapped)
    return a_status(peers=(peer(routes=routes),), sites=sites)


def findings(known: Status, name: str) -> dict[str, Finding]:
    return {finding.subject: finding for finding in judge(known, name, NOW, None)}


# -- How a site is reached -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "reason", "sentence"),
    [
        (site(mapped=networks(LAN)), "", "office is reached as 192.168.1.0/24"),
        (
            site(), "home already is 192.168.1.0/24",
            "office is reached as 100.96.4.0/24, because home already is 192.168.1.0/24",
        ),
        (
            site(real=networks("10.1.0.0/16", LAN), mapped=networks("100.97.0.0/16", "100.96.4.0/24")), "",
            "office (10.1.0.0/16, 192.168.1.0/24) is reached as 100.97.0.0/16, 100.96.4.0/24",
        ),
    ],
)  # fmt: skip
def test_one_sentence_says_as_what_a_site_is_reached_and_why(found: Site, reason: str, sentence: str) -> None:
    assert how_reached(found, reason) == sentence


def test_a_single_address_is_said_to_be_one() -> None:
    assert single(site(real=networks(LAN, "fd00:42::/64"))) == ""
    assert single(site(real=networks("192.168.1.7/32"))) == (
        "\n192.168.1.7/32 is one address: for a whole network name its prefix, such as 192.168.1.0/24."
    )
    assert "such as fd00:42::/64." in single(site(real=networks("fd00:42::7/128")))


def test_the_status_shows_sites_by_whom_they_are_reached_and_what_waits() -> None:
    waiting = site("lab", mapped=networks(LAN), used="", own=True, exclusion="nobody has approved it")
    shown = status.text(a_mesh(site(), waiting), None).splitlines()

    (office,) = [line.split("  ") for line in shown if line.startswith("office")]
    assert [cell.strip() for cell in office if cell] == [
        "office", LAN, "100.96.4.0/24", "web2", "in force, by web2",
    ]  # fmt: skip
    assert any("nobody has approved it: `wgpy mesh approve lab`" in line for line in shown)


def test_a_zone_that_waits_is_shown_with_the_command_that_approves_it() -> None:
    found = site(waiting=("office.example",))
    waiting = "zone office.example waits for `wgpy mesh approve office`"

    assert f"in force, by web2; {waiting}" in status.text(a_mesh(found), None)
    assert named(found) == f"\nZ{waiting[1:]}."
    more = site(servers=(ip_address("192.168.1.53"),), zones=("lan",), waiting=("a.example", "b.example"))
    assert named(more).splitlines() == [
        "",
        "For names at and below lan nodes ask 192.168.1.53.",
        "Zones a.example, b.example wait for `wgpy mesh approve office`.",
    ]
    assert named(site()) == ""


def test_a_status_without_sites_has_no_table_of_them() -> None:
    assert "REACHED AS" not in status.text(a_status(), None)


# -- Why -----------------------------------------------------------------------------------------------


def test_why_tells_a_site_by_its_gateway() -> None:
    target = find(a_mesh(site()), "office")

    assert target is not None
    assert (target.peer.name, target.address) == ("web2", peer().address)
    text = findings(a_mesh(site()), "office")["site"].text
    assert text == "192.168.1.0/24 behind web2, reached as 100.96.4.0/24"


def test_why_tells_which_host_of_a_site_an_address_is() -> None:
    target = find(a_mesh(site()), "100.96.4.10")

    assert target is not None
    assert (target.address, target.prefix) == (ip_address("100.96.4.10"), ip_network("100.96.4.0/24"))
    assert findings(a_mesh(site()), "100.96.4.10")["site"].text == "192.168.1.10 of office, behind web2"


def test_why_tells_the_mapped_address_of_a_host_checksum_neutral_of_ipv6() -> None:
    found = site(
        real=networks("192.168.1.0/24", "2001:db8:1::/48"),
        mapped=networks("100.96.4.0/24", "fd12:3456:1::/48"),
    )

    for real, mapped in (("192.168.1.10", "100.96.4.10"), ("2001:db8:1:1::7", "fd12:3456:1:")):
        finding = findings(a_mesh(found), real)["site"]
        assert finding.good is False
        assert f"the mesh has no way to {real} itself, but it is reached as {mapped}" in finding.text
        assert " in office" in finding.text
        address = finding.text.rpartition(" as ")[2].removesuffix(" in office")
        back = findings(a_mesh(found), address)["site"].text
        assert back == f"{real} of office, behind web2"


def test_why_tells_all_hosts_that_have_one_real_address() -> None:
    sites = [site(name, mapped=networks(f"100.96.{number}.0/24")) for number, name in enumerate(("a", "b"))]

    text = findings(a_mesh(*sites), "192.168.1.10")["site"].text

    assert text.endswith("it is reached as 100.96.0.10 in a, 100.96.1.10 in b")


def test_why_tells_what_a_site_waits_for() -> None:
    waiting = site(used="", exclusion="nobody has approved it")
    unjoined = site(used="")

    assert "`wgpy mesh approve office`" in findings(a_mesh(waiting), "office")["site"].text
    assert (
        "no rule joins this node with a gateway of office"
        in findings(a_mesh(unjoined), "office")["site"].text
    )


@pytest.mark.parametrize(
    ("name", "destination"),
    [
        ("100.96.4.20", "office/192.168.1.20"),
        ("fd12:3456:1::20", "office/[fd12:3456:1::20]"),
        ("office", "site:office"),
    ],
)
def test_what_is_advised_opens_the_host_of_a_site_alone(name: str, destination: str) -> None:
    dual = site(real=networks(LAN, "2001:db8:1::/48"), mapped=networks("100.96.4.0/24", "fd12:3456:1::/48"))
    known = replace(a_mesh(dual), rules=(Rule(1, "any", "tag:k8s", 0),))

    found = {one.subject: one for one in judge(known, name, NOW, None, Permitted({Ports(TCP, 80, 80): ""}))}

    assert f"`wgpy mesh allow web1 {destination}:80/tcp`" in found["80/tcp"].advice
    assert f"`wgpy mesh allow web1 {destination}`" in found["outbound"].advice
    assert str(parse_end(f"{destination}:80/tcp").selector) == "site:office"


def an_exit(*prefixes: str, **fields: Any) -> Status:
    """web2 is the gateway of the exit that this node uses."""
    routes = networks(*prefixes)
    return a_status(
        sites=(site("internet", real=routes, mapped=routes),), exit="internet", exit_gateway="web2",
        exit_routes=routes, peers=(peer(**{"last_handshake": int(time.time()), **fields}),),
    )  # fmt: skip


BOTH = ("0.0.0.0/0", "::/0")


@pytest.mark.parametrize(
    ("prefixes", "fields", "line"),
    [
        (BOTH, {}, "internet by web2, IPv4 and IPv6"),
        (BOTH[:1], {}, "internet by web2, IPv4; IPv6 goes nowhere"),
        (BOTH[1:], {}, "internet by web2, IPv6; IPv4 goes nowhere"),
        (BOTH, {"unanswered": 16}, "internet by web2, IPv4 and IPv6; web2 does not answer"),
        (BOTH, {"last_handshake": 0}, "internet by web2, IPv4 and IPv6; last handshake never"),
    ],
)
def test_the_status_tells_what_an_exit_does_not_take_and_whether_its_gateway_is_away(
    prefixes: Sequence[str], fields: Mapping[str, Any], line: str
) -> None:
    known = an_exit(*prefixes, **fields)

    (shown,) = [one for one in status.text(known, None).splitlines() if one.startswith("exit ")]

    assert shown.removeprefix("exit").strip() == line


def test_a_gateway_that_does_not_answer_is_a_warning_for_each_of_its_sites() -> None:
    exit_, silent = an_exit("0.0.0.0/0").sites[0], peer(unanswered=40)

    told = list(silent_gateways([site(), exit_, site("lab", used="web9")], [silent], "internet"))

    assert told[0] == "office is not reached: web2, its gateway, has not answered for 40 seconds"
    assert told[1].startswith(
        "the exit internet is not reached (web2, its gateway, has not answered for 40 seconds)"
    )
    assert "`wgpy mesh use --none`" in told[1]
    assert len(told) == 2


def test_a_silent_gateway_of_an_exit_that_only_clients_use_is_told_of_these() -> None:
    exit_, silent = an_exit("0.0.0.0/0").sites[0], peer(unanswered=40)

    (told,) = silent_gateways([exit_], [silent], "")

    assert told.startswith(
        "clients that enter here do not reach the exit internet: web2, its gateway, has not"
    )


def test_a_gateway_that_has_just_been_asked_or_is_not_used_is_no_warning() -> None:
    peers = [peer(unanswered=15), peer(name="", unanswered=99)]

    assert list(silent_gateways([site(), site("lab", used="")], peers, "")) == []


@pytest.mark.parametrize(
    ("sites", "text"),
    [
        ((), "this node's exit, which is not there: no node that is known here announces internet"),
        (
            (site("internet", real=networks("::/0"), mapped=networks("::/0"), used=""),),
            "no rule joins this node with a gateway of internet",
        ),
    ],
)
def test_why_of_this_nodes_exit_says_that_it_is_not_there(sites: tuple[Site, ...], text: str) -> None:
    finding = findings(a_status(exit="internet", sites=sites), "internet")["site"]

    assert (finding.good, finding.text) == (False, text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("web2.prod.mesh", "web2"), ("WEB2.prod.mesh.", "web2"), ("node:web2", "web2"), ("client:al", "al"),
        ("192-168-1-20.office.prod.mesh", "100.96.4.20"), ("office/192.168.1.20", "100.96.4.20"),
        ("site:office/192.168.1.20", "100.96.4.20"), ("office/100.96.4.20", "100.96.4.20"),
        ("plant/[fd00:5::7]", "fd00:5::7"), ("fd00-5--7.plant.prod.mesh", "fd00:5::7"),
        ("site:office", "site:office"), ("office", "office"), ("10.9.9.9", "10.9.9.9"), ("Web9", "Web9"),
        ("lab/192.168.1.20", "site:lab"), ("none/192.168.1.20", "none/192.168.1.20"),
        ("office/24", "office/24"), (str(KEYS[2]), str(KEYS[2])), (".prod.mesh", ".prod.mesh"),
    ],
)  # fmt: skip
def test_why_takes_the_names_of_the_network_and_of_rules(text: str, name: str) -> None:
    ends = networks("fd00:5::/64")
    known = a_mesh(site(), site("plant", real=ends, mapped=ends), site("lab", used=""))

    assert meant(known, text) == name


def test_a_site_is_meant_where_a_node_has_its_name_too() -> None:
    target = find(a_mesh(site("web2")), "site:web2")

    assert target is not None
    assert target.site is not None
    assert findings(a_mesh(site("lab", used="")), "site:lab")["site"].good is False


@pytest.mark.parametrize(
    ("own", "text", "sentence"),
    [
        (False, "office/10.1.1.1", "10.1.1.1 is no address of office, which has 192.168.1.0/24"),
        (True, "office/192.168.1.20", "this node is a gateway of office"),
    ],
)
def test_why_of_a_host_that_a_site_has_not_or_that_is_here_says_so(
    own: bool, text: str, sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        meant(a_mesh(site(own=own)), text)


def a_clash() -> Status:
    """The site has an address range that this host is in."""
    return a_status(
        peers=(peer(left_out=(f"{LAN} of plant is not used here: it overlaps {LAN}, a network of lan",)),),
        sites=(site("plant", mapped=networks(LAN)),),
    )


@pytest.mark.parametrize(("name", "subject"), [("plant", "route"), ("192.168.1.20", "site")])
def test_a_site_that_is_not_used_here_is_not_reachable(name: str, subject: str) -> None:
    finding = findings(a_clash(), name)[subject]

    assert (finding.good, finding.is_decisive) == (False, True)
    assert finding.text == f"{LAN} of plant is not used here: it overlaps {LAN}, a network of lan"
    assert "`wgpy mesh site remove plant` on its gateways, and add it with `--mapped`" in finding.advice


def test_the_gateway_of_a_site_that_is_not_used_here_may_be_reachable() -> None:
    assert findings(a_clash(), "web2")["route"].good is None


def test_a_site_is_reachable_whose_network_only_meets_one_of_this_host() -> None:
    found = peer(routes=networks(LAN), left_out=(f"{LAN} overlaps 192.168.1.64/26, a network of lan",))
    known = a_status(peers=(found,), sites=(site("plant", mapped=networks(LAN)),))

    assert findings(known, "plant")["route"].good is None


def test_why_of_a_site_of_this_node_says_so() -> None:
    with pytest.raises(CommandError, match="this node is a gateway of office; `wgpy mesh site show office`"):
        find(a_mesh(site(used="", own=True)), "office")


# -- The command line ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"), [("192.168.1.7/24", "192.168.1.0/24"), ("2001:db8::1/64", "2001:db8::/64")]
)
def test_a_prefix_with_bits_behind_its_length_is_answered_with_what_may_be_meant(
    text: str, meant: str
) -> None:
    with pytest.raises(ArgumentTypeError) as refused:
        types.prefix(text)

    assert str(refused.value) == f"`{text}` has bits behind its length: {meant} is the prefix"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add",), "name the site, as in `wgpy mesh site add office`"),
        (("add", "office"), "name the prefixes of office, as in `wgpy mesh site add office 192.168.1.0/24`"),
        (
            ("add", "office", LAN, "--real", "--mapped"),
            "a site has one face at a time: give --real or --mapped",
        ),
        (("remove",), "name the site, as in `wgpy mesh site remove office`"),
        (("remove", "office", LAN), "`wgpy mesh site remove` takes a name alone"),
        (("show", "office", LAN), "`wgpy mesh site show` takes a name alone"),
        (("list", "office"), "`wgpy mesh site list` takes no name"),
        (("coredns",), "name the site, as in `wgpy mesh site coredns office`"),
        (("coredns", "blue", "--none"), "`wgpy mesh site coredns --none` takes nothing else"),
    ],
)
def test_what_is_missing_or_too_much_is_said(arguments: tuple[str, ...], sentence: str) -> None:
    done = run(*arguments)

    assert done.returncode == 2
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add", "Büro", LAN), "is not a name"),
        (("add", "office", "192.168.1.7/24"), "192.168.1.0/24 is the prefix"),
        (("add", "office", LAN, "--priority", "65536"), "is not a number from 0 to 65535"),
        (("announce", "office", LAN), "invalid choice"),
    ],
)
def test_a_wrong_word_is_status_2_and_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = run(*arguments)

    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wgpy.cli.main", "mesh", "site", *arguments], capture_output=True, text=True
    )


def test_who_does_not_masquerade_is_told_the_routes_that_the_sites_hosts_need() -> None:
    text = return_routes("blue", "blue1", networks("100.64.0.0/12", "100.80.0.0/16"))

    assert text.splitlines() == [
        "",
        "Its hosts, or their router, need a route back; GATEWAY is the address of blue1 in their network:",
        "  ip route add 100.64.0.0/12 via GATEWAY",
        "  ip route add 100.80.0.0/16 via GATEWAY",
        "Those that are nodes themselves: `wgpy mesh site return blue --via GATEWAY`.",
    ]
    assert return_routes("blue", "blue1", ()) == ""


def test_who_approves_a_site_in_vain_is_told_what_to_do_on_which_node() -> None:
    why = "it overlaps what the mesh routes to another node"

    assert in_vain(site(exclusion=why)) == (
        f"office is not in force by web2: {why}; `wgpy mesh site add office 192.168.1.0/24` on web2 has it "
        "reached by other prefixes"
    )
    assert in_vain(site(exclusion="another site has its name")).endswith(": another site has its name")
    assert in_vain(site()) == ""


def test_who_maps_a_site_is_told_which_sites_its_hosts_do_not_reach() -> None:
    office = site()
    real = site("home", mapped=networks(LAN))
    others = (office, site("plant"), site("far", real=networks("10.0.0.0/8"), mapped=networks("10.0.0.0/8")))

    text = unreached(office, (*others, real))

    assert text.startswith("\nHosts of office do not reach home, which has their addresses. ")
    assert "`wgpy mesh site remove home` on its gateways, and add it with `--mapped`." in text
    assert unreached(office, others) == ""
    assert unreached(real, (*others, real)) == ""
