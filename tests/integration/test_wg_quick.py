"""`wg-quick up` and `down` with the daemon as its userspace implementation.

left                              right
wg0  by wg-quick                  wg0  10.20.0.2/24 fd20::2/64
eth0 10.10.0.1/24 ───────────── eth0  10.10.0.2/24
                                  lo   198.51.100.1, 2001:db8::1 (the rest of the world)
"""

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually
from tests.integration.peers import PORT, Implementation, Peer, preshared_key
from tests.integration.topologies import LEFT_INSIDE, RIGHT_INSIDE

_CONFIGURATION = "/run/wg0.conf"
_WORLD = ("198.51.100.1", "2001:db8::1")


def _wg_quick(host: Host, program: str, command: str) -> str:
    implementation = f"WG_QUICK_USERSPACE_IMPLEMENTATION={program}"
    return host.run("env", implementation, "wg-quick", command, _CONFIGURATION)


@pytest.fixture
def left(lab: Lab) -> Host:
    host = lab.host("left")
    if host.attempt("ip", "link", "add", "probe", "type", "wireguard").status == 0:
        pytest.skip("wg-quick prefers this host's kernel, so it cannot be made to start the daemon")
    return host


@pytest.fixture
def right(lab: Lab, left: Host, daemon: Implementation) -> Peer:
    machine = lab.host("right")
    connect(left, "eth0", machine, "eth0")
    add_addresses(left, "eth0", "10.10.0.1/24")
    add_addresses(machine, "eth0", "10.10.0.2/24")
    add_addresses(machine, "lo", *_WORLD)
    peer = Peer(daemon, machine, RIGHT_INSIDE)
    peer.up()
    return peer


def _configure(left: Host, right: Peer, allowed_ips: str, extra: str = "") -> Peer:
    """Write left's file, and make it known to the right."""
    peer = Peer(right.implementation, left, LEFT_INSIDE)
    psk = preshared_key()
    right.introduce(peer, psk=psk)
    left.write(
        _CONFIGURATION,
        f"""
[Interface]
PrivateKey = {peer.private_key}
Address = {", ".join(LEFT_INSIDE)}
{extra}

[Peer]
PublicKey = {right.public_key}
PresharedKey = {psk}
Endpoint = 10.10.0.2:{PORT}
AllowedIPs = {allowed_ips}
""",
    )
    return peer


def test_up_and_down(left: Host, right: Peer, program: str) -> None:
    extra = "MTU = 1380\nPostUp = touch /run/up\nPostDown = touch /run/down"
    peer = _configure(left, right, "10.20.0.0/24, fd20::/64", extra)

    _wg_quick(left, program, "up")
    for family in 4, 6:
        peer.ping(right, family=family)
        right.ping(peer, family=family)
    assert "mtu 1380" in left.run("ip", "link", "show", "wg0")
    _wg_quick(left, program, "down")

    assert left.path("/run/up").exists()
    assert left.path("/run/down").exists()
    _assert_nothing_is_left(left, program)
    _wg_quick(left, program, "up")
    peer.ping(right)


def test_a_full_tunnel_carries_the_default_route(left: Host, right: Peer, program: str) -> None:
    peer = _configure(left, right, "0.0.0.0/0, ::/0")
    rules = left.run("ip", "rule"), left.run("ip", "-6", "rule"), left.run("nft", "list", "ruleset")

    _wg_quick(left, program, "up")
    for address in _WORLD:
        left.run("ping", "-n", "-c", "2", "-i", "0.1", "-W", "5", address)
    assert peer.traffic(right).handshake > 0
    assert left.run("wg", "show", "wg0", "fwmark").strip() != "off"
    _wg_quick(left, program, "down")

    assert (left.run("ip", "rule"), left.run("ip", "-6", "rule"), left.run("nft", "list", "ruleset")) == rules
    _assert_nothing_is_left(left, program)


def test_save_writes_what_the_interface_has(left: Host, right: Peer, program: str) -> None:
    _configure(left, right, "10.20.0.0/24")
    _wg_quick(left, program, "up")
    left.run("wg", "set", "wg0", "listen-port", "40000")

    _wg_quick(left, program, "save")

    saved = left.path(_CONFIGURATION).read_text()
    assert "ListenPort = 40000" in saved
    assert f"PublicKey = {right.public_key}" in saved


def _assert_nothing_is_left(host: Host, program: str) -> None:
    assert host.attempt("ip", "link", "show", "wg0").status != 0
    assert list(host.path("/run/wireguard").iterdir()) == []
    eventually(lambda: host.processes(program) == [], "the daemon has ended")
