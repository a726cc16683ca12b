"""What `wgpy bugreport` takes out of a text."""

import base64
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.cli.bugreport.redaction import Redaction, is_the_same_everywhere

_ADDRESSES = st.ip_addresses().filter(lambda one: not is_the_same_everywhere(one))
_BEFORE, _AFTER = st.sampled_from(["", " ", "(", "via ", "=", "'", "[", "\n", ","]), st.sampled_from(
    ["", " ", ")", "/24", "'", "]:51820", "\n", ",", ".", ";", "%eth0"]
)  # fmt: skip


@given(_BEFORE, _ADDRESSES, _AFTER)
def test_no_address_is_left_however_it_stands(
    before: str, address: IPv4Address | IPv6Address, after: str
) -> None:
    found = Redaction().of(f"{before}{address}{after}")

    assert str(address) not in found
    assert found.startswith(f"{before}[")


@given(st.ip_addresses(v=6).filter(lambda one: not is_the_same_everywhere(one)))
def test_it_is_found_in_each_of_its_spellings(address: IPv6Address) -> None:
    spellings = address.exploded, address.compressed.upper(), address.compressed
    redaction = Redaction()

    assert len({redaction.of(one) for one in spellings}) == 1


@given(_ADDRESSES, st.integers(1, 65535))
def test_an_endpoint_keeps_its_port(address: IPv4Address | IPv6Address, port: int) -> None:
    endpoint = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"

    assert Redaction().of(endpoint).rstrip("]").endswith(f":{port}")


@given(st.binary(min_size=32, max_size=32))
def test_no_key_is_left_in_any_form(key: bytes) -> None:
    texts = base64.b64encode(key).decode(), key.hex(), key.hex().upper()

    for text in texts:
        assert text not in Redaction().of(f"peer: {text}\n")


@given(st.lists(st.tuples(_ADDRESSES, st.text(alphabet=" \n;", min_size=1)), max_size=20))
def test_the_same_address_is_the_same_word_and_another_one_is_not(
    written: list[tuple[IPv4Address | IPv6Address, str]],
) -> None:
    found = Redaction().of("".join(f"{address}{gap}" for address, gap in written))

    words = [part.partition("]")[0] for part in found.split("[")[1:]]
    assert len(words) == len(written)
    assert len(set(words)) == len({address for address, _ in written})


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1/8", "::1", "0.0.0.0/0", "::/0", "224.0.0.1", "ff02::1", "Python 3.11.7", "6.18.44",
        "12:30:45", "2026-11-29T21:30:45", "mtu 1420", "00:00:00:00:00:00", "fe80", "std::string",
        "a:b", "tag:web",
    ],
)  # fmt: skip
def test_what_says_nothing_of_a_host_stays(text: str) -> None:
    assert Redaction().of(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("token wgpy1_abc-DEF_9 end", "token [token] end"),
        ("link/ether 52:54:00:12:34:56 brd ff:ff:ff:ff:ff:ff", "link/ether [mac 1] brd ff:ff:ff:ff:ff:ff"),
        ("inet 10.0.0.1/24 brd 10.0.0.255", "inet [private4 1]/24 brd [private4 2]"),
        ("8.8.8.8 and 10.0.0.1, 8.8.8.8", "[public4 1] and [private4 1], [public4 1]"),
        ("https://vpn.example.com:51820/x", "https://[host 1]:51820/x"),
        ("my-vpn.example.com", "my-vpn.example.com"),
        ("::ffff:192.0.2.1", "[private6 1]"),
    ],
)
def test_what_says_something_becomes_a_word(text: str, left: str) -> None:
    assert Redaction(["vpn.example.com"]).of(text) == left


def test_an_address_of_each_kind_is_one() -> None:
    assert not is_the_same_everywhere(ip_address("192.0.2.1"))
