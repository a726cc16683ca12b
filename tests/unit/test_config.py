"""wg-quick configuration files: what they say, and what an error says about them."""

from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

import pytest

from wgpy.address import HostPort, format_prefix, parse_prefix
from wgpy.config import (
    Config,
    ConfigError,
    PeerConfig,
    load,
    parse,
    to_reload,
    to_update,
    warnings,
    wg_text,
    with_status,
    write,
)
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PresharedKey, PrivateKey, PublicKey
from wgpy.model import AllowedIPChange, DeviceStatus, DeviceUpdate, PeerStatus, PeerUpdate

PRIVATE = PrivateKey(b"\x40" * 32)
PUBLIC = PublicKey(b"\x51" * 32)
PRESHARED = PresharedKey(b"\x62" * 32)

FULL = f"""\
# A host that sends everything through its peer.
[Interface]
PrivateKey = {PRIVATE.base64()}
ListenPort = 51820
FwMark = 0xca6c
Address = 10.0.0.2/24, fd00::2/64
Address = 192.0.2.7
DNS = 10.0.0.1, fd00::1, corp.example
MTU = 1380
Table = 1234
PreUp = echo one  # only this far
PreUp = echo two
PostUp = ip rule add iif %i
PreDown = true
PostDown = false
SaveConfig = true

[Peer]
PublicKey = {PUBLIC.base64()}
PresharedKey = {PRESHARED.base64()}
AllowedIPs = 10.1.2.3/16, ::/0
AllowedIPs = 192.0.2.9
Endpoint = vpn.example.net:51820
PersistentKeepalive = 25
"""

FULL_CONFIG = Config(
    private_key=PRIVATE,
    listen_port=51820,
    fwmark=51820,
    addresses=(ip_interface("10.0.0.2/24"), ip_interface("fd00::2/64"), ip_interface("192.0.2.7/32")),
    dns=("10.0.0.1", "fd00::1"),
    dns_search=("corp.example",),
    mtu=1380,
    table="1234",
    pre_up=("echo one", "echo two"),
    post_up=("ip rule add iif %i",),
    pre_down=("true",),
    post_down=("false",),
    save_config=True,
    peers=(
        PeerConfig(
            PUBLIC,
            PRESHARED,
            (parse_prefix("10.1.0.0/16"), parse_prefix("::/0"), parse_prefix("192.0.2.9/32")),
            HostPort("vpn.example.net", 51820),
            25,
        ),
    ),
)


def interface(*lines: str) -> Config:
    return parse("\n".join(["[Interface]", *lines]))


def peer(*lines: str) -> PeerConfig:
    config = parse("\n".join(["[Interface]", "[Peer]", f"PublicKey={PUBLIC}", *lines]))
    return config.peers[0]


# -- what is accepted --------------------------------------------------------------------------------


def test_every_setting_is_read() -> None:
    assert parse(FULL) == FULL_CONFIG


def test_what_is_written_reads_back_the_same() -> None:
    assert parse(write(FULL_CONFIG)) == FULL_CONFIG


def test_names_and_sections_may_be_in_any_case() -> None:
    swapped = "\n".join(
        line if "Key" in line or "=" not in line else line.swapcase() for line in FULL.split("\n")
    )
    found = parse(swapped.replace("[Interface]", "[INTERFACE]").replace("[Peer]", "[peer]"))
    assert found.listen_port == 51820
    assert found.peers[0].persistent_keepalive == 25


def test_a_file_from_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "wg0.conf"
    path.write_bytes(b"\xef\xbb\xbf" + FULL.replace("\n", "\r\n").encode())
    assert load(path) == load(str(path)) == FULL_CONFIG


def test_off_is_zero() -> None:
    assert interface("FwMark = OFF").fwmark == 0
    assert peer("PersistentKeepalive = off").persistent_keepalive == 0


def test_what_is_not_said_is_none() -> None:
    assert parse("[Interface]") == Config()
    assert peer() == PeerConfig(PUBLIC)


