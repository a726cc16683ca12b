"""`wg` against the daemon: show, showconf, setconf, addconf, syncconf, and set with every option.

Everything that wireguard-go answers as well is asked of both, so that a difference shows.
"""

import pytest

from tests.integration.hosts import CommandFailed, Lab, eventually
from tests.integration.peers import PORT, Implementation, Peer, key_pair, preshared_key
from tests.integration.topologies import Pair, endpoint


@pytest.fixture(params=["daemon", "wireguard_go"])
def alone(lab: Lab, request: pytest.FixtureRequest) -> Peer:
    """An interface without peers."""
    implementation: Implementation = request.getfixturevalue(request.param)
    interface = Peer(implementation, implementation.machine(lab, "host"), ("10.20.0.1/24",))
    interface.up()
    return interface


def _peers(interface: Peer) -> dict[str, list[str]]:
    """Return `wg show dump` by key: psk, endpoint, allowed IPs, handshake, received, sent, keepalive."""
    return {line[0]: line[1:] for line in interface.show("dump")[1:]}


def test_set_shows_every_option(alone: Peer) -> None:
    (private, public), (_, first), (_, second) = key_pair(), key_pair(), key_pair()
    psk = preshared_key()
    machine = alone.machine

    alone.set(
        "private-key", machine.write("/run/key", private), "listen-port", "51999", "fwmark", "0xca6c",
        "peer", first, "preshared-key", machine.write("/run/psk", psk), "endpoint", "192.0.2.1:1",
        "persistent-keepalive", "25", "allowed-ips", "10.0.0.0/8,fd00::/8,192.0.2.77/32",
        "peer", second, "endpoint", "[2001:db8::1]:65535", "allowed-ips", "0.0.0.0/0,::/0",
    )  # fmt: skip

    assert alone.show("dump")[0] == [private, public, "51999", "0xca6c"]
    peers = _peers(alone)
    allowed = peers[first].pop(2)
    assert set(allowed.split(",")) == {"10.0.0.0/8", "fd00::/8", "192.0.2.77/32"}
    assert peers[first][:2] == [psk, "192.0.2.1:1"]
    assert peers[first][-1] == "25"
    assert peers[second] == ["(none)", "[2001:db8::1]:65535", "0.0.0.0/0,::/0", "0", "0", "0", "off"]


def test_every_option_can_be_taken_back(alone: Peer) -> None:
    _, other = key_pair()
    psk = alone.machine.write("/run/psk", preshared_key())
    alone.set(
        "fwmark", "1", "peer", other, "preshared-key", psk,
        "persistent-keepalive", "25", "allowed-ips", "10.0.0.0/8",
    )  # fmt: skip

    alone.set(
        "private-key", "/dev/null", "listen-port", "0", "fwmark", "off", "peer", other,
        "preshared-key", "/dev/null", "persistent-keepalive", "off", "allowed-ips", "",
    )  # fmt: skip

    private, public, port, mark = alone.show("dump")[0]
    assert (private, public, mark) == ("(none)", "(none)", "off")
    assert int(port) not in {0, PORT}, "the kernel chose one"
    assert _peers(alone)[other] == ["(none)", "(none)", "(none)", "0", "0", "0", "off"]
    alone.set("peer", other, "remove")
    assert _peers(alone) == {}
    alone.set("peer", other, "remove")


def test_an_allowed_ip_belongs_to_the_last_peer_it_was_given_to(alone: Peer) -> None:
    (_, first), (_, second) = key_pair(), key_pair()
    alone.set("peer", first, "allowed-ips", "10.1.0.0/16,10.2.0.0/16")
    alone.set("peer", second, "allowed-ips", "10.2.0.0/16")
    assert _peers(alone)[first][2] == "10.1.0.0/16"
    assert _peers(alone)[second][2] == "10.2.0.0/16"


def test_a_peer_with_our_own_key_is_ignored(alone: Peer) -> None:
    alone.set("peer", alone.public_key, "allowed-ips", "10.0.0.0/8")
    assert _peers(alone) == {}


def test_showconf_is_what_setconf_takes(alone: Peer) -> None:
    (_, first), (_, second) = key_pair(), key_pair()
    psk = alone.machine.write("/run/psk", preshared_key())
    alone.set(
        "fwmark", "0x99", "peer", first, "preshared-key", psk, "endpoint", "[2001:db8::1]:443",
        "persistent-keepalive", "1", "allowed-ips", "10.0.0.0/8,fd00::/8",
        "peer", second, "allowed-ips", "192.0.2.0/24",
    )  # fmt: skip
    configuration = alone.machine.run("wg", "showconf", "wg0")
    before = sorted(configuration.split())
    _, gone = key_pair()
    alone.set("fwmark", "off", "peer", first, "remove", "peer", gone, "allowed-ips", "10.9.0.0/16")

    alone.setconf(configuration)

    assert sorted(alone.machine.run("wg", "showconf", "wg0").split()) == before


