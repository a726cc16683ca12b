"""`wgpy up` and `wgpy down` on real hosts: a file becomes a tunnel, and `down` or a failure leaves no trace.

left                                        right
wg0   10.20.0.1/24 fd20::1/64               wg0   10.20.0.2/24 fd20::2/64
eth0  10.10.0.1/24 fd10::1/64  ───────────  eth0  10.10.0.2/24 fd10::2/64
"""

import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.documents import checked
from tests.integration.hosts import Result, add_addresses, eventually
from tests.integration.peers import key_pair
from tests.integration.tunnel_sides import FILE, Side, left, right

__all__ = ["left", "right"]  # fixtures


def interfaces(side: Side, *names: str) -> Any:
    return checked(("wgpy", "show"), side.wgpy("show", *names, "--json"))["interfaces"]


def test_two_files_make_a_tunnel_and_down_leaves_no_trace(left: Side, right: Side) -> None:
    before = left.network()
    left.write(peer=right)
    right.write(peer=left)

    assert left.wgpy("up", FILE) == "wg0 is up with 10.20.0.1/24, fd20::1/64, MTU 1420 and 1 peer.\n"
    right.wgpy("up", FILE)

    assert left.pings("10.20.0.2")
    assert left.pings("fd20::2")
    shown = left.wgpy("show", "wg0")
    assert right.public_key in shown
    assert "latest handshake: " in shown
    state = interfaces(left)["wg0"]
    assert state["peers"][0]["endpoint"] == "10.10.0.2:51820"
    assert left.private_key not in json.dumps(state)

    assert left.wgpy("down", FILE) == ""
    assert left.network() == before


@pytest.mark.parametrize("rp_filter", [0, 1])
def test_a_default_route_carries_all_but_the_tunnel_itself(left: Side, right: Side, rp_filter: int) -> None:
    for name in ("all", "eth0"):
        left.host.run("sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter={rp_filter}")
    left.host.run("ip", "route", "add", "default", "via", "10.10.0.2")
    # Only right's wg0 accepts what left sends from its addresses in the tunnel.
    add_addresses(right.host, "lo", "203.0.113.7/32", "2001:db8::7/128")
    before = left.network()
    left.write(peer=right, allowed="0.0.0.0/0, ::/0")
    right.write(peer=left, allowed="10.20.0.1/32, fd20::1/128")
    right.wgpy("up", FILE)

    left.wgpy("up", FILE)

    assert left.pings("203.0.113.7")
    assert left.pings("2001:db8::7")
    assert "dev wg0" in left.host.run("ip", "route", "get", "203.0.113.7")
    assert "dev eth0" in left.host.run("ip", "route", "get", "10.10.0.2"), "routes but the default one stay"

    left.wgpy("down", FILE)
    # src_valid_mark stays: others may have come to rely on it.
    assert left.network()[:-1] == before[:-1]


@pytest.mark.parametrize("first_down", ["wg0", "wg1"])
def test_two_full_tunnels_are_up_at_once(left: Side, right: Side, first_down: str) -> None:
    left.host.run("sysctl", "-qw", "net.ipv4.conf.eth0.rp_filter=1")
    left.host.run("ip", "route", "add", "default", "via", "10.10.0.2")
    # Both peers are behind the default route, as on the Internet.
    add_addresses(right.host, "lo", "198.51.100.1/32", "198.51.100.2/32", "203.0.113.7/32")
    before = left.network()
    peers = {"wg0": "198.51.100.1:51820", "wg1": "198.51.100.2:51821"}
    keys = {name: (key_pair(), key_pair()) for name in peers}
    for number, (name, endpoint) in enumerate(peers.items()):
        (own, _), (other, _) = keys[name]
        address, port = f"10.2{number}.0", 51820 + number
        left.host.write(
            f"/run/{name}.conf", _file(own, f"{address}.1/24", keys[name][1][1], "0.0.0.0/0", endpoint)
        )
        theirs = _file(other, f"{address}.2/24", keys[name][0][1], f"{address}.0/24", "", port)
        right.host.write(f"/run/{name}.conf", theirs)
        right.wgpy("up", f"/run/{name}.conf")
        left.wgpy("up", f"/run/{name}.conf")

    assert left.pings("203.0.113.7")
    assert left.pings("10.20.0.2"), "the first tunnel"
    assert left.pings("10.21.0.2"), "the second tunnel"
    for name in peers:
        sent = interfaces(left, name)[name]["peers"][0]["tx_bytes"]
        assert sent < 20_000, "no datagram goes round"

    left.wgpy("down", first_down)
    assert left.host.run("sysctl", "-n", "net.ipv4.conf.all.src_valid_mark") == "1\n"
    assert left.pings("203.0.113.7")
    for name in peers.keys() - {first_down}:
        left.wgpy("down", name)
    assert left.network() == before


