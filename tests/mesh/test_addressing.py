"""Addresses and invitations: what a host has before anybody has told it anything."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.network import key_of, prefixes
from wgpy.mesh.addressing import NoSpace, choose_range6, choose_ranges, free_address, node_address6
from wgpy.mesh.invitation import Invitation
from wgpy.mesh.signing import SigningKey

INVITATION = Invitation(key_of(2), key_of(1).verify_key(), bytes(range(32)), "https://vpn.example.com:8443")


def test_addresses_are_chosen_where_nobody_has_any() -> None:
    nodes, pool = choose_ranges(prefixes("100.64.0.0/12", "10.0.0.0/8", "fd00::/8"))

    assert pool == IPv4Network("100.80.0.0/12")
    assert nodes == IPv4Network("100.96.0.0/16")


def test_that_there_is_no_room_is_said() -> None:
    with pytest.raises(NoSpace, match="no /12 of 100.64.0.0/10, 10.0.0.0/8, 172.16.0.0/12 is free"):
        choose_ranges(prefixes("100.64.0.0/10", "10.0.0.0/8", "172.16.0.0/12"))


def test_a_node_has_the_same_address_every_time_unless_it_is_taken() -> None:
    network = IPv4Network("100.80.0.0/29")
    identity = key_of(7).verify_key()
    taken: set[IPv4Address] = set()

    for _ in range(6):
        address = free_address(network, taken, identity)
        assert address == free_address(network, taken, identity)
        assert address in list(network.hosts())
        taken.add(address)

    assert len(taken) == 6
    with pytest.raises(NoSpace, match="all 6 addresses"):
        free_address(network, taken, identity)


def test_an_ipv6_address_is_made_from_the_identity_in_the_site_of_nodes() -> None:
    network = choose_range6(b"\x12\x34\x56 and more")

    assert network == IPv6Network("fd12:3456::/32")
    addresses = {node_address6(network, key_of(number).verify_key()) for number in range(1, 50)}
    assert len(addresses) == 49
    assert all(address in IPv6Network("fd12:3456::/48") for address in addresses)


def test_an_invitation_is_read_as_it_was_written_and_hides_its_secret() -> None:
    text = INVITATION.text()

    assert text.startswith("wgpy1_")
    assert Invitation.from_text(f"  {text}\n") == INVITATION
    assert INVITATION.token.base64() not in repr(INVITATION)


@given(at=st.integers(6, len(INVITATION.text()) - 1), letter=st.sampled_from("ABCxyz019-_!"))
def test_a_mistyped_invitation_is_refused_without_showing_it(at: int, letter: str) -> None:
    text = INVITATION.text()
    mistyped = text[:at] + letter + text[at + 1 :]
    if mistyped == text:
        return

    with pytest.raises(ValueError, match="damaged") as refused:
        Invitation.from_text(mistyped)

    assert mistyped not in str(refused.value)


def test_no_letter_at_its_end_can_be_mistaken_for_another() -> None:
    text = INVITATION.text()

    for letter in sorted(
        set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") - {text[-1]}
    ):
        with pytest.raises(ValueError, match="damaged"):
            Invitation.from_text(text[:-1] + letter)


@pytest.mark.parametrize(
    "text", ["", "wgpy1_", "wgpy2_AAAA", INVITATION.text()[:-1], INVITATION.text() + "A"]
)
def test_what_is_no_invitation_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="token"):
        Invitation.from_text(text)


@pytest.mark.parametrize(
    "url",
    [
        "http://vpn.example.com", "vpn.example.com", "https://" + "a" * 1024, "https://", "https://[::1",
        "https://vpn.example.com:0", "https://vpn.example.com:99999", "https://vpn.example.com:x",
    ],
)  # fmt: skip
def test_a_coordinator_is_named_by_an_https_address(url: str) -> None:
    with pytest.raises(ValueError, match="no address of a coordinator"):
        Invitation(SigningKey.generate(), key_of(1).verify_key(), bytes(32), url)
