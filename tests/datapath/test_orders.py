"""Orders of the engine: what they change, and what is refused as the caller's mistake."""

import pytest

from tests.datapath.kinds import PEER, DataPathUnderTest, MakeDataPath, drop_counts, prefix, sent, with_peer
from tests.datapath.packets import ipv4, ipv6
from tests.datapath.remote import (
    AWAY,
    HOME,
    LOCAL_HOST,
    LOCAL_HOST6,
    NOW,
    REMOTE_HOST,
    STRANGE_HOST,
    STRANGE_HOST6,
    Remote,
)
from wgpy.contract.drops import DropReason
from wgpy.contract.errors import StateError
from wgpy.contract.events import PeerActivity
from wgpy.contract.orders import (
    AddPeer,
    AllowedIP,
    ClearSource,
    DataPathOrder,
    PurgeStaged,
    RemoveKeypair,
    RemovePeer,
    RemoveRoute,
    SendKeepalive,
    SetEndpoint,
    SetRoute,
    UseKeypair,
)

OUT = ipv4(LOCAL_HOST, REMOTE_HOST)
IN = ipv4(REMOTE_HOST, LOCAL_HOST)
NOBODY = 99


@pytest.mark.parametrize(
    "order",
    [
        RemovePeer(NOBODY),
        SetRoute(NOBODY, prefix(REMOTE_HOST)),
        RemoveRoute(NOBODY, prefix(REMOTE_HOST)),
        SetEndpoint(NOBODY, HOME),
        ClearSource(NOBODY),
        Remote(local_index=5).keypair(NOBODY),
        UseKeypair(NOBODY, 5),
        UseKeypair(NOBODY, None),
        RemoveKeypair(NOBODY, 5),
        SendKeepalive(NOBODY),
        PurgeStaged(NOBODY),
    ],
    ids=lambda order: type(order).__name__,
)
def test_an_order_about_an_unknown_peer_is_refused(path: DataPathUnderTest, order: DataPathOrder) -> None:
    with pytest.raises(StateError, match="AddPeer comes first"):
        path.apply(order, NOW)


@pytest.mark.parametrize("order", [UseKeypair(PEER, 5), RemoveKeypair(PEER, 5)], ids=["use", "remove"])
def test_an_order_about_an_unknown_keypair_is_refused(path: DataPathUnderTest, order: DataPathOrder) -> None:
    with pytest.raises(StateError, match="InstallKeypair comes first"):
        path.apply(order, NOW)


@pytest.mark.parametrize("order", [UseKeypair, RemoveKeypair])
def test_a_peer_cannot_have_another_peers_keypair(
    path: DataPathUnderTest, remote: Remote, order: type[UseKeypair] | type[RemoveKeypair]
) -> None:
    path.apply(AddPeer(8), NOW)

    with pytest.raises(StateError, match="InstallKeypair comes first"):
        path.apply(order(8, remote.local_index), NOW)


def test_a_peer_is_added_once(path: DataPathUnderTest) -> None:
    with pytest.raises(StateError, match="there already"):
        path.apply(AddPeer(PEER), NOW)


def test_a_keypair_is_installed_once_and_its_counter_is_safe(path: DataPathUnderTest, remote: Remote) -> None:
    path.send_packet(OUT, NOW)
    with pytest.raises(StateError, match="there already"):
        path.apply(remote.keypair(PEER), NOW)

    path.send_packet(OUT, NOW)

    assert [message.counter for message in sent(path, remote)] == [0, 1]


def test_a_removed_peer_neither_sends_nor_receives(path: DataPathUnderTest, remote: Remote) -> None:
    path.apply(RemovePeer(PEER), NOW)

    path.send_packet(OUT, NOW)
    assert path.take_datagrams() == []
    assert len(path.take_packets()) == 1  # the ICMP error for it
    path.receive_datagram(remote.seal(IN), HOME, NOW)

    assert path.take_packets() == []
    assert drop_counts(path) == {DropReason.NO_PEER_FOR_DESTINATION: 1, DropReason.UNKNOWN_INDEX: 1}
    with pytest.raises(KeyError):
        path.activity(PEER)


def test_what_a_removed_peer_had_can_be_given_to_another(path: DataPathUnderTest, remote: Remote) -> None:
    path.apply(RemovePeer(PEER), NOW)
    path.apply(AddPeer(8), NOW)
    path.apply(SetRoute(8, prefix(REMOTE_HOST)), NOW)
    path.apply(remote.keypair(8), NOW)

    path.receive_datagram(remote.seal(IN), HOME, NOW)

    assert path.take_packets() == [IN]


def test_a_removed_peers_move_is_not_told(path: DataPathUnderTest, remote: Remote) -> None:
    path.receive_datagram(remote.seal(), AWAY, NOW)

    path.apply(RemovePeer(PEER), NOW)

    assert path.take_events() == []


def test_a_new_peer_has_nothing_of_a_removed_one(path: DataPathUnderTest, remote: Remote) -> None:
    path.receive_datagram(remote.seal(IN), HOME, NOW)
    path.send_packet(OUT, NOW)
    path.take_datagrams()
    path.take_events()
    path.apply(RemovePeer(PEER), NOW)

    path.apply(AddPeer(8), NOW)
    path.apply(SetRoute(8, prefix(REMOTE_HOST)), NOW)
    path.send_packet(OUT, NOW)

    assert path.activity(8) == PeerActivity()
    assert path.take_datagrams() == []
    assert drop_counts(path) == {DropReason.NO_ENDPOINT: 1}
    assert path.take_events() == []