def _file(
    private_key: str, address: str, peer: str, allowed: str, endpoint: str = "", port: int | None = None
) -> str:
    lines = [
        "[Interface]",
        f"PrivateKey = {private_key}",
        f"Address = {address}",
        *([f"ListenPort = {port}"] if port else []),
        "[Peer]",
        f"PublicKey = {peer}",
        f"AllowedIPs = {allowed}",
        *([f"Endpoint = {endpoint}"] if endpoint else []),
    ]
    return "\n".join([*lines, ""])


@pytest.mark.parametrize("table", ["Table = off", ""])
@pytest.mark.parametrize("is_killed", [False, True])
def test_down_keeps_the_rules_of_a_tunnel_with_the_same_mark(
    left: Side, right: Side, table: str, is_killed: bool
) -> None:
    left.write("FwMark = 51820", peer=right, allowed="0.0.0.0/0")
    left.wgpy("up", FILE)
    rules = left.host.run("ip", "rule")
    running = set(left.host.processes(Path(left.daemon).name))
    own, (_, other) = key_pair()[0], key_pair()
    text = _file(own, "10.30.0.1/24", other, "0.0.0.0/0" if table else "10.31.0.0/24")
    left.host.write("/run/wg1.conf", text.replace("[Peer]", f"FwMark = 51820\n{table}\n[Peer]"))
    left.wgpy("up", "/run/wg1.conf")
    if is_killed:
        for pid in set(left.host.processes(Path(left.daemon).name)) - running:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: left.host.attempt("ip", "link", "show", "wg1").status != 0, "the link has gone")

    left.wgpy("down", "wg1")

    assert left.host.run("ip", "rule") == rules


def test_down_keeps_rules_that_hooks_remove(left: Side, right: Side) -> None:
    rule = "not fwmark 51820 table 51820"
    hooks = (f"PostUp = ip rule add {rule}", f"PostDown = ip rule delete {rule}")
    left.write("FwMark = 51820", "Table = 51820", *hooks, peer=right, allowed="0.0.0.0/0")
    before = left.network()
    left.wgpy("up", FILE)

    left.wgpy("down", FILE)

    assert left.network() == before


@pytest.mark.parametrize("allowed", ["0.0.0.0/0, ::/0", "192.0.2.0/24"])
@pytest.mark.parametrize("mark", ["", "FwMark = 77"])
def test_down_removes_what_a_killed_daemon_left(left: Side, right: Side, allowed: str, mark: str) -> None:
    before = left.network()
    left.write(mark, "PostDown = touch /run/hook", peer=right, allowed=allowed)
    left.wgpy("up", FILE)
    for pid in left.host.processes(Path(left.daemon).name):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: left.host.attempt("ip", "link", "show", "wg0").status != 0, "the link has gone")

    said = left.wgpy("down", "wg0")

    assert said.startswith("wgpy: warning: the daemon of wg0 has ended by itself; ")
    assert left.host.path("/run/hook").exists()
    assert left.network()[:-2] == before[:-2]
    assert left.network()[-1] == before[-1]
    assert left.attempt("down", "wg0").status == 1


def test_up_after_a_killed_daemon_begins_anew(left: Side, right: Side) -> None:
    left.write(peer=right, allowed="0.0.0.0/0")
    left.wgpy("up", FILE)
    up = left.network()
    for pid in left.host.processes(Path(left.daemon).name):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: left.host.attempt("ip", "link", "show", "wg0").status != 0, "the link has gone")

    left.wgpy("up", FILE)

    again = left.network()
    assert [again[1], again[5]] == [up[1], up[5]], "rules and firewall are there once"


def test_down_by_name_finds_the_file_that_is_up(left: Side, right: Side) -> None:
    before = left.network()
    left.write("PostDown = touch /run/hook", peer=right)
    left.host.run("sh", "-c", f"cd /run && exec {shlex.join(left.command('up', './wg0.conf'))}")

    left.wgpy("down", "wg0")

    assert left.host.path("/run/hook").exists()
    assert left.network() == before


