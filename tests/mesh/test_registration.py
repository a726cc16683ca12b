"""With which relays a node registers: the nearest that answer, and no others for a trifle."""

from tests.mesh.network import NOW, key_of
from tests.mesh.nodes import Network
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.records import RegisteredRelay
from wgpy.mesh.records.paths import MAX_REGISTERED
from wgpy.mesh.registration import WANTED, nearest, only_relays
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import derive
from wgpy.paths.discovery import Answer
from wgpyd.agent.registration import nat_word

NEAR, MIDDLE, FAR = (key_of(number).verify_key() for number in (3, 2, 1))


def registered(**latencies: int) -> tuple[RegisteredRelay, ...]:
    keys = {"near": NEAR, "middle": MIDDLE, "far": FAR}
    return tuple(RegisteredRelay(keys[name], latency) for name, latency in latencies.items())


def test_the_nearest_relays_are_chosen_with_a_coarse_latency() -> None:
    found = nearest({FAR: 180.0, NEAR: 3.2, MIDDLE: 41.0}, ())

    assert found == registered(near=5, middle=50)
    assert len(found) == WANTED


def test_where_none_answers_there_is_none() -> None:
    assert nearest({}, registered(near=5)) == ()


def test_a_latency_that_varies_a_little_is_the_same() -> None:
    before = registered(near=5, middle=50)

    for near, middle in ((1.2, 21.0), (9.9, 99.0), (5.0, 50.0)):
        assert nearest({NEAR: near, MIDDLE: middle}, before) == before

    assert set(nearest({NEAR: 30.0, MIDDLE: 50.0}, before)) == set(registered(near=50, middle=50))


def test_a_relay_stays_unless_another_one_is_nearer_by_more_than_a_step() -> None:
    before = registered(near=5, far=200)

    assert identities(nearest({NEAR: 5.0, FAR: 180.0, MIDDLE: 90.0}, before)) == {NEAR, FAR}
    assert identities(nearest({NEAR: 5.0, FAR: 180.0, MIDDLE: 40.0}, before)) == {NEAR, MIDDLE}


def test_a_relay_that_does_not_answer_is_replaced_by_one_that_does() -> None:
    assert identities(nearest({MIDDLE: 40.0, FAR: 180.0}, registered(near=5, far=200))) == {MIDDLE, FAR}


def test_no_latency_is_too_long_to_be_told() -> None:
    assert nearest({NEAR: 1e9}, ()) == registered(near=60_000)


def test_a_relay_that_is_the_only_one_of_a_peer_is_added_to_the_nearest() -> None:
    measured = {NEAR: 3.0, MIDDLE: 40.0, FAR: 180.0}

    assert nearest(measured, (), {FAR}) == registered(near=5, middle=50, far=200)
    assert nearest(measured, registered(near=5, far=200), {FAR}) == registered(near=5, middle=50, far=200)
    assert nearest(measured, (), {NEAR}) == registered(near=5, middle=50)
    assert nearest({NEAR: 3.0, MIDDLE: 40.0}, (), {FAR}) == registered(near=5, middle=50)


def test_no_more_relays_are_added_than_a_record_has() -> None:
    keys = [key_of(number).verify_key() for number in range(1, 3 * MAX_REGISTERED)]

    assert len(nearest(dict.fromkeys(keys, 5.0), (), keys)) == MAX_REGISTERED


def test_the_only_relay_is_that_of_a_peer_that_has_no_other_one() -> None:
    network = Network.found(NOW)
    alone, with_two, with_none = (network.join() for _ in range(3))
    network.administrator.register(alone.identity, (key_of(1), 10))
    network.administrator.register(with_two.identity, (key_of(3), 10), (key_of(2), 10))
    members = derive(network.administrator.ledger(), NOW).members
    assert with_none.identity.verify_key() in {member.identity for member in members}

    assert only_relays(members) == {FAR}


def seen(by: str, at: str, port: int = 7000) -> Answer:
    return Answer(bytes(32), Endpoint(by, 51820), 0, Endpoint(at, port), 100)


def test_what_a_nat_of_ipv4_does_is_no_matter_of_relays_that_answer_by_ipv6() -> None:
    outside = "198.51.100.1"
    near, far = seen("203.0.113.2", outside), seen("203.0.113.3", outside)
    other = seen("203.0.113.3", outside, 7001)
    six = [seen("2001:db8::2", "2001:db8::7"), seen("2001:db8::3", "2001:db8::7")]

    assert nat_word([near, far, *six]) == "endpoint-independent"
    assert nat_word([*six, near, other]) == "address-and-port-dependent"
    assert nat_word([near, *six]) == nat_word([near]) == nat_word([]) == ""
    assert nat_word(six) == "endpoint-independent"


def identities(relays: tuple[RegisteredRelay, ...]) -> set[VerifyKey]:
    return {relay.identity for relay in relays}
