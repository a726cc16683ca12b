"""The configuration protocol: what each line means, and which number refuses what.

Restated from https://www.wireguard.com/xplatform/ and from what `wg` sends and reads.
"""

from errno import EINVAL, EPROTO

import pytest

from wgpy.address import parse_prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP
from wgpy.keys import PresharedKey, PrivateKey, PublicKey
from wgpy.model import AllowedIPChange, DeviceStatus, DeviceUpdate, PeerStatus, PeerUpdate
from wgpy.uapi import (
    COUNTERS_REQUEST,
    MAX_LINE_LENGTH,
    MAX_REQUEST_LINES,
    CountersRequest,
    GetRequest,
    Request,
    RequestParser,
    UapiError,
    decode_counters,
    decode_errno,
    decode_status,
    encode_counters,
    encode_errno,
    encode_set,
    encode_status,
)

A = "a1" * 32
B = "b2" * 32
SECRET = "5ec2e7" * 10 + "abcd"
PUBLIC_A = PublicKey.from_hex(A)
PUBLIC_B = PublicKey.from_hex(B)


def requests(text: str) -> list[Request]:
    """All requests of a connection that sends this and stays open."""
    return RequestParser().feed(text.encode())


def update(*lines: str) -> DeviceUpdate:
    (request,) = requests("\n".join(["set=1", *lines, "", ""]))
    assert isinstance(request, DeviceUpdate), request
    return request


def refusal(*lines: str) -> UapiError:
    (request,) = requests("\n".join(["set=1", *lines, "", ""]))
    assert isinstance(request, UapiError), request
    return request


# -- framing -----------------------------------------------------------------------------------------


def test_a_get_is_complete_with_its_empty_line() -> None:
    parser = RequestParser()
    assert parser.feed(b"get=1\n") == []
    assert parser.feed(b"\n") == [GetRequest()]


def test_two_operations_in_one_write_are_both_read() -> None:
    assert requests("set=1\nlisten_port=1\n\nget=1\n\n") == [DeviceUpdate(listen_port=1), GetRequest()]


def test_a_request_may_come_byte_by_byte() -> None:
    parser = RequestParser()
    text = f"set=1\nlisten_port=51820\npublic_key={A}\nallowed_ip=10.0.0.0/8\n\n".encode()
    found = [request for byte in text for request in parser.feed(bytes([byte]))]
    peer = PeerUpdate(PUBLIC_A, allowed_ips=(AllowedIPChange(parse_prefix("10.0.0.0/8")),))
    assert found == [DeviceUpdate(listen_port=51820, peers=(peer,))]


@pytest.mark.parametrize(
    "half",
    [
        pytest.param(f"set=1\npublic_key={A}\nallowed_ip=10.70.0.0/2", id="in a number"),
        pytest.param(f"set=1\npublic_key={A}\nallowed_ip=10.70.0.0/24", id="before the end of a line"),
        pytest.param(f"set=1\npublic_key={A}\nallowed_ip=10.70.0.0/24\n", id="before the empty line"),
        pytest.param("set=1\nreplace_peers=true\n", id="before the peers"),
        pytest.param("set=1\nlisten_port=7", id="in the port"),
        pytest.param("set=1\n", id="before the first setting"),
        pytest.param("set=1", id="in the first line"),
        pytest.param("se", id="in a word"),
    ],
)
def test_a_set_that_the_end_of_input_cuts_off_is_refused(half: str) -> None:
    parser = RequestParser()
    assert parser.feed(half.encode()) == []

    (refused,) = parser.feed_eof()

    assert isinstance(refused, UapiError)
    assert refused.errno == -EPROTO
    assert "empty line" in str(refused)
    assert parser.is_closed


def test_a_get_that_the_end_of_input_cuts_off_is_refused() -> None:
    parser = RequestParser()
    assert parser.feed(b"get=1\n") == []

    (refused,) = parser.feed_eof()

    assert isinstance(refused, UapiError)
    assert refused.errno == EPROTO


def test_whole_requests_before_one_that_is_cut_off_count() -> None:
    parser = RequestParser()
    assert parser.feed(b"set=1\nlisten_port=7\n\nset=1\nlisten_port=8\n") == [DeviceUpdate(listen_port=7)]

    assert [type(request) for request in parser.feed_eof()] == [UapiError]


