"""To whom a node sends keepalives: behind a NAT to the peers that answer, and elsewhere to nobody."""

from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

import pytest

from tests.mesh.network import NOW
from tests.mesh.nodes import Network
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import PeerId
from wgpy.engine.actions import HandshakeCompleted, PeerUnreachable
from wgpy.keys import PrivateKey
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.plan import Tunnel
from wgpy.model import PeerUpdate
from wgpy.node.files import NodeFile, StorageError, parse_keepalive
from wgpyd.agent.host_networks import HostNetworks, read_host_networks
from wgpyd.agent.identity import LocalIdentity
from wgpyd.agent.keepalives import FIRST_PAUSE, LAST_PAUSE, NAT_INTERVAL, Keepalives
from wgpyd.agent.reconcile.keepalives import with_keepalives

KEY, OTHER = (PrivateKey(bytes([number]) * 32).public_key() for number in (1, 2))
ANSWERED, SILENT = HandshakeCompleted(PeerId(1), initiator=True), PeerUnreachable(PeerId(1))
PUBLIC = Tunnel(frozenset(), (Endpoint("203.0.113.9", 51820),))
NO_ENDPOINT = Tunnel(frozenset(), ())
NAT = "198.51.100.1"


@dataclass(slots=True)
class Scene:
    """A node of 192.168.1.10/24 that the coordinator sees at an address. now: seconds."""

    keepalives: Keepalives = field(init=False)
    now: float = 1000.0
    changes: int = 0

    def __post_init__(self) -> None:
        self.keepalives = Keepalives(self.changed, lambda: self.now)

    def changed(self) -> None:
        self.changes += 1

    def configure(self, seen: str = NAT, keepalive: str = "auto", *endpoints: Endpoint) -> None:
        self.keepalives.configure(identity(keepalive, *endpoints), seen, at_home())


def identity(keepalive: str, *endpoints: Endpoint) -> LocalIdentity:
    """A node, and its record with these endpoints."""
    network = Network.found(NOW)
    node = replace(network.join(*endpoints), keepalive=keepalive)
    ledger = Ledger(network.administrator.key.verify_key())
    for signed in network.records:
        ledger.add(signed)
    return LocalIdentity(Path("/nowhere"), node, ledger)


def at_home() -> HostNetworks:
    address = {"local": "192.168.1.10", "prefixlen": 24}
    return read_host_networks([{"ifname": "eth0", "flags": ["UP"], "addr_info": [address]}], "mesh0")


@pytest.mark.parametrize(
    ("seen", "keepalive", "filtered", "interval"),
    [
        (NAT, "auto", False, 85),
        ("192.168.1.10", "auto", True, 85),
        ("192.168.1.10", "auto", False, 0),
        (NAT, "7", False, 7),
        (NAT, "off", False, 0),
        ("192.168.1.10", "off", True, 0),
    ],
)
def test_the_interval_is_what_nat_or_firewall_allow_unless_the_operator_says_otherwise(
    seen: str, keepalive: str, filtered: bool, interval: int
) -> None:
    scene = Scene()

    scene.keepalives.configure(identity(keepalive), seen, at_home(), is_filtered=filtered, learnt=85)

    assert scene.keepalives.interval == interval
    assert scene.keepalives.is_automatic == (keepalive == "auto")


@pytest.mark.parametrize(("keepalive", "interval"), [("auto", NAT_INTERVAL), ("7", 7), ("off", 0)])
def test_within_a_rootless_container_a_path_is_kept_whatever_address_is_seen(
    keepalive: str, interval: int
) -> None:
    scene = Scene()
    contained = replace(at_home(), user_mode="eth0")

    scene.keepalives.configure(identity(keepalive), "192.168.1.10", contained, learnt=170)

    assert scene.keepalives.interval == interval
    assert scene.keepalives.is_hidden == (interval > 0)


def test_where_no_udp_passes_the_connection_is_kept_open_as_before() -> None:
    scene = Scene()

    scene.keepalives.configure(identity("auto"), NAT, at_home(), is_blocked=True, learnt=170)

    assert scene.keepalives.interval == NAT_INTERVAL


@pytest.mark.parametrize(
    ("seen", "keepalive", "interval"),
    [
        (NAT, "auto", NAT_INTERVAL),
        ("192.168.1.10", "auto", 0),
        ("127.0.0.1", "auto", 0),
        ("", "auto", 0),
        (NAT, "off", 0),
        (NAT, "7", 7),
        ("192.168.1.10", "7", 7),
    ],
)
def test_a_node_sends_keepalives_behind_a_nat_or_as_its_operator_says(
    seen: str, keepalive: str, interval: int
) -> None:
    scene = Scene()

    scene.configure(seen, keepalive)

    assert scene.keepalives.wanted({KEY: PUBLIC}) == ({KEY: interval} if interval else {})
    assert scene.keepalives.nat == (NAT if seen == NAT else "")


def test_without_a_coordinator_the_address_that_it_saw_before_counts() -> None:
    scene = Scene()

    scene.configure("", "auto", Endpoint(NAT, 51820), Endpoint("192.168.1.10", 51820))

    assert scene.keepalives.nat == NAT
    assert scene.keepalives.wanted({KEY: PUBLIC}) == {KEY: NAT_INTERVAL}