def test_peers_and_keypairs_come_and_go(datapath: MakeDataPath) -> None:
    """Any of many can be removed, and those that stay work on."""
    path = datapath()
    remotes = {peer: Remote(local_index=peer, remote_index=1000 + peer) for peer in range(1, 101)}
    for peer, remote in remotes.items():
        path.apply(AddPeer(peer), NOW)
        path.apply(SetRoute(peer, prefix(f"10.0.1.{peer}")), NOW)
        path.apply(remote.keypair(peer), NOW)
    for peer in range(1, 101, 3):
        path.apply(RemovePeer(peer), NOW)
    for peer in range(2, 101, 3):
        path.apply(RemoveKeypair(peer, peer), NOW)

    for peer, remote in remotes.items():
        path.receive_datagram(remote.seal(ipv4(f"10.0.1.{peer}", LOCAL_HOST)), HOME, NOW)

    assert path.take_packets() == [ipv4(f"10.0.1.{peer}", LOCAL_HOST) for peer in range(3, 101, 3)]
    assert drop_counts(path) == {DropReason.UNKNOWN_INDEX: 67}


def test_a_peer_may_lose_its_only_unused_keypair(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)
    path.apply(remote.keypair(PEER), NOW)
    path.apply(RemoveKeypair(PEER, remote.local_index), NOW)

    path.apply(remote.keypair(PEER), NOW)
    path.receive_datagram(remote.seal(IN), HOME, NOW)

    assert path.take_packets() == [IN]


def test_removing_an_older_keypair_leaves_the_sending_one(path: DataPathUnderTest, remote: Remote) -> None:
    fresh = Remote(local_index=5, remote_index=6)
    path.apply(fresh.keypair(PEER), NOW)
    path.apply(UseKeypair(PEER, 5), NOW)

    path.apply(RemoveKeypair(PEER, remote.local_index), NOW)
    path.send_packet(OUT, NOW)

    assert len(sent(path, fresh)) == 1


# -- Routes --------------------------------------------------------------------------------------


def test_a_route_set_again_moves_to_the_new_peer(path: DataPathUnderTest, remote: Remote) -> None:
    path.apply(AddPeer(8), NOW)
    path.apply(SetRoute(8, prefix(REMOTE_HOST)), NOW)

    path.send_packet(OUT, NOW)
    path.receive_datagram(remote.seal(IN), HOME, NOW)

    assert drop_counts(path) == {DropReason.NO_ENDPOINT: 1, DropReason.SOURCE_NOT_ALLOWED: 1}


def test_a_removed_route_leads_nowhere(path: DataPathUnderTest) -> None:
    path.apply(RemoveRoute(PEER, prefix(REMOTE_HOST)), NOW)

    path.send_packet(OUT, NOW)

    assert drop_counts(path) == {DropReason.NO_PEER_FOR_DESTINATION: 1}


def test_a_peer_cannot_remove_another_peers_route(path: DataPathUnderTest) -> None:
    path.apply(AddPeer(8), NOW)
    path.apply(RemoveRoute(8, prefix(REMOTE_HOST)), NOW)

    path.send_packet(OUT, NOW)

    assert len(path.take_datagrams()) == 1


@pytest.mark.parametrize(("default", "version"), [("0.0.0.0/0", 4), ("::/0", 6)])
def test_a_default_route_takes_the_rest_of_its_own_family(
    path: DataPathUnderTest, remote: Remote, default: str, version: int
) -> None:
    path.apply(SetRoute(PEER, prefix(default)), NOW)

    path.send_packet(ipv4(LOCAL_HOST, STRANGE_HOST), NOW)
    path.send_packet(ipv6(LOCAL_HOST6, STRANGE_HOST6), NOW)

    [message] = sent(path, remote)
    assert message.packet[0] >> 4 == version
    assert drop_counts(path) == {DropReason.NO_PEER_FOR_DESTINATION: 1}


@pytest.mark.parametrize(
    "wrong",
    [
        AllowedIP._make((bytes(5), 8)),
        AllowedIP._make((bytes(4), 33)),
        AllowedIP._make((bytes(16), 129)),
        AllowedIP._make((b"\x0a\0\0\1", 24)),
    ],
    ids=["length of address", "length of IPv4 prefix", "length of IPv6 prefix", "host bits"],
)
def test_what_is_no_prefix_is_the_callers_fault(path: DataPathUnderTest, wrong: AllowedIP) -> None:
    with pytest.raises(ValueError, match="no prefix"):
        path.apply(SetRoute(PEER, wrong), NOW)


def test_allowed_ips_are_told_in_the_order_in_which_a_peer_got_them(datapath: MakeDataPath) -> None:
    """A prefix that it has already stays where it is; one that it lost and got back is its newest."""
    path, other = datapath(), PEER + 1
    first, second, third = prefix("10.1.0.0/16"), prefix("fd00::/64"), prefix("0.0.0.0/0")
    path.apply(AddPeer(PEER), NOW)
    path.apply(AddPeer(other), NOW)

    for order in (
        SetRoute(PEER, first), SetRoute(PEER, second), SetRoute(PEER, third), SetRoute(PEER, first),
        SetRoute(other, second), SetRoute(PEER, second), SetRoute(other, third), RemoveRoute(PEER, third),
    ):  # fmt: skip
        path.apply(order, NOW)

    assert path.allowed_ips(PEER) == [first, second]
    assert path.allowed_ips(other) == [third]


def test_a_new_peer_has_no_allowed_ips_and_an_unknown_one_is_refused(datapath: MakeDataPath) -> None:
    path = datapath()
    path.apply(AddPeer(PEER), NOW)
    assert path.allowed_ips(PEER) == []

    with pytest.raises(StateError, match="AddPeer comes first"):
        path.allowed_ips(NOBODY)
