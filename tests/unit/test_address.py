"""What is an address, a port, a prefix or a number in text, and what is refused."""

from socket import if_indextoname

import pytest

from wgpy.address import HostPort, parse_endpoint, parse_host_port, parse_prefix
from wgpy.contract.endpoint import Endpoint
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