def test_addconf_keeps_the_peers_that_are_there(alone: Peer) -> None:
    (_, first), (_, second) = key_pair(), key_pair()
    alone.set("peer", first, "allowed-ips", "10.1.0.0/16")
    alone.setconf(f"[Peer]\nPublicKey = {second}\nAllowedIPs = 10.2.0.0/16\n", command="addconf")
    assert {key: peer[2] for key, peer in _peers(alone).items()} == {
        first: "10.1.0.0/16",
        second: "10.2.0.0/16",
    }


def test_show_names_the_interface(alone: Peer) -> None:
    assert alone.machine.run("wg", "show", "interfaces").split() == ["wg0"]
    assert f"listening port: {PORT}" in alone.machine.run("wg", "show")
    assert alone.machine.run("wg", "show", "all", "listen-port").split() == ["wg0", str(PORT)]
    for column in (
        "public-key",
        "private-key",
        "fwmark",
        "peers",
        "preshared-keys",
        "endpoints",
        "allowed-ips",
    ):
        alone.show(column)
    for column in "latest-handshakes", "transfer", "persistent-keepalive":
        alone.show(column)


def test_a_port_in_use_is_refused_and_the_old_one_stays(alone: Peer) -> None:
    machine = alone.machine
    machine.start("nc", "-u", "-l", "0.0.0.0", "40000")
    eventually(lambda: ":40000" in machine.run("ss", "-ulnH"), "the port is taken")

    with pytest.raises(CommandFailed, match="Address already in use"):
        alone.set("listen-port", "40000")


def test_syncconf_keeps_the_session_of_peers_that_stay(
    lab: Lab, daemon: Implementation, peer: Implementation
) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce()
    _, leaves = key_pair()
    pair.left.set("peer", leaves, "allowed-ips", "10.99.0.0/16")
    pair.left.ping(pair.right)
    configuration = pair.left.machine.run("wg", "showconf", "wg0")
    stays = [part for part in configuration.split("\n[Peer]") if leaves not in part]
    sent = pair.left.traffic(pair.right).sent

    pair.left.setconf("\n[Peer]".join(stays), command="syncconf")

    assert list(_peers(pair.left)) == [pair.right.public_key]
    pair.left.ping(pair.right)
    assert pair.left.traffic(pair.right).sent - sent == 128, "one packet and no handshake"


def test_setting_a_peer_again_keeps_its_session(
    lab: Lab, daemon: Implementation, peer: Implementation
) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce()
    pair.left.ping(pair.right)
    sent = pair.left.traffic(pair.right).sent

    pair.left.introduce(pair.right, endpoint("10.10.0.2"))

    pair.left.ping(pair.right)
    assert pair.left.traffic(pair.right).sent - sent == 128, "one packet and no handshake"


def test_a_new_private_key_begins_new_sessions(
    lab: Lab, daemon: Implementation, peer: Implementation
) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce()
    pair.left.ping(pair.right)
    old = pair.left.public_key
    pair.left.private_key, _ = key_pair()

    pair.left.set("private-key", pair.left.machine.write("/run/private.key", pair.left.private_key))
    assert not pair.left.reaches(pair.right), "the other side does not know the new key"
    pair.right.set("peer", old, "remove")
    pair.right.introduce(pair.left, endpoint("10.10.0.1"))

    pair.right.ping(pair.left)
    pair.left.ping(pair.right)


def test_a_removed_preshared_key_holds_from_the_next_handshake_on(
    lab: Lab, daemon: Implementation, peer: Implementation
) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce(psk=preshared_key())
    pair.left.ping(pair.right)

    pair.left.set("peer", pair.right.public_key, "preshared-key", "/dev/null")
    pair.left.ping(pair.right)
    pair.right.set("peer", pair.left.public_key, "preshared-key", "/dev/null")
    pair.right.restart()

    pair.right.ping(pair.left)


def test_fwmark_marks_every_datagram(lab: Lab, daemon: Implementation) -> None:
    """A route for marked packets leads nowhere, so the mark decides."""
    pair = Pair.build(lab, daemon, daemon)
    pair.introduce()
    pair.left.ping(pair.right)
    pair.left.machine.run("ip", "rule", "add", "fwmark", "0x1234", "table", "99")
    pair.left.machine.run("ip", "route", "add", "blackhole", "default", "table", "99")

    pair.left.set("fwmark", "0x1234")
    assert not pair.left.reaches(pair.right)
    pair.left.set("fwmark", "off")
    pair.left.ping(pair.right)