def test_of_a_single_setting_the_last_line_counts() -> None:
    assert interface("ListenPort = 1", "ListenPort = 2").listen_port == 2


def test_an_interface_section_may_be_continued_below_a_peer() -> None:
    found = parse(
        "[Interface]\nAddress=10.0.0.1/8\n"
        f"[Peer]\nPublicKey={PUBLIC}\n"
        "[Interface]\nAddress=fd00::1/8\nMTU=1280\n"
    )
    assert found.addresses == (ip_interface("10.0.0.1/8"), ip_interface("fd00::1/8"))
    assert found.mtu == 1280


@pytest.mark.parametrize(
    ("text", "prefixes"),
    [
        ("", []),
        ("10.0.0.1", ["10.0.0.1/32"]),
        ("fd00::1", ["fd00::1/128"]),
        ("+10.0.0.0/8,::/0", ["10.0.0.0/8", "::/0"]),
        ("10.0.0.0/8, 10.0.0.0/8", ["10.0.0.0/8"]),
        ("10.0.0.0/8, ::/0, -10.0.0.0/8", ["::/0"]),
        ("-10.0.0.0/8", []),
    ],
)
def test_allowed_ips_are_what_is_left_in_the_end(text: str, prefixes: list[str]) -> None:
    assert [format_prefix(prefix) for prefix in peer(f"AllowedIPs = {text}").allowed_ips] == prefixes


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("192.0.2.1:1", HostPort("192.0.2.1", 1)),
        ("[2001:db8::1]:65535", HostPort("2001:db8::1", 65535)),
        ("[fe80::1%eth0]:1", HostPort("fe80::1%eth0", 1)),
        ("localhost:51820", HostPort("localhost", 51820)),
        ("a-b.example.:51820", HostPort("a-b.example.", 51820)),
    ],
)
def test_an_endpoint_is_kept_as_it_is_written(text: str, endpoint: HostPort) -> None:
    found = peer(f"Endpoint = {text}").endpoint
    assert found == endpoint
    assert str(found) == text


@pytest.mark.parametrize("blank", ["", " ", "\t", "\r"])
@pytest.mark.parametrize("name", ["PreUp", "PostUp", "PreDown", "PostDown"])
def test_an_empty_hook_is_none(name: str, blank: str) -> None:
    assert interface(f"{name} ={blank}", f"{name}={blank}# later") == Config()


def test_an_empty_mtu_or_table_is_chosen_by_wgpy() -> None:
    assert interface("MTU =", "Table =") == Config()
    assert interface("MTU = 1280", "Table = off", "MTU = # none", "Table =") == Config()
    assert interface("Address =", "DNS =", "Address = ,", "DNS = ,") == Config()


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("MTU = 0x578", "mtu", 1400),
        ("MTU = 02570", "mtu", 1400),
        ("MTU = +1400", "mtu", 1400),
        ("Table = 0xCA6C", "table", "51820"),
        ("Table = 0100", "table", "64"),
        ("Table = 0", "table", "main"),
        ("Table = 4294967295", "table", "4294967295"),
        ("Table = uplink-2.b", "table", "uplink-2.b"),
        ("Table = Default", "table", "Default"),
        ("FwMark = 0x00000000ca6c", "fwmark", 51820),
        ("FwMark = 0x0", "fwmark", 0),
        ("FwMark = 010", "fwmark", 10),
        ("FwMark = 12 34", "fwmark", 1234),
        ("ListenPort = 00053", "listen_port", 53),
        ("ListenPort = domain", "listen_port", 53),
        ("Listen Port = 5 3", "listen_port", 53),
    ],
)
def test_a_number_is_read_in_every_spelling_of_ip_and_wg(line: str, field: str, value: object) -> None:
    assert getattr(interface(line), field) == value