def test_a_refused_request_that_is_cut_off_is_refused_once_for_its_first_fault() -> None:
    parser = RequestParser()
    assert parser.feed(b"set=1\nlisten_port=x\nlisten_port=7") == []

    (refused,) = parser.feed_eof()

    assert isinstance(refused, UapiError)
    assert refused.line_number == 2


def test_a_secret_that_is_cut_off_is_not_shown() -> None:
    parser = RequestParser()
    parser.feed(f"set=1\nprivate_key={A[:40]}".encode())

    (refused,) = parser.feed_eof()

    assert A[:8] not in str(refused)


def test_the_end_of_input_between_requests_asks_for_nothing() -> None:
    parser = RequestParser()
    assert parser.feed(b"get=1\n\n") == [GetRequest()]
    assert parser.feed_eof() == []


def test_after_a_refused_set_the_connection_goes_on() -> None:
    first, second = requests("set=1\nlisten_port=x\nlisten_port=1\n\nget=1\n\n")
    assert isinstance(first, UapiError)
    assert not first.fatal
    assert second == GetRequest()


@pytest.mark.parametrize(("line", "errno"), [("put=1", -22), ("set=2", -22), ("hello", -71)])
def test_anything_else_than_a_request_ends_the_connection(line: str, errno: int) -> None:
    parser = RequestParser()
    (error,) = parser.feed(f"{line}\nget=1\n\n".encode())
    assert isinstance(error, UapiError)
    assert error.fatal
    assert error.errno == errno
    assert parser.is_closed
    assert parser.feed(b"get=1\n\n") == []


def test_a_get_with_settings_is_refused_with_a_positive_number() -> None:
    (error,) = requests("get=1\nlisten_port=1\n\n")
    assert isinstance(error, UapiError)
    assert error.errno == 22


def test_a_line_without_end_is_refused_as_soon_as_it_is_too_long() -> None:
    parser = RequestParser()
    (error,) = parser.feed(b"set=1\nprivate_key=" + b"0" * MAX_LINE_LENGTH)
    assert isinstance(error, UapiError)
    assert error.fatal
    assert error.errno == -22
    assert error.line_number == 2
    assert parser.feed(b"0" * 1_000_000) == []


def test_a_line_too_long_is_refused_also_when_it_ends() -> None:
    (error,) = requests("set=1\n" + "x" * (MAX_LINE_LENGTH + 1) + "\n\n")
    assert isinstance(error, UapiError)
    assert error.fatal


