"""The configuration protocol against random values and random bytes.

Whatever is written reads back the same, however the bytes are cut; whatever else arrives, the parser
answers with requests and UapiErrors, raises nothing and repeats no key.
"""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.property.strategies import key_bytes, prefixes, uint16, uint32
from wgpy.address import format_prefix, parse_endpoint, parse_prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP
from wgpy.keys import PresharedKey, PrivateKey, PublicKey
from wgpy.model import AllowedIPChange, DeviceStatus, DeviceUpdate, PeerStatus, PeerUpdate
from wgpy.uapi import (
    Request,
    RequestParser,
    UapiError,
    decode_status,
    encode_set,
    encode_status,
)

uint64 = st.integers(0, 2**63 - 1)

endpoints = st.builds(
    lambda address, port: Endpoint(str(address), port), st.ip_addresses(v=4), uint16
) | st.builds(
    lambda address, port, zone: parse_endpoint(f"[{address}%{zone}]:{port}"),
    st.binary(min_size=16, max_size=16).map(lambda data: format_prefix(AllowedIP(data, 128))[:-4]),
    uint16,
    uint32,
)
peer_updates = st.builds(
    PeerUpdate,
    st.builds(PublicKey, key_bytes),
    update_only=st.booleans(),
    remove=st.booleans(),
    preshared_key=st.none() | st.builds(PresharedKey, key_bytes),
    endpoint=st.none() | endpoints,
    persistent_keepalive=st.none() | uint16,
    replace_allowed_ips=st.booleans(),
    allowed_ips=st.lists(st.builds(AllowedIPChange, prefixes, st.booleans()), max_size=5).map(tuple),
)
updates = st.builds(
    DeviceUpdate,
    st.none() | st.builds(PrivateKey, key_bytes),
    st.none() | uint16,
    st.none() | uint32,
    st.booleans(),
    st.lists(peer_updates, max_size=4).map(tuple),
)
peer_statuses = st.builds(
    PeerStatus,
    st.builds(PublicKey, key_bytes),
    st.builds(PresharedKey, key_bytes),
    st.none() | endpoints,
    uint64,
    uint64,
    uint64,
    uint16,
    st.lists(prefixes, max_size=5).map(tuple),
)
statuses = st.builds(
    DeviceStatus,
    # Zeros are left out of an answer, and so read back as none.
    st.none() | st.builds(PrivateKey, key_bytes.filter(any)),
    uint16,
    uint32,
    st.lists(peer_statuses, max_size=4).map(tuple),
)

SECRET = "5ec2e7" * 10 + "abcd"
pieces = st.sampled_from(
    [
        *("set=1", "get=1", "\n", "\n\n", "=", "-", "true", "0", "x", "\0", "é"),
        *("private_key=", "preshared_key=", "public_key=", "listen_port=", "fwmark=", "endpoint="),
        *("allowed_ip=", "replace_peers=", "remove=", "protocol_version=", "10.0.0.0/8", "[::1]:1"),
        *(SECRET, "a1" * 32),
    ]
)
noise = st.lists(pieces, max_size=40).map("".join).map(str.encode) | st.binary(max_size=300)


def feed_in_pieces(data: bytes, cuts: list[int]) -> list[Request]:
    parser = RequestParser()
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    found: list[Request] = []
    for start, stop in pairwise(places):
        found += parser.feed(data[start:stop])
    return found + parser.feed_eof()


def shown(request: Request) -> str:
    return str(request) if isinstance(request, UapiError) else repr(request)


@given(updates, st.lists(st.integers(0, 2000), max_size=5))
def test_a_set_reads_back_however_it_is_cut(update: DeviceUpdate, cuts: list[int]) -> None:
    assert feed_in_pieces(encode_set(update), cuts) == [update]


@given(statuses)
def test_an_answer_reads_back(status: DeviceStatus) -> None:
    assert decode_status(b"".join(encode_status(status))) == status


@given(noise, st.lists(st.integers(0, 2000), max_size=5))
def test_where_the_bytes_are_cut_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    whole = feed_in_pieces(data, [])
    cut = feed_in_pieces(data, cuts)
    assert list(map(shown, cut)) == list(map(shown, whole))


@given(noise)
def test_no_key_is_ever_shown(data: bytes) -> None:
    assert SECRET not in "".join(map(shown, feed_in_pieces(data, [])))


@given(noise)
def test_an_answer_of_noise_is_a_state_or_an_error(data: bytes) -> None:
    try:
        decode_status(data + b"\nerrno=0\n\n")
    except UapiError as error:
        said = str(error)
    else:
        said = ""
    assert SECRET not in said


@given(st.text(max_size=60) | st.text("0123456789abcdef:.[]%/-", max_size=40))
def test_a_prefix_or_endpoint_that_is_accepted_has_one_spelling(text: str) -> None:
    try:
        prefix = parse_prefix(text)
    except ValueError:
        pass
    else:
        assert parse_prefix(format_prefix(prefix)) == prefix
    try:
        endpoint = parse_endpoint(text)
    except ValueError:
        pass
    else:
        assert parse_endpoint(str(endpoint)) == endpoint