@pytest.mark.parametrize("verb", ["down", "reload", "save"])
def test_a_user_who_is_not_root_is_told_so(left: Side, verb: str) -> None:
    left.write()
    left.wgpy("up", FILE)
    # Another user may not be allowed to read the interpreter, so the user changes after the imports.
    program = "import os, sys; from wgpy.cli.main import main; os.setuid(65534); sys.exit(main(sys.argv[1:]))"

    result = left.host.attempt(sys.executable, "-c", program, verb, "wg0")

    assert result == Result(1, f"wgpy: only root may change the network; try `sudo wgpy {verb} …`.\n")


def test_what_is_probably_not_meant_is_warned_of(left: Side, right: Side) -> None:
    left.write(peer=left)
    assert "warning: one peer has this host's own key" in left.wgpy("up", FILE)


def test_a_full_tunnel_comes_up_where_the_first_preference_is_taken(left: Side, right: Side) -> None:
    for family in ("-4", "-6"):
        left.host.run("ip", family, "rule", "add", "table", "9", "preference", "1")
    before = left.network()
    left.write(peer=right, allowed="0.0.0.0/0, ::/0")

    left.wgpy("up", FILE)

    assert "dev wg0" in left.host.run("ip", "route", "get", "203.0.113.7")
    assert "dev eth0" in left.host.run("ip", "route", "get", "10.10.0.2"), "routes but the default one stay"
    assert "dev wg0" in left.host.run("ip", "route", "get", "2001:db8::7")
    left.wgpy("down", FILE)
    assert left.network() == before


@pytest.mark.parametrize(("allowed", "warns"), [("::/0", False), ("0.0.0.0/0", True)])
def test_a_full_tunnel_comes_up_where_sysctls_are_read_only(
    left: Side, right: Side, allowed: str, warns: bool
) -> None:
    left.host.run("mount", "--bind", "-o", "ro", "/proc/sys", "/proc/sys")
    left.write(peer=right, allowed=allowed)

    said = left.wgpy("up", FILE)

    assert ("src_valid_mark cannot be changed" in said) is warns
    assert "dev wg0" in left.host.run(
        "ip", "route", "get", "2001:db8::7" if ":" in allowed else "203.0.113.7"
    )


def test_a_table_that_the_host_does_not_know_is_a_sentence(left: Side, right: Side) -> None:
    before = left.network()
    left.write("Table = of", peer=right)

    result = left.attempt("up", FILE)

    assert result.status == 1
    assert "table of` failed: " in result.output
    assert len(result.output.splitlines()) == 1
    assert left.network() == before


@pytest.mark.parametrize("allowed", ["10.10.0.0/16", "10.10.0.2/32", "10.8.0.0/13, fd20::/64, 10.20.0.0/24"])
def test_allowed_ips_may_cover_the_endpoint_without_a_default_route(
    left: Side, right: Side, allowed: str
) -> None:
    before = left.network()
    left.write(peer=right, allowed=f"{allowed}, 10.20.0.2/32")
    right.write(peer=left)
    right.wgpy("up", FILE)

    left.wgpy("up", FILE)

    assert left.pings("10.20.0.2")
    assert "dev wg0" in left.host.run("ip", "route", "get", "10.10.0.2") or "/32" not in allowed
    sent = int(left.host.run("wg", "show", "wg0", "transfer").split()[2])
    assert sent < 10_000, "the tunnel does not carry its own datagrams"
    left.wgpy("down", FILE)
    assert left.network() == before


def test_a_tunnel_that_is_led_into_itself_carries_nothing_of_itself(left: Side, right: Side) -> None:
    left.write("Table = off", peer=right, allowed="0.0.0.0/0, ::/0")
    right.write(peer=left)
    right.wgpy("up", FILE)
    left.wgpy("up", FILE)
    left.host.run("ip", "route", "add", "10.20.0.2/32", "dev", "wg0")
    assert left.pings("10.20.0.2")

    left.host.run("ip", "route", "add", "10.10.0.2/32", "dev", "wg0")

    assert not left.pings("10.20.0.2")
    assert "routing_loop" in left.wgpy("show", "wg0", "--counters")
    assert int(left.host.run("wg", "show", "wg0", "transfer").split()[2]) < 10_000
    left.host.run("ip", "route", "delete", "10.10.0.2/32", "dev", "wg0")
    assert left.pings("10.20.0.2")


