"""What is an address, a port, a prefix or a number in text, and what is refused."""

import copy
import pickle
from ipaddress import ip_address, ip_interface, ip_network
from socket import if_indextoname

import pytest

import wgpy
from wgpy.address import HostPort, format_prefix, parse_endpoint, parse_host_port, parse_prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP, AnyPrefix
from wgpy.number import parse_fwmark


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("192.0.2.1:0", Endpoint("192.0.2.1", 0)),
        ("[2001:DB8:0::1]:65535", Endpoint("2001:db8::1", 65535)),
        ("[fe80::1%7]:1", Endpoint("fe80::1", 1, scope_id=7)),
        (f"[fe80::1%{if_indextoname(1)}]:1", Endpoint("fe80::1", 1, scope_id=1)),
    ],
)
def test_an_endpoint_is_an_address_and_a_port(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.01:1",
        "[192.0.2.1]:1",
        "2001:db8::1:51820",
        "[2001:db8::1]51820",
        "[fe80::1%]:1",
        "[fe80::1%no-such-device]:1",
        "[fe80::1%\0]:1",
        "[::1\0]:1",
        "127.0.0.1%1:1",
    ],
)
def test_other_endpoints_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"want|zone"):
        parse_endpoint(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "10.0.0.0/",
        "10.0.0.0/33",
        "::/129",
        "10.0.0/8",
        "::/064",
        "10.0.0.0/+8",
        "fe80::1%1/64",
        "\0/1",
    ],
)
def test_other_prefixes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="want an IP address"):
        parse_prefix(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("10.1.2.0/24",),
        ("10.1.2.3/24",),
        ("10.1.2.0", 24),
        (b"\x0a\x01\x02\x03", 24),
        (ip_address("10.1.2.3"), 24),
        (ip_network("10.1.2.0/24"),),
        (ip_interface("10.1.2.3/24"),),
        (AllowedIP("10.1.2.0/24").address, 24),
    ],
    ids=repr,
)
def test_a_prefix_is_made_of_text_bytes_and_objects_without_host_bits(
    arguments: tuple[AnyPrefix] | tuple[AnyPrefix, int],
) -> None:
    prefix = AllowedIP(*arguments)

    assert prefix == parse_prefix("10.1.2.0/24") == (bytes((10, 1, 2, 0)), 24)
    assert format_prefix(prefix) == str(prefix) == "10.1.2.0/24"


@pytest.mark.parametrize(
    ("address", "text"),
    [("10.1.2.3", "10.1.2.3/32"), (bytes(16), "::/128"), (ip_address("fd00::1"), "fd00::1/128")],
)
def test_an_address_alone_is_a_prefix_of_all_its_bits(address: AnyPrefix, text: str) -> None:
    assert str(AllowedIP(address)) == text


@pytest.mark.parametrize(
    "arguments",
    [
        ("10.0.0.0/33",), ("10.0.0.0/-1",), ("10.0.0.0/",), ("10.0.0/8",), ("10.0.0.0/024",),
        ("fe80::1%1/64",), ("",), ("web",),
        ("10.0.0.0", 33), ("10.0.0.0", -1), ("::", 129), ("10.0.0.0/8", 8), (b"", 0), (bytes(5), 8),
        (ip_network("10.0.0.0/8"), 8),
    ],
    ids=repr,
)  # fmt: skip
def test_what_cannot_be_a_prefix_is_refused(arguments: tuple[AnyPrefix] | tuple[AnyPrefix, int]) -> None:
    with pytest.raises(wgpy.InputError):
        AllowedIP(*arguments)


@pytest.mark.parametrize("other", [10, None, 3.5, ["10.0.0.0/8"], bytearray(4)])
def test_what_is_of_another_type_is_no_prefix(other: object) -> None:
    with pytest.raises(TypeError, match="want a prefix as text, bytes or an object of ipaddress, not "):
        AllowedIP(other)  # type: ignore[arg-type]


def test_a_copy_of_a_prefix_is_that_prefix() -> None:
    prefix = AllowedIP("fd00::/8")

    assert copy.deepcopy(prefix) == pickle.loads(pickle.dumps(prefix)) == prefix._replace() == prefix


@pytest.mark.parametrize("text", ["-1", "4294967296", "0x", "0x100000000", "off", "1_0", " 1", "²"])
def test_other_marks_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="want a mark"):
        parse_fwmark(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("vpn.example.net:443", HostPort("vpn.example.net", 443)),
        ("vpn.example.net", HostPort("vpn.example.net", 51820)),
        ("192.0.2.1", HostPort("192.0.2.1", 51820)),
        ("[2001:db8::1]", HostPort("2001:db8::1", 51820)),
        ("[2001:db8::1]:443", HostPort("2001:db8::1", 443)),
    ],
)
def test_a_host_may_be_without_a_port_where_there_is_a_usual_one(text: str, found: HostPort) -> None:
    assert parse_host_port(text, 51820) == found


@pytest.mark.parametrize("text", ["", "host:", ":443", "2001:db8::1", "a b", "10.0.0", "[web]", "[::1]443"])
def test_other_hosts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="want HOST:PORT|want a port"):
        parse_host_port(text, 51820)


def test_a_host_needs_a_port_where_there_is_no_usual_one() -> None:
    with pytest.raises(ValueError, match="want HOST:PORT"):
        parse_host_port("vpn.example.net")


@pytest.mark.parametrize(("port", "lowest"), [("0", 1), ("65536", 1), ("65536", 0), ("x", 0)])
def test_a_port_has_its_limits(port: str, lowest: int) -> None:
    with pytest.raises(ValueError, match=f"want a port from {lowest} to 65535"):
        parse_host_port(f"vpn.example.net:{port}", lowest_port=lowest)
