"""What a `set` means to a running device, peer by peer and setting by setting."""

from ipaddress import ip_network

import pytest

from wgpy.contract.constants import KEY_LENGTH, SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import EndpointChanged, RelayCounts
from wgpy.contract.orders import (
    AddRelayed,
    AllowedIP,
    DataPathOrder,
    Permit,
    RemovePeer,
    RemoveRoute,
    SetEndpoint,
    SetPolicy,
    SetRelay,
    SetRoute,
    SetTranslations,
    Translation,
)
from wgpy.datapath.portable import PortableDataPath
from wgpy.device import Device
from wgpy.device_update import apply_update, check_update
from wgpy.engine.actions import Action, HandshakeCompleted
from wgpy.engine.peer import Peer
from wgpy.keys import PresharedKey, PrivateKey, PublicKey
from wgpy.model import NO_POLICY, AllowedIPChange, DeviceUpdate, PeerUpdate, Policy
from wgpy.paths.candidates import Candidates

PortableDevice = Device[PortableDataPath]
Orders = list[Action | DataPathOrder]

NOW = 1000 * SECOND
OURS = PrivateKey(b"\x11" * KEY_LENGTH)
THEIRS = PrivateKey(b"\x22" * KEY_LENGTH)
ALICE = PublicKey(b"\xaa" * KEY_LENGTH)
BOB = PublicKey(b"\xbb" * KEY_LENGTH)
SECRET = PresharedKey(b"\x55" * KEY_LENGTH)
NO_SECRET = bytes(KEY_LENGTH)
HERE = Endpoint("192.0.2.1", 51820)
THERE = Endpoint("192.0.2.2", 51820)


def prefix(text: str) -> AllowedIP:
    network = ip_network(text)
    return AllowedIP(network.network_address.packed, network.prefixlen)


def adding(*texts: str) -> tuple[AllowedIPChange, ...]:
    return tuple(AllowedIPChange(prefix(text)) for text in texts)


def removing(*texts: str) -> tuple[AllowedIPChange, ...]:
    return tuple(AllowedIPChange(prefix(text), remove=True) for text in texts)


def learn_endpoint(device: PortableDevice, peer: Peer, endpoint: Endpoint) -> None:
    """As after an authentic datagram from there."""
    device.engine.up(NOW)
    device.engine.receive_event(EndpointChanged(peer.id, endpoint), NOW)


def prefixes(device: PortableDevice, peer: Peer) -> set[AllowedIP]:
    return set(device.allowed_ips(peer))


def configure(device: PortableDevice, update: DeviceUpdate) -> None:
    check_update(device, update)
    for _ in apply_update(device, update, lambda: NOW):
        pass
    while device.step(NOW):
        pass


def taken(orders: Orders) -> Orders:
    """What was carried out since the last time."""
    found, orders[:] = orders[:], []
    return found


def configure_peers(device: PortableDevice, *peers: PeerUpdate, replace_peers: bool = False) -> None:
    configure(device, DeviceUpdate(replace_peers=replace_peers, peers=peers))


def peer(device: PortableDevice, key: PublicKey) -> Peer:
    return device.engine.peers[bytes(key)]


@pytest.fixture
def orders() -> Orders:
    """What the device has carried out."""
    return []


@pytest.fixture
def device(orders: Orders) -> PortableDevice:
    device = Device(
        PortableDataPath(), random=lambda n: b"\x01" * n, wall_clock=lambda: NOW, watch=orders.append
    )
    device.engine.set_private_key(bytes(OURS), NOW)
    return device


@pytest.fixture
def alice(device: PortableDevice, orders: Orders) -> Peer:
    """A peer of the device with every setting away from its default."""
    configure_peers(
        device,
        PeerUpdate(
            ALICE,
            preshared_key=SECRET,
            endpoint=HERE,
            persistent_keepalive=25,
            allowed_ips=adding("10.0.0.0/24", "fd00::/64"),
        ),
    )
    orders.clear()
    return peer(device, ALICE)