def test_nobody_reaches_the_address_of_a_full_tunnel_from_outside(left: Side, right: Side) -> None:
    left.write(peer=right, allowed="0.0.0.0/0")
    left.wgpy("up", FILE)
    right.host.run("ip", "route", "add", "10.20.0.1/32", "via", "10.10.0.1")

    assert right.pings("10.10.0.1")
    assert not right.pings("10.20.0.1")
    left.host.run("nft", "flush", "ruleset")
    assert right.pings("10.20.0.1"), "it was the firewall that kept it out"


def test_the_mtu_fits_the_route_to_the_peer(left: Side, right: Side) -> None:
    left.host.run("ip", "link", "set", "eth0", "mtu", "1400")
    left.write(peer=right)

    left.wgpy("up", FILE)

    assert "mtu 1320" in left.host.run("ip", "link", "show", "wg0")


def test_routes_may_go_into_a_table_or_nowhere(left: Side, right: Side) -> None:
    left.write("Table = 77", "MTU = 1280", peer=right, allowed="192.0.2.0/24, 0.0.0.0/0")
    left.wgpy("up", FILE)
    assert len(left.host.run("ip", "route", "show", "table", "77").splitlines()) == 2
    assert "mtu 1280" in left.host.run("ip", "link", "show", "wg0")
    left.wgpy("down", FILE)

    left.write("Table = off", peer=right, allowed="192.0.2.0/24, 0.0.0.0/0")
    left.wgpy("up", FILE)
    assert "192.0.2.0/24" not in left.host.run("ip", "route", "show", "table", "all")


def test_hooks_run_in_their_order_and_know_the_interface(left: Side) -> None:
    hooks = ("PreUp", "PostUp", "PreDown", "PostDown")
    left.write(
        *(f"{name} = echo {name} %i $(ip -brief link show %i 2>&1 | wc -w) >> /run/hooks" for name in hooks)
    )

    left.wgpy("up", FILE)
    left.wgpy("down", FILE)

    said = left.host.path("/run/hooks").read_text().splitlines()
    assert [line.rsplit(" ", 1)[0] for line in said] == [f"{name} wg0" for name in hooks]


def test_saveconfig_writes_what_the_interface_is_now(left: Side, right: Side) -> None:
    left.write("SaveConfig = true", "PostDown = true", peer=right)
    left.wgpy("up", FILE)
    other = key_pair()[1]
    left.host.run("wg", "set", "wg0", "listen-port", "4000", "peer", other, "allowed-ips", "192.0.2.1/32")

    left.wgpy("down", FILE)

    saved = left.host.path(FILE)
    text = saved.read_text()
    assert saved.stat().st_mode & 0o077 == 0
    for expected in (
        "ListenPort = 4000",
        other,
        right.public_key,
        "10.20.0.1/24",
        "fd20::1/64",
        "PostDown = true",
    ):
        assert expected in text
    left.wgpy("up", FILE)


def test_reload_brings_a_changed_file_in_without_a_break(left: Side, right: Side) -> None:
    left.write("ListenPort = 4000", peer=right, allowed="10.20.0.0/24, fd20::/64, 192.0.2.0/24")
    right.write(peer=left)
    left.wgpy("up", FILE)
    right.wgpy("up", FILE)
    assert left.pings("10.20.0.2")
    handshake = left.host.run("wg", "show", "wg0", "latest-handshakes")
    left.write(
        "ListenPort = 4000",
        "Address = 10.22.0.1/24",
        peer=right,
        allowed="10.20.0.0/24, fd20::/64, 198.51.100.0/24",
    )

    assert left.wgpy("reload", "wg0") == f"wg0 has what {FILE} says.\n"

    routes = left.host.run("ip", "route")
    assert "198.51.100.0/24 dev wg0" in routes
    assert "192.0.2.0/24" not in routes
    assert "10.22.0.1/24" in left.host.run("ip", "address", "show", "dev", "wg0")
    assert left.pings("10.20.0.2")
    assert left.host.run("wg", "show", "wg0", "latest-handshakes") == handshake
    other = key_pair()[1]
    left.host.run("sh", "-c", f"printf '[Peer]\nPublicKey = {other}\n' >> {FILE}")
    left.wgpy("reload", "wg0")
    assert other in left.wgpy("show", "wg0")
    left.write("ListenPort = 4000", peer=right)
    left.wgpy("reload", "wg0")
    assert other not in left.wgpy("show", "wg0")
    assert "10.22.0.1" not in left.host.run("ip", "address", "show", "dev", "wg0")
    assert left.host.run("wg", "show", "wg0", "latest-handshakes") == handshake


