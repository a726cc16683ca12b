"""From members to the tunnel's peers: which routes lead there, and what changes when members do."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.network import Administrator, key_of, prefixes
from wgpy.address import Prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import PeerActivity
from wgpy.driver.configure import apply_update, check_update
from wgpy.engine.engine import Engine
from wgpy.keys import PublicKey
from wgpy.mesh.topology import Member
from wgpy.model import DeviceUpdate, PeerUpdate
from wgpyd.agent.reconcile.tunnels import LocalView, Tunnel, difference, meet, tunnels

KEYS = [PublicKey(bytes([number]) * 32) for number in range(1, 6)]
PREFIXES = prefixes("10.0.0.0/24", "10.0.0.7/32", "10.1.0.0/16", "fd00::/64", "fd00::7/128", "0.0.0.0/0")
PLACES = [Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 2), Endpoint("2001:db8::3", 3)]
TOKEN, ALICE, BOB = key_of(2), key_of(3), key_of(4)


@st.composite
def networks(draw: st.DrawFn) -> dict[PublicKey, Tunnel]:
    """Some peers, of which each has prefixes that no other has."""
    present = draw(st.lists(st.sampled_from(KEYS), unique=True))
    owners = {prefix: draw(st.sampled_from([*present, None])) for prefix in PREFIXES}
    return {
        key: Tunnel(
            frozenset(prefix for prefix, owner in owners.items() if owner == key),
            tuple(draw(st.lists(st.sampled_from(PLACES), unique=True))),
        )
        for key in present
    }


def device() -> Engine:
    return Engine(random=bytes, wall_clock=lambda: 0, activity=lambda _: PeerActivity())


def configure(one: Engine, changes: Sequence[PeerUpdate]) -> None:
    update = DeviceUpdate(peers=changes)
    check_update(one, update)
    for _ in apply_update(one, update, 0):
        pass


def configured(one: Engine) -> dict[bytes, object]:
    return {key: (set(peer.allowed_ips), peer.selector) for key, peer in one.peers.items()}


def members(administrator: Administrator) -> Mapping[str, Member]:
    return {member.name: member for member in administrator.topology().members}


def network(*routes: str) -> Administrator:
    """Alice and Bob, who announces routes."""
    administrator = Administrator()
    administrator.found()
    administrator.invite(TOKEN, routes=prefixes("0.0.0.0/0", "::/0"))
    administrator.join(ALICE, TOKEN, name="alice")
    administrator.join(BOB, TOKEN, name="bob", routes=prefixes(*routes), endpoints=(PLACES[0],))
    return administrator


def place(
    networks: Mapping[Prefix, str] | None = None, own: Sequence[str] = (), versions: Sequence[int] = (4, 6)
) -> LocalView:
    return LocalView(networks or {}, frozenset(own), frozenset(versions))


HERE = place()


# -- Differences -------------------------------------------------------------------------------------


@given(st.lists(networks(), max_size=5), networks())
def test_differences_one_after_another_give_what_configuring_from_nothing_gives(
    before: list[dict[PublicKey, Tunnel]], last: dict[PublicKey, Tunnel]
) -> None:
    step_by_step, at_once = device(), device()
    present: Mapping[PublicKey, Tunnel] = {}

    for wanted in [*before, last]:
        configure(step_by_step, difference(present, wanted))
        present = wanted
    configure(at_once, difference({}, last))

    assert configured(step_by_step) == configured(at_once)


@given(networks())
def test_what_is_as_it_should_be_is_not_touched(present: dict[PublicKey, Tunnel]) -> None:
    assert difference(present, dict(present)) == []


@given(networks(), networks())
def test_only_who_changed_is_touched(before: dict[PublicKey, Tunnel], after: dict[PublicKey, Tunnel]) -> None:
    touched = {change.public_key for change in difference(before, after)}

    assert touched == {key for key in {*before, *after} if before.get(key) != after.get(key)}


def test_a_peer_that_says_the_same_endpoints_again_keeps_the_one_that_it_roamed_to() -> None:
    one, roamed = device(), Endpoint("203.0.113.9", 9)
    before, after = (Tunnel(frozenset(PREFIXES[:number]), (PLACES[0],)) for number in (1, 2))
    configure(one, difference({}, {KEYS[0]: before}))
    peer = one.peers[bytes(KEYS[0])]
    one.set_endpoint(peer, roamed, 0)

    configure(one, difference({KEYS[0]: before}, {KEYS[0]: after}))

    assert peer.endpoint == roamed


# -- Routes ------------------------------------------------------------------------------------------


def test_a_peer_has_its_addresses_and_its_routes() -> None:
    bob = members(network("10.42.3.0/24"))["bob"]

    (tunnel,) = tunnels(meet([bob], HERE)).values()

    assert tunnel == Tunnel(
        frozenset((*prefixes(f"{bob.address}/32", f"{bob.address6}/128"), *bob.routes)), (PLACES[0],)
    )


def test_a_route_that_overlaps_a_network_of_this_host_is_left_out_and_said() -> None:
    bob = members(network("192.168.0.0/16", "10.42.3.0/24"))["bob"]
    here: dict[Prefix, str] = {ip_network("192.168.7.0/24"): "a network of eth0"}

    (peer,) = meet([bob], place(here))

    assert peer.routes == prefixes("10.42.3.0/24")
    assert peer.left_out == (
        "192.168.0.0/16 is not used here: it overlaps 192.168.7.0/24, a network of eth0",
    )
    assert ip_network("192.168.0.0/16") not in peer.tunnel.allowed_ips


def test_networks_of_the_other_family_do_not_matter() -> None:
    bob = members(network("2001:db8:7::/48"))["bob"]

    (peer,) = meet([bob], place({ip_network("192.168.7.0/24"): "a network of eth0"}))

    assert peer.routes == prefixes("2001:db8:7::/48")


# -- Endpoints ---------------------------------------------------------------------------------------


def test_what_leads_back_to_our_own_nat_is_tried_after_what_does_not() -> None:
    bob = replace(members(network())["bob"], endpoints=(Endpoint("203.0.113.9", 2), Endpoint("10.0.0.2", 1)))

    (peer,) = meet([bob], place(own=["203.0.113.9", "10.0.0.1"]))

    assert [endpoint.address for endpoint in peer.tunnel.endpoints] == ["10.0.0.2", "203.0.113.9"]


def test_what_this_host_cannot_send_to_is_tried_last() -> None:
    bob = replace(members(network())["bob"], endpoints=(PLACES[2], PLACES[0], PLACES[1]))

    (peer,) = meet([bob], place(versions=[4]))

    assert peer.tunnel.endpoints == (PLACES[0], PLACES[1], PLACES[2])


def test_members_that_stay_as_they_are_are_met_once() -> None:
    alice, bob = members(network()).values()
    before = meet([alice, bob], HERE)

    after = meet([alice, replace(bob, endpoints=())], HERE, before)

    assert after[0] is before[0]
    assert after == meet([alice, replace(bob, endpoints=())], HERE)