def test_a_setting_that_is_left_out_stays(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(ALICE, allowed_ips=adding("10.0.1.0/24")))

    assert peer(device, ALICE) is alice
    assert (alice.preshared_key, alice.endpoint, alice.persistent_keepalive) == (bytes(SECRET), HERE, 25)
    assert prefixes(device, alice) == {prefix("10.0.0.0/24"), prefix("fd00::/64"), prefix("10.0.1.0/24")}


def test_nothing_leaks_from_one_peer_into_the_next(device: PortableDevice) -> None:
    configure_peers(
        device,
        PeerUpdate(ALICE, preshared_key=SECRET, endpoint=HERE, persistent_keepalive=25),
        PeerUpdate(BOB),
    )

    bob = peer(device, BOB)
    assert (bob.preshared_key, bob.endpoint, bob.persistent_keepalive) == (NO_SECRET, None, 0)


def test_an_endpoint_that_is_set_again_leaves_our_source_address_to_the_kernel(
    device: PortableDevice, alice: Peer, orders: Orders
) -> None:
    device.engine.set_endpoint(alice, HERE._replace(local_address="198.51.100.7", local_interface=3), NOW)

    configure_peers(device, PeerUpdate(ALICE, endpoint=HERE))

    assert alice.endpoint == HERE
    assert orders[-1] == SetEndpoint(alice.id, HERE)


def test_a_peer_can_be_given_another_endpoint(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(ALICE, endpoint=THERE))

    assert alice.endpoint == THERE


def test_an_endpoint_is_pinned_and_let_loose_by_setting_it(
    device: PortableDevice, alice: Peer, orders: Orders
) -> None:
    configure_peers(device, PeerUpdate(ALICE, endpoint=HERE, pinned=True))
    assert taken(orders) == [SetEndpoint(alice.id, HERE, pinned=True)]

    configure_peers(device, PeerUpdate(ALICE, endpoint=HERE, pinned=True))
    assert taken(orders) == []

    configure_peers(device, PeerUpdate(ALICE, endpoint=HERE))
    assert taken(orders) == [SetEndpoint(alice.id, HERE)]


def test_a_handshake_may_be_begun_anew_though_one_was_just_begun(device: PortableDevice, alice: Peer) -> None:
    device.engine.up(NOW)
    configure_peers(device, PeerUpdate(ALICE, endpoint=HERE, handshake=True))
    device.step(NOW)
    assert [datagram.endpoint for datagram in device.take_datagrams()] == [HERE]

    configure_peers(device, PeerUpdate(ALICE, endpoint=THERE, handshake=True))

    device.step(NOW)
    assert [datagram.endpoint for datagram in device.take_datagrams()] == [THERE]


def test_who_began_just_before_it_is_added_is_answered_with_its_settings(device: PortableDevice) -> None:
    caller = Device(PortableDataPath(), random=lambda n: b"\x02" * n, wall_clock=lambda: NOW)
    caller.engine.set_private_key(bytes(THEIRS), NOW)
    for each in (device, caller):
        each.engine.up(NOW)
    called = PeerUpdate(OURS.public_key(), preshared_key=SECRET, endpoint=HERE, handshake=True)
    configure_peers(caller, called)
    (initiation,) = caller.take_datagrams()
    device.receive(initiation.data, THERE, NOW)
    device.step(NOW)

    configure_peers(device, PeerUpdate(THEIRS.public_key(), preshared_key=SECRET))

    (response,) = device.take_datagrams()
    assert response.endpoint == THERE
    caller.receive(response.data, HERE, NOW)
    caller.step(NOW)
    assert isinstance(caller.take_events()[-1], HandshakeCompleted)


def test_what_says_nothing_of_the_endpoint_leaves_it_pinned(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(ALICE, endpoint=HERE, pinned=True, candidates=[HERE]))

    configure_peers(device, PeerUpdate(ALICE, candidates=[THERE]), PeerUpdate(ALICE, persistent_keepalive=7))

    assert (alice.endpoint, alice.pinned) == (HERE, True)