def test_a_peer_without_an_endpoint_gets_them_once_it_has_answered() -> None:
    scene = Scene()
    scene.configure()
    assert scene.keepalives.wanted({KEY: NO_ENDPOINT}) == {}

    scene.keepalives.on_event(KEY, ANSWERED)

    assert scene.changes == 1
    assert scene.keepalives.wanted({KEY: NO_ENDPOINT}) == {KEY: NAT_INTERVAL}


def test_relays_with_which_a_node_registers_get_them_and_peers_behind_these_do_not() -> None:
    scene = Scene()
    scene.configure()

    assert scene.keepalives.wanted({KEY: PUBLIC, OTHER: PUBLIC}, [KEY], [OTHER]) == {KEY: NAT_INTERVAL}


def test_with_relays_others_have_them_as_often_as_a_nat_needs_that_has_seen_little() -> None:
    scene = Scene()
    scene.keepalives.configure(identity("auto"), NAT, at_home(), learnt=85)

    assert scene.keepalives.wanted({KEY: PUBLIC, OTHER: PUBLIC}, [KEY]) == {KEY: 85, OTHER: NAT_INTERVAL}
    assert scene.keepalives.wanted({KEY: PUBLIC, OTHER: PUBLIC}) == {KEY: 85, OTHER: 85}


def test_who_is_dialled_by_all_but_those_of_another_version_of_ip_sends_them_to_relays_alone() -> None:
    scene = Scene()
    given = identity("auto"), identity("off")
    peers = {KEY: PUBLIC, OTHER: PUBLIC}

    found = []
    for each in given:
        scene.keepalives.configure(each, "192.168.1.10", at_home(), is_apart=True)
        found.append(scene.keepalives.wanted(peers, [KEY]))

    assert found == [{KEY: NAT_INTERVAL}, {}]
    assert scene.keepalives.interval == 0


def test_a_node_that_sends_none_registers_with_no_relay() -> None:
    scene = Scene()
    scene.configure("192.168.1.10")

    assert scene.keepalives.wanted({KEY: PUBLIC}, [KEY]) == {}


def test_who_does_not_answer_is_called_again_after_longer_and_longer_pauses() -> None:
    scene = Scene()
    scene.configure()
    scene.keepalives.wanted({KEY: PUBLIC, OTHER: PUBLIC})
    pauses = []
    for _ in range(9):
        scene.keepalives.on_event(KEY, SILENT)
        assert scene.keepalives.wanted({KEY: PUBLIC, OTHER: PUBLIC}) == {OTHER: NAT_INTERVAL}
        pauses.append(scene.keepalives.seconds_left)
        scene.now += pauses[-1]
        assert KEY in scene.keepalives.wanted({KEY: PUBLIC, OTHER: PUBLIC})

    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LAST_PAUSE


@pytest.mark.parametrize("news", ["it answers", "it moved"])
def test_who_answers_or_moved_is_silent_no_longer(news: str) -> None:
    scene = Scene()
    scene.configure()
    scene.keepalives.wanted({KEY: PUBLIC})
    scene.keepalives.on_event(KEY, SILENT)
    moved = Tunnel(frozenset(), (Endpoint("203.0.113.10", 51820),))

    if news == "it answers":
        scene.keepalives.on_event(KEY, ANSWERED)

    tunnel = PUBLIC if news == "it answers" else moved
    assert scene.keepalives.wanted({KEY: tunnel}) == {KEY: NAT_INTERVAL}


def test_nothing_that_a_peer_does_wakes_a_node_without_keepalives() -> None:
    scene = Scene()
    scene.configure("192.168.1.10")
    scene.keepalives.wanted({KEY: PUBLIC})

    scene.keepalives.on_event(KEY, SILENT)
    scene.keepalives.on_event(KEY, ANSWERED)
    scene.keepalives.on_event(OTHER, SILENT)

    assert (scene.changes, scene.keepalives.seconds_left) == (0, inf)


def test_who_is_no_peer_any_more_is_forgotten() -> None:
    scene = Scene()
    scene.configure()
    scene.keepalives.wanted({KEY: PUBLIC})
    scene.keepalives.on_event(KEY, SILENT)

    assert scene.keepalives.wanted({}) == {}

    assert scene.keepalives.seconds_left == inf


# -- The interface -----------------------------------------------------------------------------------


def test_a_change_of_a_peer_brings_its_keepalive_too() -> None:
    changes = list(with_keepalives([PeerUpdate(KEY)], {}, {KEY: 25}))

    assert changes == [PeerUpdate(KEY, persistent_keepalive=25)]


def test_keepalives_that_others_set_are_repaired() -> None:
    changes = list(with_keepalives([], {KEY: 1, OTHER: 25}, {OTHER: 25}))

    assert changes == [PeerUpdate(KEY, update_only=True, persistent_keepalive=0)]


# -- The file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "on", "0", "65536", "-1", "2.5", "25s"])
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="want"):
        parse_keepalive(text)


def test_the_file_of_an_older_program_has_no_interval_and_means_auto(tmp_path: Path) -> None:
    Network.found(NOW).join().save(tmp_path)
    path = tmp_path / "node.json"
    path.write_text(path.read_text().replace('"keepalive"', '"unknown"'))

    assert NodeFile.load(tmp_path).keepalive == "auto"


def test_a_file_with_no_interval_that_makes_sense_is_damaged(tmp_path: Path) -> None:
    Network.found(NOW).join().save(tmp_path)
    path = tmp_path / "node.json"
    path.write_text(path.read_text().replace('"auto"', '"often"'))

    with pytest.raises(StorageError, match="is damaged"):
        NodeFile.load(tmp_path)