def test_reload_replaces_an_address_by_another_of_its_network(left: Side, right: Side) -> None:
    left.host.run("sysctl", "-qw", "net.ipv4.conf.default.promote_secondaries=0")  # as the kernel has it
    left.write(peer=right, allowed="10.20.0.0/24, 198.51.100.0/24")
    right.write(peer=left, allowed="10.20.0.0/24")
    left.wgpy("up", FILE)
    right.wgpy("up", FILE)
    path = left.host.path(FILE)
    path.write_text(path.read_text().replace("10.20.0.1/24", "10.20.0.9/24"))

    left.wgpy("reload", "wg0")

    shown = left.host.run("ip", "-4", "address", "show", "dev", "wg0")
    assert "inet 10.20.0.9/24" in shown
    assert "10.20.0.1/24" not in shown
    assert "198.51.100.0/24 dev wg0" in left.host.run("ip", "route")
    assert left.pings("10.20.0.2")


def test_reload_makes_a_full_tunnel_and_ends_it(left: Side, right: Side) -> None:
    before = left.network()
    left.write(peer=right, allowed="0.0.0.0/0")
    left.wgpy("up", FILE)
    full = left.network()
    left.wgpy("down", FILE)
    left.write(peer=right)
    left.wgpy("up", FILE)
    narrow = left.network()

    left.write(peer=right, allowed="0.0.0.0/0")
    left.wgpy("reload", FILE)
    assert left.network() == full
    left.wgpy("reload", FILE)
    assert left.network() == full
    left.write(peer=right)
    left.wgpy("reload", FILE)
    assert left.network() == narrow
    left.wgpy("down", FILE)
    assert left.network() == before


@pytest.mark.parametrize("allowed", ["10.10.0.0/24", "10.11.0.0/24"])
def test_reload_takes_routes_as_they_are_wherever_a_peer_has_gone(
    left: Side, right: Side, allowed: str
) -> None:
    left.write(peer=right, allowed=f"{allowed}, 10.20.0.2/32")
    left.wgpy("up", FILE)
    before = left.network()

    left.host.run("wg", "set", "wg0", "peer", right.public_key, "endpoint", "10.11.0.2:51820")
    left.wgpy("reload", FILE)

    assert left.network() == before


def test_a_reload_that_is_refused_changes_nothing(left: Side, right: Side) -> None:
    left.host.run("ip", "route", "add", "198.51.100.0/24", "via", "10.10.0.2")
    left.write(peer=right)
    left.wgpy("up", FILE)
    before = left.network(), left.wgpy("show", "wg0")
    left.write("Address = 10.22.0.1/24", peer=right, allowed="192.0.2.0/24, 198.51.100.0/24")

    result = left.attempt("reload", FILE)

    assert result.status == 1
    assert "`ip route add 198.51.100.0/24 dev wg0` failed: File exists" in result.output
    assert (left.network(), left.wgpy("show", "wg0")) == before


def test_save_writes_what_the_interface_is_now(left: Side, right: Side) -> None:
    left.write(peer=right)
    left.wgpy("up", FILE)
    left.host.run("wg", "set", "wg0", "listen-port", "4000")

    assert left.wgpy("save", "wg0") == ""

    assert "ListenPort = 4000" in left.host.path(FILE).read_text()
    left.wgpy("down", "wg0")
    assert left.attempt("save", FILE) == (Result(1, f"wgpy: wg0 is not up; `wgpy up {FILE}` brings it up.\n"))


def test_resolvconf_is_told_the_servers(left: Side) -> None:
    # It writes down how it is called, as no Debian host has it from the start.
    left.host.write(
        "/run/bin/resolvconf", '#!/bin/sh\n{ echo "$@"; [ "$1" = -d ] || cat; } >> /run/resolvconf\n'
    )
    left.host.run("chmod", "755", "/run/bin/resolvconf")
    left.write("DNS = 10.20.0.9, corp.example")

    left.wgpy("up", FILE)
    left.wgpy("down", FILE)

    assert left.host.path("/run/resolvconf").read_text().splitlines() == [
        "-a wg0 -m 0 -x",
        "nameserver 10.20.0.9",
        "search corp.example",
        "-d wg0 -f",
    ]