def test_candidates_stay_until_others_are_set(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(ALICE, candidates=[THERE]))
    configure_peers(device, PeerUpdate(ALICE, persistent_keepalive=7))
    assert (alice.selector, alice.endpoint) == (Candidates((THERE,)), HERE)

    configure_peers(device, PeerUpdate(ALICE, candidates=[]))
    assert alice.selector is None


def test_the_first_candidate_is_the_endpoint_of_a_peer_that_has_none(device: PortableDevice) -> None:
    configure_peers(device, PeerUpdate(BOB, candidates=[THERE, HERE]))

    assert peer(device, BOB).endpoint == THERE


def test_zeros_and_0_clear_preshared_key_and_keepalive(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(ALICE, preshared_key=PresharedKey(NO_SECRET), persistent_keepalive=0))

    assert (alice.preshared_key, alice.persistent_keepalive) == (NO_SECRET, 0)


def test_zeros_clear_the_private_key(device: PortableDevice) -> None:
    configure(device, DeviceUpdate(private_key=PrivateKey(bytes(KEY_LENGTH))))

    assert device.engine.private_key is None


def test_a_peer_with_our_own_key_is_ignored(device: PortableDevice) -> None:
    configure_peers(device, PeerUpdate(OURS.public_key(), endpoint=HERE, allowed_ips=adding("10.0.0.0/24")))

    assert not device.engine.peers


def test_a_private_key_removes_the_peer_that_has_its_public_key(device: PortableDevice) -> None:
    other = PrivateKey(b"\x22" * KEY_LENGTH)
    configure_peers(device, PeerUpdate(other.public_key()))

    configure(device, DeviceUpdate(private_key=other, peers=[PeerUpdate(other.public_key())]))

    assert not device.engine.peers


def test_update_only_does_not_add_a_peer(device: PortableDevice) -> None:
    configure_peers(device, PeerUpdate(ALICE, update_only=True, endpoint=HERE))

    assert not device.engine.peers


def test_update_only_changes_a_peer_that_is_there(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(ALICE, update_only=True, endpoint=THERE))

    assert alice.endpoint == THERE


def test_removing_a_peer_that_is_not_there_is_nothing(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(BOB, remove=True))

    assert list(device.engine.peers) == [bytes(ALICE)]


def test_a_peer_removed_and_set_again_in_one_update_is_a_new_one(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(ALICE, remove=True), PeerUpdate(ALICE))

    again = peer(device, ALICE)
    assert again is not alice
    assert (again.preshared_key, again.endpoint, again.persistent_keepalive) == (NO_SECRET, None, 0)


def test_replace_peers_removes_those_that_are_not_set_again(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(BOB), replace_peers=True)

    assert list(device.engine.peers) == [bytes(BOB)]


def test_replace_peers_keeps_the_session_of_a_peer_that_is_set_again(
    device: PortableDevice, alice: Peer, orders: Orders
) -> None:
    configure_peers(device, PeerUpdate(ALICE, preshared_key=SECRET, endpoint=HERE), replace_peers=True)

    assert peer(device, ALICE) is alice
    assert not any(isinstance(action, RemovePeer) for action in orders)


def test_replace_peers_leaves_of_a_peer_only_what_is_set_again(device: PortableDevice, alice: Peer) -> None:
    again = PeerUpdate(ALICE, preshared_key=SECRET, endpoint=HERE, allowed_ips=adding("10.0.9.0/24"))

    configure_peers(device, again, replace_peers=True)

    assert (peer(device, ALICE), alice.persistent_keepalive) == (alice, 0)
    assert prefixes(device, alice) == {prefix("10.0.9.0/24")}


@pytest.mark.parametrize("secret", [None, PresharedKey(b"\x66" * KEY_LENGTH)], ids=["none", "another"])
def test_replace_peers_with_another_preshared_key_makes_a_new_peer(
    device: PortableDevice, alice: Peer, secret: PresharedKey | None
) -> None:
    again = PeerUpdate(ALICE, preshared_key=secret, endpoint=HERE, allowed_ips=adding("10.0.0.0/24"))

    configure_peers(device, again, replace_peers=True)

    assert peer(device, ALICE) is not alice
    assert peer(device, ALICE).preshared_key == (bytes(secret) if secret else NO_SECRET)
    assert prefixes(device, peer(device, ALICE)) == {prefix("10.0.0.0/24")}