def test_heads_names_and_values_may_hold_blanks() -> None:
    key = PUBLIC.base64()
    found = parse(
        f"[ Interface ]\n[\tPEER\t]\nPublic Key = {key[:9]} {key[9:]}\n"
        "Allowed IPs = 10.0.0.0 / 08 , fd00:: /64\nEndpoint = 192.0.2.1 : 5 3\n"
    )
    assert found.peers == (
        PeerConfig(
            PUBLIC,
            allowed_ips=(parse_prefix("10.0.0.0/8"), parse_prefix("fd00::/64")),
            endpoint=HostPort("192.0.2.1", 53),
        ),
    )


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("2001:db8::1:51820", HostPort("2001:db8::1", 51820)),
        ("fe80::1%eth0:51820", HostPort("fe80::1%eth0", 51820)),
        ("[10.0.0.1]:1", HostPort("10.0.0.1", 1)),
        ("[example.net]:1", HostPort("example.net", 1)),
        ("10.0.258:1", HostPort("10.0.1.2", 1)),
        ("example.net:domain", HostPort("example.net", 53)),
        ("example.net:00051820", HostPort("example.net", 51820)),
    ],
)
def test_an_endpoint_is_read_as_wg_reads_it(text: str, endpoint: HostPort) -> None:
    assert peer(f"Endpoint = {text}").endpoint == endpoint


def test_a_second_section_of_a_peer_changes_it_and_replaces_its_allowed_ips() -> None:
    section = f"[Peer]\nPublicKey = {PUBLIC}\n"
    found = parse(
        f"[Interface]\n{section}Endpoint = 192.0.2.1:5\nAllowedIPs = ::/0\n{section}AllowedIPs = 10.0.0.0/8\n"
    )
    assert found.peers == (
        PeerConfig(PUBLIC, allowed_ips=(parse_prefix("10.0.0.0/8"),), endpoint=HostPort("192.0.2.1", 5)),
    )


# -- what is refused ---------------------------------------------------------------------------------


def error(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "wg0.conf")
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("ListenPort = 70000", "ListenPort: want a whole number from 0 to 65535"),
        ("ListenPort =", "ListenPort: want a whole number"),
        ("PrivateKey = abc", "PrivateKey: want a key"),
        ("FwMark = on", "FwMark: want a mark"),
        ("FwMark =", "FwMark: want a number"),
        ("Address = 10.0.0.1/33", "Address: want addresses"),
        ("Address = 10.0.0.1/024", "Address: want addresses"),
        ("Address = 010.0.0.1/24", "Address: want addresses"),
        ("DNS = 10.0.0", "DNS: want addresses of name servers"),
        ("DNS = -x", "DNS: want addresses of name servers"),
        ("MTU = 10", "MTU: want a whole number from 68 to 65535"),
        ("Table = o f", "Table: want `auto`, `off`, or the name or number of a routing table"),
        ("Table = 08", "Table: want `auto`, `off`, or"),
        ("Table = 4294967296", "Table: want `auto`, `off`, or"),
        ("MTU = 0x10", "MTU: want a whole number from 68 to 65535"),
        ("ListenPort = no-service", "ListenPort: want a whole number"),
        ("FwMark = 0x100000000", "FwMark: want a mark"),
        ("SaveConfig =", "SaveConfig: want `true` or `false`"),
        ("SaveConfig = yes", "SaveConfig: want `true` or `false`"),
        ("Adress = 10.0.0.1/8", "`Adress` is no setting; did you mean Address?"),
        ("Colour = blue", "`Colour` is no setting of [Interface]; these are: PrivateKey, "),
        ("AllowedIPs = ::/0", "AllowedIPs belongs below [Peer], and this line is below [Interface]"),
        ("ListenPort 51820", "write `Name = value`"),
        ("[Peers]", "there is no such section; write [Interface] or [Peer]"),
        ("PostUp = a\0b", "PostUp: this holds a NUL character"),
    ],
)
def test_an_error_names_file_line_and_remedy(line: str, remedy: str) -> None:
    assert error(f"# comment\n\n[Interface]\n{line}\n").startswith(f"wg0.conf, line 4: {remedy}")


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("Endpoint = example.net", "Endpoint: want HOST:PORT"),
        ("Endpoint = 2001:db8::x:51820", "Endpoint: want HOST:PORT"),
        ("Endpoint = [10.0.0.256]:1", "Endpoint: want HOST:PORT"),
        ("Endpoint = [10.0.0.1:1", "Endpoint: want HOST:PORT"),
        ("Endpoint = 10.0.0.0.0:1", "Endpoint: want HOST:PORT"),
        ("Endpoint = example.net:no-service", "Endpoint: want a port from 1 to 65535"),
        ("Endpoint = -x:1", "Endpoint: want HOST:PORT"),
        ("Endpoint = :1", "Endpoint: want HOST:PORT"),
        ("Endpoint = example.net:0", "Endpoint: want a port from 1 to 65535"),
        ("AllowedIPs = 10.0.0.0/8, 10.0.0.0/99", "AllowedIPs: want an IP address"),
        ("PersistentKeepalive = 1s", "PersistentKeepalive: want a whole number"),
        ("PresharedKey =", "PresharedKey: want a key"),
        ("MTU = 1420", "MTU belongs below [Interface]"),
    ],
)
def test_an_error_in_a_peer_names_file_line_and_remedy(line: str, remedy: str) -> None:
    text = f"[Interface]\n[Peer]\nPublicKey = {PUBLIC}\n{line}\n"
    assert error(text).startswith(f"wg0.conf, line 4: {remedy}")


