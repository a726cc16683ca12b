"""Rules with sites as ends: who knows whom, and what a gateway and a member are told of it.

gw and gw2 (gateways of office, 192.168.1.0/24 as 100.96.4.0/24), dev (tag dev), web
"""

from ipaddress import ip_address, ip_network

import pytest

from tests.mesh.network import Administrator, key_of, prefixes, site
from wgpy.contract.orders import Permit
from wgpy.keys import PublicKey
from wgpy.mesh.member import Member
from wgpy.mesh.ports import TCP, Ports
from wgpy.mesh.records import client_selector
from wgpy.mesh.rules import GOSSIP, Rules, allowed_ip
from wgpy.mesh.sites import Site, within
from wgpy.mesh.topology import Topology

TOKEN, TAGGED, GATEWAYS = key_of(2), key_of(3), key_of(4)
GW, GW2, DEV, WEB = key_of(10), key_of(11), key_of(12), key_of(13)
REAL, MAPPED = ("192.168.1.0/24", "fd00:42:1:2::/64"), ("100.96.4.0/24", "fd12:3456:1:2::/64")
POSTGRES = Ports(TCP, 5432, 5432)


@pytest.fixture
def administrator() -> Administrator:
    one = Administrator()
    one.found()
    one.invite(TOKEN)
    one.invite(TAGGED, tags=("dev",))
    one.invite(GATEWAYS, routes=prefixes(*REAL))
    for name, identity, token in (("gw", GW, GATEWAYS), ("gw2", GW2, GATEWAYS), ("web", WEB, TOKEN)):
        one.join(identity, token, name=name)
    one.join(DEV, TAGGED, name="dev")
    for gateway in (GW, GW2):
        one.announce(gateway, site("office", *REAL, mapped=MAPPED))
    return one


def members(topology: Topology) -> dict[str, Member]:
    return {member.name: member for member in topology.members}


def peers(topology: Topology) -> dict[str, set[str]]:
    return {
        name: {peer.name for peer in topology.peers(member.identity)}
        for name, member in members(topology).items()
    }


def permits(topology: Topology, name: str, other: str) -> list[Permit]:
    """What a member may begin at another, but for gossip."""
    found = Rules(topology).permits(members(topology)[other])[members(topology)[name].key]
    return [permit for permit in found or () if permit.rule != GOSSIP]


def to(prefix: str, ports: Ports = POSTGRES) -> Permit:
    return Permit(1, ports.protocol, allowed_ip(ip_network(prefix)), ports.first, ports.last)


def test_a_rule_for_a_site_is_for_the_site_at_each_of_its_gateways(administrator: Administrator) -> None:
    administrator.rule("tag:dev", administrator.scope("site:office:5432/tcp"))
    topology = administrator.topology()
    dev, gw, web = (members(topology)[name] for name in ("dev", "gw", "web"))
    rules = Rules(topology)

    assert peers(topology) == {"dev": {"gw", "gw2"}, "gw": {"dev"}, "gw2": {"dev"}, "web": set()}
    for gateway in ("gw", "gw2"):
        assert permits(topology, "dev", gateway) == [to(prefix) for prefix in MAPPED]
    assert permits(topology, "gw", "dev") == []
    assert rules.allow(dev, gw)
    assert not rules.allow(gw, dev)
    assert not rules.allow(web, gw)
    assert rules.between(dev, gw, POSTGRES) == topology.rules[0]
    assert rules.between(dev, gw, Ports(TCP, 22, 22)) is None


@pytest.mark.parametrize(
    ("within_office", "expected"),
    [
        ("192.168.1.10", ["100.96.4.10/32"]),
        ("192.168.1.128/25", ["100.96.4.128/25"]),
        ("100.96.4.10", ["100.96.4.10/32"]),
        ("[fd12:3456:1:2::/96]", ["fd12:3456:1:2::/96"]),
        ("[fd00:42:1:2::1]", []),  # which address that is as the mesh knows it, no prefix says
        ("192.168.2.10", []),
    ],
)
def test_a_rule_for_a_prefix_of_a_site_is_for_that_as_the_mesh_knows_it(
    administrator: Administrator, within_office: str, expected: list[str]
) -> None:
    administrator.rule("tag:dev", administrator.scope(f"office/{within_office}:5432/tcp"))

    assert permits(administrator.topology(), "dev", "gw") == list(map(to, expected))