def test_replace_peers_without_the_endpoint_that_was_set_forgets_it(
    device: PortableDevice, alice: Peer
) -> None:
    configure_peers(device, PeerUpdate(ALICE, preshared_key=SECRET), replace_peers=True)

    assert peer(device, ALICE).endpoint is None


def test_replace_peers_without_an_endpoint_keeps_one_that_was_never_set(
    device: PortableDevice, orders: Orders
) -> None:
    configure_peers(device, PeerUpdate(BOB))
    bob = peer(device, BOB)
    learn_endpoint(device, bob, THERE)
    orders.clear()

    configure_peers(device, PeerUpdate(BOB), replace_peers=True)

    assert peer(device, BOB) is bob
    assert bob.endpoint == THERE
    assert not any(isinstance(order, RemovePeer) for order in orders)


def test_a_new_preshared_key_alone_keeps_the_peer(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(ALICE, preshared_key=PresharedKey(b"\x66" * KEY_LENGTH)))

    assert peer(device, ALICE) is alice


def test_after_replace_peers_an_update_only_peer_is_absent(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(ALICE, update_only=True, endpoint=HERE), replace_peers=True)

    assert not device.engine.peers


def test_after_replace_peers_removing_comes_before_setting_again(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(ALICE, remove=True), PeerUpdate(ALICE), replace_peers=True)

    assert list(device.engine.peers) == [bytes(ALICE)]


def test_after_replace_peers_a_peer_set_twice_has_both(device: PortableDevice, alice: Peer) -> None:
    configure_peers(
        device,
        PeerUpdate(ALICE, allowed_ips=adding("10.0.1.0/24")),
        PeerUpdate(ALICE, allowed_ips=adding("10.0.2.0/24")),
        replace_peers=True,
    )

    assert prefixes(device, peer(device, ALICE)) == {prefix("10.0.1.0/24"), prefix("10.0.2.0/24")}


def test_an_allowed_ip_is_taken_from_whoever_had_it(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(BOB, allowed_ips=adding("10.0.0.0/24")))

    assert prefixes(device, alice) == {prefix("fd00::/64")}
    assert prefixes(device, peer(device, BOB)) == {prefix("10.0.0.0/24")}


def test_an_allowed_ip_is_only_removed_from_its_owner(device: PortableDevice, alice: Peer) -> None:
    configure_peers(device, PeerUpdate(BOB, allowed_ips=removing("10.0.0.0/24")))
    assert prefix("10.0.0.0/24") in prefixes(device, alice)

    configure_peers(device, PeerUpdate(ALICE, allowed_ips=removing("10.0.0.0/24")))
    assert prefix("10.0.0.0/24") not in prefixes(device, alice)


def test_replacing_allowed_ips_never_takes_one_away_that_stays(
    device: PortableDevice, alice: Peer, orders: Orders
) -> None:
    change = PeerUpdate(ALICE, replace_allowed_ips=True, allowed_ips=adding("10.0.0.0/24", "10.0.2.0/24"))

    configure_peers(device, change)

    assert prefixes(device, alice) == {prefix("10.0.0.0/24"), prefix("10.0.2.0/24")}
    removed = [action for action in orders if isinstance(action, RemoveRoute)]
    assert removed == [RemoveRoute(alice.id, prefix("fd00::/64"))]


def test_adding_and_removing_go_in_the_order_they_are_written(device: PortableDevice, alice: Peer) -> None:
    change = (*adding("10.0.5.0/24"), *removing("10.0.5.0/24", "10.0.6.0/24"), *adding("10.0.6.0/24"))

    configure_peers(device, PeerUpdate(ALICE, replace_allowed_ips=True, allowed_ips=change))

    assert prefixes(device, alice) == {prefix("10.0.6.0/24")}