def test_a_peer_without_a_key_is_named_by_its_section() -> None:
    assert error("[Interface]\n[Peer]\nAllowedIPs = ::/0\n") == (
        "wg0.conf, line 2: this [Peer] has no PublicKey; add one"
    )


def test_an_empty_file_is_refused() -> None:
    assert error("") == "wg0.conf, line 1: there is no [Interface] section; write one"


def test_a_setting_above_any_section_is_refused() -> None:
    assert error("MTU = 1420") == "wg0.conf, line 1: write [Interface] or [Peer] before the first setting"


@pytest.mark.parametrize(
    "line",
    [f"PrivateKey = {PRIVATE.base64()}x", PRIVATE.base64(), f"x{PRIVATE.base64()}", f"{PRIVATE.base64()} ="],
)
def test_an_error_never_repeats_a_key(line: str) -> None:
    assert PRIVATE.base64()[:20] not in error(f"[Interface]\n{line}")


def test_a_file_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"wg0\.conf: cannot be read: No such file"):
        load(tmp_path / "wg0.conf")


@pytest.mark.parametrize("line", [b"DNS = caf\xe9", b"caf\xe9 = 1", b"caf\xe9"])
def test_a_setting_in_another_encoding_is_named_with_its_line(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "wg0.conf"
    path.write_bytes(b"[Interface]\n" + line + b"\n")
    with pytest.raises(ConfigError, match="line 2: (DNS: )?this is not UTF-8 text"):
        load(path)


def test_a_file_in_utf_16_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "wg0.conf"
    path.write_text(FULL, encoding="utf-16")
    with pytest.raises(ConfigError, match="line 1: this is not UTF-8 text"):
        load(path)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "gbk", "shift_jis"])
def test_a_comment_may_be_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "wg0.conf"
    comment = {"latin-1": "# café\n", "utf-8": "# café 中文\n"}.get(encoding, "# 中文\n")
    path.write_bytes(comment.encode(encoding) + FULL.replace("# only", comment[:-1]).encode(encoding))
    assert load(path) == FULL_CONFIG


def test_a_hook_in_another_encoding_keeps_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "wg0.conf"
    path.write_bytes(b"[Interface]\nPostUp = echo caf\xe9\n")
    assert load(path).post_up[0].encode(errors="surrogateescape") == b"echo caf\xe9"


def test_a_device_without_end_is_no_configuration_file() -> None:
    with pytest.raises(ConfigError, match="is larger than"):
        load(Path("/dev/zero"))


# -- what it becomes ---------------------------------------------------------------------------------


