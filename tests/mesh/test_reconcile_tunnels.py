"""From the peers that an interface has to those that it is to have."""

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.network import prefixes
from wgpy.contract.endpoint import Endpoint
from wgpy.datapath.portable import PortableDataPath
from wgpy.device import Device
from wgpy.device_update import apply_update, check_update
from wgpy.keys import PresharedKey, PublicKey
from wgpy.mesh.plan import Tunnel
from wgpy.mesh.rules import allowed_ip
from wgpy.model import DeviceStatus, DeviceUpdate, PeerStatus, PeerUpdate
from wgpy.paths.candidates import MAX_CANDIDATES
from wgpyd.agent.reconcile.tunnels import difference, without_preshared_keys

KEYS = [PublicKey(bytes([number]) * 32) for number in range(1, 6)]
PREFIXES = [
    *map(
        allowed_ip,
        prefixes("10.0.0.0/24", "10.0.0.7/32", "10.1.0.0/16", "fd00::/64", "fd00::7/128", "0.0.0.0/0"),
    )
]
ENDPOINTS = [Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 2), Endpoint("2001:db8::3", 3)]


@st.composite
def networks(draw: st.DrawFn) -> dict[PublicKey, Tunnel]:
    """Some peers, of which each has prefixes that no other has."""
    present = draw(st.lists(st.sampled_from(KEYS), unique=True))
    owners = {prefix: draw(st.sampled_from([*present, None])) for prefix in PREFIXES}
    return {
        key: Tunnel(
            frozenset(prefix for prefix, owner in owners.items() if owner == key),
            tuple(draw(st.lists(st.sampled_from(ENDPOINTS), unique=True))),
        )
        for key in present
    }


def device() -> Device[PortableDataPath]:
    return Device(PortableDataPath(), random=bytes, wall_clock=lambda: 0)


def configure(one: Device[PortableDataPath], changes: Sequence[PeerUpdate]) -> None:
    update = DeviceUpdate(peers=changes)
    check_update(one, update)
    for _ in apply_update(one, update, lambda: 0):
        pass


def configured(one: Device[PortableDataPath]) -> dict[bytes, object]:
    return {key: (set(one.allowed_ips(peer)), peer.selector) for key, peer in one.engine.peers.items()}


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
    before, after = (Tunnel(frozenset(PREFIXES[:number]), (ENDPOINTS[0],)) for number in (1, 2))
    configure(one, difference({}, {KEYS[0]: before}))
    peer = one.engine.peers[bytes(KEYS[0])]
    one.engine.set_endpoint(peer, roamed, 0)

    configure(one, difference({KEYS[0]: before}, {KEYS[0]: after}))

    assert peer.endpoint == roamed


def test_endpoints_beyond_what_an_interface_keeps_are_no_difference() -> None:
    many = tuple(Endpoint("192.0.2.1", port) for port in range(1, 100))
    present = {KEYS[0]: Tunnel(frozenset(), many[:MAX_CANDIDATES])}

    assert difference(present, {KEYS[0]: Tunnel(frozenset(), many)}) == []


# -- Preshared keys ----------------------------------------------------------------------------------


def test_a_preshared_key_that_another_program_set_is_cleared_and_no_peer_that_has_none_is_touched() -> None:
    none, foreign = PresharedKey(bytes(32)), PresharedKey(bytes([7]) * 32)
    kept, changed, removed, without = KEYS[:4]
    status = DeviceStatus(peers=[*(PeerStatus(key, foreign) for key in KEYS[:3]), PeerStatus(without, none)])
    removal, change = PeerUpdate(removed, remove=True), PeerUpdate(changed, candidates=ENDPOINTS)

    after = list(without_preshared_keys([removal, change, PeerUpdate(without)], status))

    assert after == [
        removal,
        PeerUpdate(changed, candidates=ENDPOINTS, preshared_key=none),
        PeerUpdate(without),
        PeerUpdate(kept, update_only=True, preshared_key=none),
    ]
