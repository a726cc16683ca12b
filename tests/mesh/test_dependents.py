"""What a node that goes takes with it: sites without another gateway, and clients that entered only by it."""

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from tests.mesh.coordinator import ALICE, BOB, CAROL, TOKEN, Site, in_a_loop
from tests.mesh.key_host import KeyHost, copy_key
from tests.mesh.network import Administrator, ingress_of, prefixes, site
from wgpy.cli.mesh.dependents import Dependents
from wgpy.keys import PublicKey

PHONE, LAPTOP = (PublicKey(bytes((number,)) + bytes(31)) for number in (5, 6))


def founded(one: Administrator) -> None:
    """The site office has one gateway, alice, and lab two; the phone enters by alice, the laptop by both."""
    one.found()
    one.invite(TOKEN, routes=prefixes("10.7.0.0/16"))
    one.join(ALICE, TOKEN, name="alice")
    one.join(BOB, TOKEN, name="bob")
    office, lab = site("office", "10.7.1.0/24", since=one.now), site("lab", "10.7.2.0/24", since=one.now)
    one.announce(ALICE, office, lab)
    one.announce(BOB, lab)
    one.client(PHONE, ALICE, name="phone")
    at_bob = replace(ingress_of(LAPTOP, BOB), address=IPv4Address("100.80.200.9"))
    one.client(LAPTOP, ALICE, name="laptop", ingresses=(ingress_of(LAPTOP, ALICE), at_bob))


@pytest.mark.parametrize(
    ("gone", "sites", "clients"),
    [((ALICE,), ("office",), ("phone",)), ((BOB,), (), ()), ((CAROL,), (), ()),
     ((ALICE, BOB), ("lab", "office"), ("laptop", "phone"))],
)  # fmt: skip
def test_what_has_another_gateway_stays(
    gone: tuple[object, ...], sites: tuple[str, ...], clients: tuple[str, ...]
) -> None:
    one = Administrator()
    founded(one)
    nodes = {key.verify_key() for key in (ALICE, BOB, CAROL) if key in gone}

    found = Dependents.of(one.topology(), nodes)

    assert (found.sites, found.clients) == (sites, clients)
    assert len(list(found.lines())) == len([each for each in (sites, clients) if each])


@in_a_loop
async def test_remove_and_revoke_say_what_goes_with_a_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = Site.create(tmp_path / "site")
    async with served.serve():
        founded(served.administrator)
        await served.submit_all()
        host = KeyHost(served, copy_key(served, tmp_path / "host"), capsys)

        revoked = await host.ask("revoke", str(TOKEN.verify_key()))
        status, removed, _ = await host.run("remove", "alice")
        last = await host.ask("remove", "bob")

    assert (revoked["lost_sites"], revoked["lost_clients"]) == ([], [])  # its nodes stay members
    assert status == 0
    assert "Sites that lose their only gateway, and are reached by nobody now: office." in removed
    assert "Clients that entered only by it, and are none now: phone." in removed
    assert (last["lost_sites"], last["lost_clients"]) == (["lab"], ["laptop"])