def test_a_config_becomes_one_update_that_replaces_all_peers() -> None:
    endpoint = Endpoint("198.51.100.7", 51820)
    asked = []

    def resolve(where: HostPort) -> Endpoint:
        asked.append(where)
        return endpoint

    update = to_update(FULL_CONFIG, resolve)
    assert asked == [HostPort("vpn.example.net", 51820)]
    assert update == DeviceUpdate(
        PRIVATE,
        51820,
        51820,
        replace_peers=True,
        peers=(
            PeerUpdate(
                PUBLIC,
                preshared_key=PRESHARED,
                endpoint=endpoint,
                persistent_keepalive=25,
                replace_allowed_ips=True,
                allowed_ips=tuple(AllowedIPChange(prefix) for prefix in FULL_CONFIG.peers[0].allowed_ips),
            ),
        ),
    )


def test_saving_keeps_the_hooks_and_takes_keys_and_peers_from_the_interface() -> None:
    peer = PeerStatus(PUBLIC, PresharedKey(bytes(32)), Endpoint("fe80::1", 7, scope_id=3))
    saved = with_status(FULL_CONFIG, DeviceStatus(PRIVATE, 40000, 0, (peer,)))
    assert saved.post_up == FULL_CONFIG.post_up
    assert saved.listen_port == 40000
    assert saved.fwmark is None
    assert saved.peers == (PeerConfig(PUBLIC, endpoint=HostPort("fe80::1%3", 7)),)
    assert parse(write(saved)) == saved


# -- what is warned of -------------------------------------------------------------------------------


def test_a_complete_file_warns_of_nothing() -> None:
    assert warnings(FULL_CONFIG) == []


def test_a_file_without_a_private_key_is_warned_of() -> None:
    assert warnings(Config())[0].startswith("the file has no PrivateKey")


def test_the_own_key_as_a_peer_is_warned_of() -> None:
    config = Config(PRIVATE, peers=(PeerConfig(PRIVATE.public_key()),))
    assert warnings(config)[0].startswith("one peer has this host's own key")


def test_an_allowed_ip_of_two_peers_is_warned_of() -> None:
    other, prefix = PublicKey(b"\x52" * 32), parse_prefix("10.0.0.0/8")
    config = Config(
        PRIVATE,
        peers=(PeerConfig(PUBLIC, allowed_ips=(prefix,)), PeerConfig(other, allowed_ips=(prefix,))),
    )
    assert warnings(config) == [
        f"10.0.0.0/8 is in the AllowedIPs of two peers; {other} has it, and {PUBLIC} does not"
    ]


# -- what changes an interface that is up ------------------------------------------------------------


def test_a_reload_removes_only_peers_that_the_file_has_not() -> None:
    gone = PublicKey(b"\x52" * 32)
    status = DeviceStatus(
        PRIVATE,
        51820,
        7,
        (PeerStatus(gone, PRESHARED), PeerStatus(PUBLIC, PRESHARED, persistent_keepalive=9)),
    )
    config = replace(FULL_CONFIG, peers=(PeerConfig(PUBLIC),))

    update = to_reload(config, status, 8, lambda _: Endpoint("198.51.100.7", 1))

    assert update == DeviceUpdate(
        fwmark=8,
        peers=(
            PeerUpdate(gone, remove=True),
            PeerUpdate(
                PUBLIC,
                preshared_key=PresharedKey(bytes(32)),
                persistent_keepalive=0,
                replace_allowed_ips=True,
            ),
        ),
    )


def test_a_reload_sets_what_the_file_changed() -> None:
    update = to_reload(replace(FULL_CONFIG, peers=()), DeviceStatus(), 0, lambda _: Endpoint("::", 1))
    assert update == DeviceUpdate(PRIVATE, 51820)


def test_what_wg_takes_is_a_file_without_wg_quicks_settings() -> None:
    found = parse(wg_text(FULL_CONFIG))
    assert found == Config(private_key=PRIVATE, listen_port=51820, fwmark=51820, peers=FULL_CONFIG.peers)
