"""What a coordinator reserves of what it proposes for sites, for whom, and for how long."""

import pytest

from tests.mesh.network import EVERYTHING, Administrator, key_of, prefixes, site
from wgmesh.reservations import Reservations
from wgmesh.snapshot import Entry, Snapshot
from wgpy.mesh.mapping import WantedSite
from wgpy.mesh.records import decode, record_key
from wgpy.mesh.signing import SigningKey

TOKEN, ANN, BOB = key_of(2), key_of(10), key_of(11)
LAN = "192.168.1.0/24"
FIRST, SECOND = "100.96.0.0/24", "100.96.1.0/24"


class Coordinator:
    """Of a network with two members. now: seconds."""

    def __init__(self) -> None:
        self.administrator = Administrator()
        self.reservations = Reservations()
        self.now = 0.0
        self.administrator.found()
        self.administrator.invite(TOKEN, routes=EVERYTHING)
        for number, key in enumerate((ANN, BOB)):
            self.administrator.join(key, TOKEN, name=f"node{number}")

    def snapshot(self) -> Snapshot:
        entries = {}
        for revision, signed in enumerate(self.administrator.records, 1):
            record = decode(signed.body)
            entries[record_key(record)] = Entry(signed, record, revision)
        return Snapshot(self.administrator.ledger(), self.administrator.topology(), entries)

    def propose(self, key: SigningKey, name: str, wanted: str = LAN, face: str = "mapped") -> str:
        asked = WantedSite(name, prefixes(wanted), face)
        (mapped,) = self.reservations.propose(self.snapshot(), key.verify_key(), asked, self.now).mapped
        return str(mapped)


@pytest.fixture
def coordinator() -> Coordinator:
    return Coordinator()


def test_what_was_proposed_to_a_member_is_proposed_to_no_other(coordinator: Coordinator) -> None:
    assert coordinator.propose(ANN, "home") == FIRST
    assert coordinator.propose(BOB, "office") == SECOND


def test_who_asks_again_is_proposed_the_same(coordinator: Coordinator) -> None:
    coordinator.propose(ANN, "home")
    coordinator.propose(BOB, "office")

    assert coordinator.propose(ANN, "home") == FIRST


def test_two_sites_of_one_member_are_proposed_different_prefixes(coordinator: Coordinator) -> None:
    assert coordinator.propose(ANN, "home") == FIRST
    assert coordinator.propose(ANN, "lab") == SECOND


def test_two_gateways_of_one_site_are_proposed_the_same(coordinator: Coordinator) -> None:
    assert coordinator.propose(ANN, "home") == FIRST
    assert coordinator.propose(BOB, "home") == FIRST


def test_what_nobody_announces_is_proposed_to_others_again(coordinator: Coordinator) -> None:
    coordinator.propose(ANN, "home")
    coordinator.now = 29.0
    assert coordinator.propose(BOB, "office") == SECOND

    coordinator.now = 31.0

    assert coordinator.propose(BOB, "lab") == FIRST


def test_what_was_announced_and_withdrawn_is_not_reserved(coordinator: Coordinator) -> None:
    coordinator.propose(ANN, "home")
    coordinator.administrator.announce(ANN, site("home", LAN, mapped=(FIRST,)))
    coordinator.administrator.announce(ANN, sequence=2)

    assert coordinator.propose(BOB, "office") == FIRST


def test_a_real_face_reserves_nothing(coordinator: Coordinator) -> None:
    assert coordinator.propose(ANN, "home", face="either") == LAN
    assert coordinator.propose(BOB, "office", face="either") == LAN


def test_where_nothing_else_is_free_what_is_reserved_is_proposed(coordinator: Coordinator) -> None:
    assert coordinator.propose(ANN, "home", "10.0.0.0/12") == "100.96.0.0/12"
    assert coordinator.propose(BOB, "office") == FIRST


@pytest.mark.parametrize(("proposals", "next_one"), [(256, "100.96.1.0/32"), (257, "100.96.0.0/32")])
def test_of_more_than_256_proposals_the_oldest_is_not_reserved(
    coordinator: Coordinator, proposals: int, next_one: str
) -> None:
    snapshot, host = coordinator.snapshot(), prefixes("192.168.1.7/32")

    for number in range(proposals):
        wanted = WantedSite(f"site{number}", host, "mapped")
        coordinator.reservations.propose(snapshot, ANN.verify_key(), wanted, coordinator.now)

    assert coordinator.propose(BOB, "office", "192.168.1.7/32") == next_one