def test_a_large_update_comes_in_steps_between_which_others_have_their_turn(device: PortableDevice) -> None:
    many = tuple(
        AllowedIPChange(AllowedIP(number.to_bytes(4, "big"), 32)) for number in range(2**24, 2**24 + 10_000)
    )

    steps = sum(
        1
        for _ in apply_update(device, DeviceUpdate(peers=[PeerUpdate(ALICE, allowed_ips=many)]), lambda: NOW)
    )

    assert steps > 10
    assert len(prefixes(device, peer(device, ALICE))) == len(many)


# -- Policies ----------------------------------------------------------------------------------------

WEB = Policy((Permit(1, 6, None, 443, 443),))


def policy(device: PortableDevice, key: PublicKey) -> Policy:
    (found,) = (peer.policy for peer in device.status().peers if peer.public_key == key)
    return found


def test_a_peer_has_its_policy_before_its_first_allowed_ip(device: PortableDevice, orders: Orders) -> None:
    configure_peers(device, PeerUpdate(BOB, policy=WEB, allowed_ips=adding("10.0.0.0/24")))

    kinds = [type(order) for order in taken(orders) if isinstance(order, SetPolicy | SetRoute)]
    assert kinds == [SetPolicy, SetRoute]
    assert policy(device, BOB) == WEB


def test_a_policy_that_is_left_out_stays_and_the_same_one_is_not_set_again(
    device: PortableDevice, alice: Peer, orders: Orders
) -> None:
    configure_peers(device, PeerUpdate(ALICE, policy=WEB))
    orders.clear()

    configure_peers(device, PeerUpdate(ALICE, policy=WEB), PeerUpdate(ALICE, persistent_keepalive=0))

    assert policy(device, ALICE) == WEB
    assert not [order for order in orders if isinstance(order, SetPolicy)]


def test_a_peer_that_is_removed_or_set_anew_has_no_policy_any_more(
    device: PortableDevice, alice: Peer
) -> None:
    configure_peers(device, PeerUpdate(ALICE, policy=WEB), PeerUpdate(BOB, policy=WEB))

    configure_peers(device, PeerUpdate(BOB, remove=True), PeerUpdate(BOB))
    configure_peers(device, PeerUpdate(ALICE), PeerUpdate(BOB), replace_peers=True)

    assert policy(device, ALICE) == policy(device, BOB) == NO_POLICY


# -- Translations --------------------------------------------------------------------------------


def test_translations_are_set_once_and_told(device: PortableDevice, orders: Orders) -> None:
    office = SetTranslations((Translation(prefix("100.96.4.0/24"), prefix("192.168.1.0/24")),))

    configure(device, DeviceUpdate(translations=office))
    configure(device, DeviceUpdate(translations=office))
    configure(device, DeviceUpdate())

    assert taken(orders).count(office) == 1
    assert device.status().translations == office


def test_a_relay_forwards_between_the_peers_that_are_there_and_those_that_come(
    device: PortableDevice, orders: Orders
) -> None:
    configure_peers(device, PeerUpdate(ALICE))
    configure(device, DeviceUpdate(relay_rate=1000))
    configure(device, DeviceUpdate(relay_rate=1000))
    configure_peers(device, PeerUpdate(BOB))
    configure(device, DeviceUpdate(relay_rate=2000))

    relayed = [order for order in taken(orders) if isinstance(order, AddRelayed | SetRelay)]
    assert [order for order in relayed if isinstance(order, SetRelay)] == [SetRelay(1000), SetRelay(2000)]
    assert [bytes(order.public_key) for order in relayed if isinstance(order, AddRelayed)] == [
        bytes(ALICE),
        bytes(BOB),
    ]
    assert (device.status().relay_rate, device.status().relayed) == (2000, RelayCounts())


def test_translations_that_are_none_are_refused_before_anything_changes(
    device: PortableDevice, orders: Orders
) -> None:
    wrong = SetTranslations((Translation(prefix("100.96.4.0/24"), prefix("192.168.0.0/16")),))

    with pytest.raises(ValueError, match="of one IP version and one length"):
        configure(device, DeviceUpdate(private_key=OURS, translations=wrong))

    assert taken(orders) == []
