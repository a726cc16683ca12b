"""`wgpy show` for people and for programs."""

import json

import pytest

from wgpy.address import parse_prefix
from wgpy.cli.show import ago, counters_text, json_value, size, text
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PresharedKey, PrivateKey, PublicKey
from wgpy.model import DeviceStatus, PeerStatus

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
PRIVATE = PrivateKey(b"\x40" * 32)
PRESHARED = PresharedKey(b"\x62" * 32)
HEARD = PublicKey(b"\x51" * 32)
SILENT = PublicKey(b"\x52" * 32)

STATUS = DeviceStatus(
    PRIVATE,
    51820,
    0xCA6C,
    (
        PeerStatus(SILENT, PresharedKey(bytes(32))),
        PeerStatus(
            HEARD,
            PRESHARED,
            Endpoint("2001:db8::1", 7),
            last_handshake_time=NOW - 63 * SECOND,
            tx_bytes=2048,
            rx_bytes=5,
            persistent_keepalive=25,
            allowed_ips=(parse_prefix("10.0.0.0/8"), parse_prefix("::/0")),
        ),
    ),
)


def test_people_see_everything_but_secrets_and_the_peer_heard_last_first() -> None:
    assert text("wg0", STATUS, NOW, show_keys=False).splitlines() == [
        "interface: wg0",
        f"  public key: {PRIVATE.public_key()}",
        "  private key: (hidden)",
        "  listening port: 51820",
        "  fwmark: 0xca6c",
        "",
        f"peer: {HEARD}",
        "  preshared key: (hidden)",
        "  endpoint: [2001:db8::1]:7",
        "  allowed ips: 10.0.0.0/8, ::/0",
        "  latest handshake: 1 minute, 3 seconds ago",
        "  transfer: 5 B received, 2.00 KiB sent",
        "  persistent keepalive: every 25 seconds",
        "",
        f"peer: {SILENT}",
        "  allowed ips: none",
    ]


def test_an_interface_without_key_says_so() -> None:
    assert "none, so no peer can be reached" in text("wg0", DeviceStatus(), NOW, show_keys=False)


def test_json_holds_all_that_is_public() -> None:
    assert json.loads(json.dumps(json_value(STATUS, show_keys=False))) == {
        "public_key": PRIVATE.public_key().base64(),
        "listen_port": 51820,
        "fwmark": 0xCA6C,
        "peers": [
            {
                "public_key": SILENT.base64(),
                "has_preshared_key": False,
                "endpoint": None,
                "allowed_ips": [],
                "latest_handshake": None,
                "rx_bytes": 0,
                "tx_bytes": 0,
                "persistent_keepalive": None,
            },
            {
                "public_key": HEARD.base64(),
                "has_preshared_key": True,
                "endpoint": "[2001:db8::1]:7",
                "allowed_ips": ["10.0.0.0/8", "::/0"],
                "latest_handshake": 1_699_999_937.0,
                "rx_bytes": 5,
                "tx_bytes": 2048,
                "persistent_keepalive": 25,
            },
        ],
    }


def test_secrets_are_shown_only_when_asked_for() -> None:
    for show_keys in (False, True):
        shown = text("wg0", STATUS, NOW, show_keys=show_keys) + json.dumps(
            json_value(STATUS, show_keys=show_keys)
        )
        for secret in (PRIVATE, PRESHARED):
            assert shown.count(secret.base64()) == (2 if show_keys else 0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"),
        (1, "1 second ago"),
        (60, "1 minute ago"),
        (3601, "1 hour, 1 second ago"),
        (2 * 86400 + 7200, "2 days, 2 hours ago"),
        (-5, "in the future; was the clock of this host set back?"),
    ],
)
def test_times_are_words(seconds: int, words: str) -> None:
    assert ago(seconds * SECOND) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536 * 1024, "1.50 MiB"),
        (2**30, "1.00 GiB"),
        (2**43, "8.00 TiB"),
    ],
)
def test_sizes_have_units(number: int, words: str) -> None:
    assert size(number) == words


def test_counters_are_listed_with_the_most_frequent_first() -> None:
    assert counters_text("wg0", {"malformed": 1, "send_failed": 7, "invalid_mac1": 1}).splitlines() == [
        "interface: wg0",
        "  send_failed: 7",
        "  invalid_mac1: 1",
        "  malformed: 1",
    ]


def test_an_interface_that_dropped_nothing_says_so() -> None:
    assert counters_text("wg0", {}).splitlines() == ["interface: wg0", "  nothing was dropped"]