def test_a_rule_from_a_site_is_for_what_comes_from_it_and_not_from_its_gateway(
    administrator: Administrator,
) -> None:
    administrator.rule(administrator.scope("site:office"), WEB)
    topology = administrator.topology()

    sources = [allowed_ip(ip_network(prefix)) for prefix in MAPPED]
    assert peers(topology)["web"] == {"gw", "gw2"}
    assert permits(topology, "gw", "web") == [Permit(1, source=source) for source in sources]
    assert permits(topology, "web", "gw") == []


def test_a_rule_for_a_gateway_is_for_what_is_behind_it_too(administrator: Administrator) -> None:
    administrator.rule("tag:dev", GW)
    topology = administrator.topology()

    assert peers(topology)["dev"] == {"gw"}
    assert permits(topology, "dev", "gw") == [Permit(1)]


def test_prefixes_of_a_site_with_its_real_face_stay_as_they_are() -> None:
    real = Site(
        "lab", prefixes("10.42.0.0/16", "2001:db8::/48"), prefixes("10.42.0.0/16", "2001:db8::/48"), ()
    )
    asked = prefixes("10.42.3.0/24", "2001:db8:0:5::/64", "10.43.0.0/24")

    assert list(within(real, asked)) == list(asked[:2])


@pytest.mark.parametrize(
    ("address", "port", "number"),
    [
        ("100.96.4.10", 5432, 1),
        ("100.96.4.11", 5432, 2),
        ("100.96.4.10", 22, None),
        ("100.80.0.10", 5432, None),
    ],
)
def test_the_rule_for_an_address_behind_a_gateway_is_the_first_one_that_is_for_it(
    administrator: Administrator, address: str, port: int, number: int | None
) -> None:
    administrator.rule("tag:dev", administrator.scope("office/192.168.1.10:5432/tcp"))
    administrator.rule("tag:dev", administrator.scope("site:office:5432/tcp"))
    topology = administrator.topology()
    dev, gw = members(topology)["dev"], members(topology)["gw"]

    rule = Rules(topology).to_address(dev, gw, ip_address(address), Ports(TCP, port, port))

    assert rule == (None if number is None else topology.rules[number - 1])


def test_the_rule_for_all_of_a_site_is_none_for_a_part_of_it(administrator: Administrator) -> None:
    administrator.rule("tag:dev", administrator.scope("office/192.168.1.10:5432/tcp"))
    administrator.rule("tag:dev", administrator.scope("site:office:5432/tcp"))
    administrator.rule(WEB, GW)
    topology = administrator.topology()
    dev, gw, web = (members(topology)[name] for name in ("dev", "gw", "web"))
    rules = Rules(topology)

    assert rules.to_site(dev, gw, "office", POSTGRES) == topology.rules[1]
    assert rules.to_site(dev, gw, "office", Ports(TCP, 22, 22)) is None
    assert rules.to_site(dev, gw, "home", POSTGRES) is None
    assert rules.to_site(web, gw, "office", POSTGRES) == topology.rules[2]


def test_the_rule_for_a_client_is_not_that_for_its_gateway(administrator: Administrator) -> None:
    key = PublicKey(b"\x05" + bytes(31))
    administrator.client(key, GW)
    administrator.rule("tag:dev", administrator.scope(f"{client_selector(key)}:22/tcp"))
    administrator.rule("tag:dev", GW)
    topology = administrator.topology()
    dev, gw = members(topology)["dev"], members(topology)["gw"]
    address = topology.clients[0].ingresses[0].address
    rules = Rules(topology)

    assert rules.to_address(dev, gw, address, Ports(TCP, 22, 22)) == topology.rules[0]
    assert rules.to_address(dev, gw, address, POSTGRES) is None
    assert rules.to_address(dev, gw, gw.address, POSTGRES) == topology.rules[1]
