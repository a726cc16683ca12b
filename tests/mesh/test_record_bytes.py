"""What records are in bytes: nodes of any version have to agree on it, so it never changes."""

import json
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import pytest

from tests.mesh.network import Administrator, key_of, prefixes, site
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.records import Unknown, decode, encode
from wgpy.mesh.wire import read_signed, write_signed

VECTORS: Final = [
    json.loads(line) for line in Path(__file__).with_name("records.jsonl").read_text().splitlines()
]

FIRST_KINDS: Final = 10  # records of one_of_each that are of kinds of the first version
WITH_TAGS: Final = 11  # and of the kind that came next
WITH_SITES: Final = 12
WITH_CLIENTS: Final = 13
WITH_SCOPES: Final = 16
WITH_ZONE_APPROVALS: Final = 17
WITH_RELAYS: Final = 20


def test_every_kind_of_record_is_written_as_it_always_was() -> None:
    assert [write_signed(signed) for signed in one_of_each().records] == VECTORS


def test_every_kind_of_record_is_read_as_it_always_was() -> None:
    for line, signed in zip(VECTORS, one_of_each().records, strict=True):
        assert read_signed(line) == signed
        record = decode(read_signed(line).body)
        assert not isinstance(record, Unknown)
        assert encode(record) == signed.body


@pytest.mark.parametrize(
    ("kinds", "sequence", "expected"),
    [
        (FIRST_KINDS, 8, "0011ec294d04a2f7c2dd5232e3704618de496519f77757e4bd4dcc470b610100"),
        (WITH_TAGS, 9, "b38ce5d772fea926becef4c5d3d9d285a1ea4caec1d49f741270dd3b0382dad1"),
        (
            WITH_SITES,
            9,
            "b38ce5d772fea926becef4c5d3d9d285a1ea4caec1d49f741270dd3b0382dad1",
        ),  # peers alone have it
        (WITH_CLIENTS, 10, "a617ea44efcbe48b0e4efdc728e7a1d2c425483f9fb435cfaf34cf15d4957480"),
        (WITH_SCOPES, 13, "2b4a9557ae105b3de7225f439f970b583b58136210ee9bd51ee0bec4d969f571"),
        (WITH_ZONE_APPROVALS, 14, "d5312c28f3260e21fdb1156d89e6c9f8f32dde11155050c6cafc958377caaa52"),
        (WITH_RELAYS, 16, "4241bbdb8d759a674570904f42dae600f3114d40bde42da48f52a5d2d581e278"),
    ],
)
def test_the_digest_of_what_everybody_is_to_know_is_what_it_always_was(
    kinds: int, sequence: int, expected: str
) -> None:
    administrator = one_of_each()
    del administrator.records[kinds:]

    digest = administrator.ledger().state_digest()

    assert digest.sequence == sequence
    assert digest.digest.hex() == expected


def one_of_each() -> Administrator:
    """An administrator and a host that signed one record of each kind, two rules among them."""
    one, token, host = Administrator(), key_of(2), key_of(3)
    one.found()
    one.invite(token, tags=("edge", "k8s"), routes=prefixes("10.42.0.0/16", "fd00:42::/48"), lifetime=86_400)
    one.join(
        host, token, name="web-1", address=IPv4Address("100.80.0.9"),
        routes=prefixes("10.42.3.0/24"),
        endpoints=(Endpoint("192.0.2.1", 51820), Endpoint("2001:db8::1", 51820)),
    )  # fmt: skip
    one.approve(host, "192.168.1.0/24", "2001:db8::/64")
    one.rule("tag:edge", "node:n3")
    one.rule("any", "tag:k8s", allowed=False)
    one.revoke(token, host.verify_key())
    one.remove(key_of(4))
    one.remove(host)
    one.depart(host)
    one.tag(host, "edge", "k8s")
    one.announce(
        host,
        site("lab", "10.42.3.0/24", "2001:db8:1::/48", face="real", is_routed=True, priority=0),
        site(
            "office",
            "192.168.1.0/24",
            "fd00:42:1:2::/64",
            mapped=("100.96.4.0/24", "fd12:3456:1:2::/64"),
            since=1_799_999_999,
        ),
    )
    one.client(
        PublicKey(b"\x05" + bytes(31)), host, name="alice", destinations=("node:n3", "tag:edge"),
        expires=1_900_000_000,
    )  # fmt: skip
    one.rule("tag:edge", one.scope("tag:k8s:53,8000-8080/tcp,icmp"))
    one.scope("site:office/192.168.1.0/28:5432/tcp")
    one.approve_zones(host, "office.example", "lan")
    one.relay(token)
    one.relay(host, allowed=False)
    one.register(
        host, (key_of(4), 20), (key_of(5), 60_000), nat="address-dependent",
        endpoints=(Endpoint("198.51.100.7", 40_000), Endpoint("2001:db8::7", 51820)),
    )  # fmt: skip
    return one