def test_a_request_of_too_many_lines_is_refused() -> None:
    parser = RequestParser()
    parser.feed(f"set=1\npublic_key={A}\n".encode())
    lines = b"allowed_ip=0.0.0.0/0\n" * 4096
    found: list[Request] = []
    for _ in range(MAX_REQUEST_LINES // 4096):
        found += parser.feed(lines)
    (error,) = found
    assert isinstance(error, UapiError)
    assert error.fatal
    assert error.line_number == MAX_REQUEST_LINES + 1


# -- set: device -------------------------------------------------------------------------------------


def test_every_device_setting_is_read() -> None:
    assert update(f"private_key={SECRET}", "listen_port=51820", "fwmark=51820", "replace_peers=true") == (
        DeviceUpdate(PrivateKey.from_hex(SECRET), 51820, 51820, replace_peers=True)
    )


def test_zeros_are_a_private_key_to_be_cleared() -> None:
    key = update("private_key=" + "0" * 64).private_key
    assert key is not None
    assert not key


@pytest.mark.parametrize(
    ("text", "mark"), [("0", 0), ("", 0), ("51820", 51820), ("0xCA6c", 51820), ("4294967295", 2**32 - 1)]
)
def test_a_mark_is_decimal_or_hexadecimal(text: str, mark: int) -> None:
    assert update(f"fwmark={text}").fwmark == mark


@pytest.mark.parametrize("text", ["", "-1", "+1", "65536", "0x10", "1 ", "1_0", "²", "1" * 5000])
def test_other_ports_are_refused(text: str) -> None:
    assert refusal(f"listen_port={text}"[:4000]).errno == -22


@pytest.mark.parametrize("line", ["colour=blue", "endpoint=1.2.3.4:5", "Listen_port=1", "=", "errno=0"])
def test_what_is_no_device_key_is_refused(line: str) -> None:
    assert refusal(line).errno == -22


def test_a_line_without_an_equals_sign_is_a_protocol_error() -> None:
    assert refusal("listen_port 51820").errno == -71


# -- set: peers --------------------------------------------------------------------------------------


def test_every_peer_setting_is_read() -> None:
    found = update(
        f"public_key={A}",
        "update_only=true",
        f"preshared_key={SECRET}",
        "endpoint=192.0.2.1:51820",
        "persistent_keepalive_interval=25",
        "replace_allowed_ips=true",
        "allowed_ip=10.1.2.3/16",
        "allowed_ip=-fd00::1/64",
        "protocol_version=1",
    )
    assert found == DeviceUpdate(
        peers=(
            PeerUpdate(
                PUBLIC_A,
                update_only=True,
                preshared_key=PresharedKey.from_hex(SECRET),
                endpoint=Endpoint("192.0.2.1", 51820),
                persistent_keepalive=25,
                replace_allowed_ips=True,
                allowed_ips=(
                    AllowedIPChange(AllowedIP(bytes([10, 1, 0, 0]), 16)),
                    AllowedIPChange(AllowedIP(b"\xfd" + bytes(15), 64), remove=True),
                ),
            ),
        )
    )


def test_settings_of_one_peer_do_not_leak_into_the_next() -> None:
    found = update(f"public_key={A}", "endpoint=[2001:db8::1]:1", "allowed_ip=::/0", f"public_key={B}")
    assert found.peers[1] == PeerUpdate(PUBLIC_B)


def test_the_same_peer_twice_is_two_updates_in_order() -> None:
    found = update(f"public_key={A}", "remove=true", f"public_key={A}", "persistent_keepalive_interval=1")
    assert found.peers == (PeerUpdate(PUBLIC_A, remove=True), PeerUpdate(PUBLIC_A, persistent_keepalive=1))


@pytest.mark.parametrize(
    "line",
    [
        "listen_port=1",
        "replace_peers=true",
        f"private_key={SECRET}",
        "remove=false",
        "remove=1",
        "update_only=TRUE",
        "replace_allowed_ips=",
        "protocol_version=2",
        "persistent_keepalive_interval=65536",
        "persistent_keepalive_interval=off",
        "preshared_key=00",
        "public_key=00",
        "endpoint=example.net:1",
        "allowed_ip=10.0.0.1",
        "last_handshake_time_sec=1",
    ],
)
def test_a_bad_peer_line_is_refused(line: str) -> None:
    error = refusal(f"public_key={A}", line)
    assert error.errno == -22
    assert error.line_number == 3


def test_lines_after_a_remove_are_still_checked() -> None:
    assert refusal(f"public_key={A}", "remove=true", "endpoint=nonsense").errno == -22


# -- what the log says -------------------------------------------------------------------------------


def test_a_refusal_says_which_line_and_why() -> None:
    error = refusal("listen_port=1", f"public_key={A}", "allowed_ip=10.0.0.0/99")
    assert str(error).startswith("line 4, `allowed_ip=10.0.0.0/99`: want an IP address")


def test_the_first_bad_line_is_the_one_that_is_named() -> None:
    assert refusal("fwmark=x", "listen_port=x").line_number == 2


@pytest.mark.parametrize(
    "line",
    [
        f"private_key={SECRET}00",
        f"private_key {SECRET}",
        f"preshared_key={SECRET}",
        f"Private_Key={SECRET}",
        f"endpoint={SECRET}",
        SECRET,
        f"{SECRET}=",
    ],
)
def test_key_material_is_never_repeated(line: str) -> None:
    error = refusal(line)
    assert SECRET[:32] not in str(error)
    assert SECRET[-8:] not in str(error)


def test_a_shown_line_is_short_and_printable() -> None:
    error = refusal("endpoint=\x1b[2J" + "y " * 1000)
    assert error.line.isprintable()
    assert len(error.line) < 100


# -- answers -----------------------------------------------------------------------------------------

STATUS = DeviceStatus(
    private_key=PrivateKey.from_hex(SECRET),
    listen_port=51820,
    fwmark=7,
    peers=(
        PeerStatus(
            PUBLIC_A,
            PresharedKey(bytes(32)),
            Endpoint("192.0.2.1", 1),
            last_handshake_time=5_000_000_006,
            tx_bytes=7,
            rx_bytes=8,
            persistent_keepalive=9,
            allowed_ips=(parse_prefix("10.0.0.0/8"), parse_prefix("::/0")),
        ),
    ),
)


def test_an_answer_has_the_lines_that_wg_reads_in_their_order() -> None:
    assert b"".join(encode_status(STATUS)).decode().splitlines() == [
        f"private_key={PrivateKey.from_hex(SECRET).hex()}",
        "listen_port=51820",
        "fwmark=7",
        f"public_key={A}",
        "preshared_key=" + "0" * 64,
        "protocol_version=1",
        "endpoint=192.0.2.1:1",
        "last_handshake_time_sec=5",
        "last_handshake_time_nsec=6",
        "tx_bytes=7",
        "rx_bytes=8",
        "persistent_keepalive_interval=9",
        "allowed_ip=10.0.0.0/8",
        "allowed_ip=::/0",
        "errno=0",
        "",
    ]


def test_what_is_not_set_is_left_out() -> None:
    empty = DeviceStatus(PrivateKey(bytes(32)))
    assert b"".join(encode_status(empty)) == b"errno=0\n\n"


def test_a_large_answer_comes_in_chunks() -> None:
    prefixes = [AllowedIP(number.to_bytes(4), 32) for number in range(10_000)]
    peer = PeerStatus(PUBLIC_A, PresharedKey(bytes(32)), allowed_ips=prefixes)
    chunks = list(encode_status(DeviceStatus(peers=(peer,))))
    assert max(map(len, chunks)) < 2**16
    assert decode_status(b"".join(chunks)).peers[0].allowed_ips == tuple(prefixes)


def test_an_answer_reads_back_as_the_same_state() -> None:
    assert decode_status(b"".join(encode_status(STATUS))) == STATUS


def test_keys_of_a_newer_daemon_are_skipped() -> None:
    answer = f"mood=fine\npublic_key={A}\nlast_song=none\nerrno=0\n\n".encode()
    assert decode_status(answer) == DeviceStatus(peers=(PeerStatus(PUBLIC_A, PresharedKey(bytes(32))),))


def test_a_refused_get_is_an_error() -> None:
    with pytest.raises(UapiError, match="refused") as caught:
        decode_status(b"errno=5\n\n")
    assert caught.value.errno == 5


@pytest.mark.parametrize(
    "answer", [b"", b"errno=0\n", b"listen_port=1\n\n", b"errno=x\n\n", b"fwmark=1\nerrno="]
)
def test_an_answer_that_is_broken_off_is_an_error(answer: bytes) -> None:
    with pytest.raises(UapiError, match="broke off"):
        decode_status(answer)


def test_nonsense_in_an_answer_is_an_error_that_names_the_line() -> None:
    with pytest.raises(UapiError, match="line 1, `listen_port=x`"):
        decode_status(b"listen_port=x\nerrno=0\n\n")


@pytest.mark.parametrize("number", [0, -22, 5])
def test_an_error_number_reads_back(number: int) -> None:
    assert decode_errno(encode_errno(number)) == number


def test_a_set_without_settings_is_just_its_frame() -> None:
    assert encode_set(DeviceUpdate()) == b"set=1\n\n"


def test_counters_are_asked_for_and_read_back_without_zeros() -> None:
    assert requests(COUNTERS_REQUEST.decode()) == [CountersRequest()]
    answer = encode_counters({"malformed": 2, "send_failed": 0, "invalid_mac1": 2**64 - 1})
    assert decode_counters(answer) == {"malformed": 2, "invalid_mac1": 2**64 - 1}


def test_a_request_for_counters_has_no_settings() -> None:
    (error,) = requests("counters=1\nlisten_port=1\n\n")
    assert isinstance(error, UapiError)
    assert error.errno == EINVAL


@pytest.mark.parametrize("answer", [b"", b"errno=22\n\n", b"malformed=x\nerrno=0\n\n"])
def test_an_answer_without_counters_is_an_error(answer: bytes) -> None:
    with pytest.raises(UapiError):
        decode_counters(answer)
