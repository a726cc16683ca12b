"""What other programs' rules do with a flow that a host forwards, as far as that is certain."""

import json
import shutil
import subprocess
from ipaddress import ip_address

import pytest

from wgpy.host.firewall import iptables, nft
from wgpy.host.firewall.verdict import Flow, dropper

FLOW = Flow("mesh0", "lan", ip_address("10.20.0.1"), ip_address("192.168.1.10"), "new")
FLOW6 = Flow("mesh0", "lan", ip_address("fd20::1"), ip_address("fd40::10"), "new")

# As Docker 20 leaves them.
DOCKER = """\
*nat
:FORWARD ACCEPT [0:0]
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
:DOCKER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -m comment --comment "kubernetes -j" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
"""


def by_iptables(saved: str, flow: Flow = FLOW) -> str | None:
    return dropper(iptables.chains(saved, flow), iptables.BASE)


def saved(*rules: str, policy: str = "DROP") -> str:
    return "\n".join(["*filter", f":FORWARD {policy} [0:0]", ":other - [0:0]", *rules, "COMMIT", ""])


def test_the_policy_of_docker_drops() -> None:
    assert by_iptables(DOCKER) == ""
    assert by_iptables(DOCKER, FLOW6) == ""


@pytest.mark.parametrize(
    "rule",
    [
        "-A FORWARD -i mesh0 -o lan -j ACCEPT",
        "-A FORWARD -i mesh+ -j ACCEPT",
        "-A FORWARD ! -i lan -j ACCEPT",
        "-A FORWARD -s 10.0.0.0/8 -d 192.168.1.10/32 -j ACCEPT",
        "-A FORWARD -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT",
        "-A FORWARD -m set --match-set trusted src -j ACCEPT",
        "-A FORWARD -p tcp -m multiport --dports 80,443 -j ACCEPT",
        "-A FORWARD -j other\n-A other -i mesh0 -j ACCEPT",
        "-A FORWARD -g other\n-A other -m set --match-set trusted src -j ACCEPT",
    ],
)
def test_what_a_rule_of_iptables_accepts_or_may_accept_is_not_dropped(rule: str) -> None:
    assert by_iptables(saved(rule)) is None


@pytest.mark.parametrize(
    "rule",
    [
        "-A FORWARD -i lan -j ACCEPT",
        "-A FORWARD -p icmp -j ACCEPT",
        "-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT",
        "-A FORWARD -m set --match-set trusted src -i lan -j ACCEPT",
        "-A FORWARD -m limit --limit 3/min -j LOG --log-prefix ACCEPT",
        "-A FORWARD -j other\n-A other -j RETURN\n-A other -j ACCEPT",
        "-A FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT",
    ],
)
def test_what_no_rule_of_iptables_accepts_is_dropped_by_the_policy(rule: str) -> None:
    assert by_iptables(saved(rule)) == ""
    assert by_iptables(saved(rule, policy="ACCEPT")) is None


def test_the_rule_of_iptables_that_drops_is_named() -> None:
    rules = saved("-A FORWARD -j other", "-A other ! -o docker0 -j REJECT", policy="ACCEPT")

    assert by_iptables(rules) == "`-A other '!' -o docker0 -j REJECT`"


def test_an_unknown_rule_of_iptables_is_not_said_to_drop() -> None:
    assert by_iptables(saved("-A FORWARD -m set --match-set bad src -j DROP", policy="ACCEPT")) is None


def test_an_answer_is_another_flow_than_what_it_answers() -> None:
    rules = saved("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")

    assert by_iptables(rules, FLOW.reply()) is None


def test_rules_of_iptables_are_found_by_their_comment() -> None:
    rules = saved(
        '-A FORWARD -i mesh0 -o lan -m comment --comment "wgpy 7" -j ACCEPT', *DOCKER.splitlines()[9:13]
    )

    assert iptables.owned(rules, "wgpy 7") == [iptables.Owned("FORWARD", ("mesh0", "lan"))]


# -- nft -------------------------------------------------------------------------------------------


def ruleset(*rules: str, policy: str = "accept") -> list[nft.Json]:
    """What nft makes of rules for a chain `passing`, in a network namespace of its own."""
    if shutil.which("nft") is None:
        pytest.skip("nft is missing")
    script = f"""
table inet wall {{
  set trusted {{ type ifname; elements = {{ "mesh0" }} }}
  chain other {{
    {rules[1] if len(rules) > 1 else ""}
  }}
  chain passing {{
    type filter hook forward priority 0; policy {policy};
    {rules[0]}
  }}
}}
"""
    made = subprocess.run(
        ["unshare", "--net", "sh", "-c", "nft -f - && nft -j -t -a list ruleset"],
        input=script, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unshare" in made.stderr:
        pytest.skip(made.stderr)
    assert made.returncode == 0, made.stderr
    listed: list[nft.Json] = json.loads(made.stdout)["nftables"]
    return listed


def by_nft(found: list[nft.Json], flow: Flow = FLOW) -> str | None:
    (base,) = nft.bases(found, flow.version)
    return dropper(nft.chains(found, base.table, flow), base.chain)


@pytest.mark.parametrize(
    "rule",
    [
        'iifname "mesh0" accept',
        'iifname { "a", "mesh*" } oifname != "wan" accept',
        "ip saddr 10.0.0.0/8 ip daddr { 192.168.1.1-192.168.1.20 } accept",
        "ct state new,established accept",
        "ct state vmap { new : accept, invalid : drop }",
        "iifname @trusted accept",
        "tcp dport 80 accept",
        "meta nfproto ipv4 meta l4proto { tcp, udp } accept",
        'iifname vmap { "mesh0" : goto other }',
    ],
)
def test_what_a_rule_of_nft_accepts_or_may_accept_is_not_dropped(rule: str) -> None:
    assert by_nft(ruleset(rule, "accept", policy="drop")) is None


@pytest.mark.parametrize(
    "rule",
    [
        'iifname "lan" accept',
        "ip6 saddr fd20::/16 accept",
        "ct state { established, related } accept",
        "ct status dnat accept",
        "udp dport 53 accept",
        "meta mark & 0x4000 == 0x4000 accept",
        "meta l4proto icmp accept",
        "jump other",
        "counter",
    ],
)
def test_what_no_rule_of_nft_accepts_is_dropped_by_the_policy(rule: str) -> None:
    assert by_nft(ruleset(rule, "return", policy="drop")) == ""


def test_the_rule_of_nft_that_rejects_is_named() -> None:
    found = ruleset("ct state established accept; jump other", "reject with icmpx admin-prohibited")

    named = by_nft(found)

    assert named is not None
    assert named.startswith("rule ")
    assert named.endswith("of chain other in table inet wall")
    assert by_nft(found, FLOW.reply()) is None


def test_ipv6_has_rules_of_its_own() -> None:
    found = ruleset("ip6 saddr fd20::/16 drop")

    assert by_nft(found, FLOW6) is not None
    assert by_nft(found) is None


def test_an_unknown_rule_of_nft_is_not_said_to_drop() -> None:
    assert by_nft(ruleset("iifname @trusted drop")) is None


def test_rules_of_nft_are_found_by_their_comment() -> None:
    found = ruleset('iifname "mesh0" oifname "lan" accept comment "wgpy 7"; accept')

    (rule,) = nft.owned(found, "wgpy 7")

    assert (rule.table, rule.chain, rule.pair) == ("inet wall", "passing", ("mesh0", "lan"))
