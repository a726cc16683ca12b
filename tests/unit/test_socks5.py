"""Messages of SOCKS5: what is read is what was written, and whatever comes raises nothing else."""

import socket
from base64 import b64encode
from contextlib import suppress
from errno import ECONNREFUSED, EHOSTUNREACH, EIO, ENETUNREACH

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.proxy import socks5
from wgpy.proxy.account import read_account
from wgpy.proxy.socks5 import Malformed, Reply, Target


@given(st.ip_addresses(), st.integers(0, 65535), st.binary())
def test_a_datagram_is_read_as_it_was_written(address: object, port: int, payload: bytes) -> None:
    source = Target(str(address), port)

    assert socks5.read_datagram(socks5.write_datagram(source, payload)) == (source, payload)


@given(st.binary())
def test_any_bytes_are_a_datagram_or_malformed(data: bytes) -> None:
    with suppress(Malformed):
        target, _ = socks5.read_datagram(data)
        assert 0 <= target.port <= 65535


@pytest.mark.parametrize("name", [b"web.internal", b"10.0.0.1", b"[fd00::1]"])
def test_a_name_is_read_also_if_it_is_an_address(name: bytes) -> None:
    target, rest = socks5.read_target(bytes((3, len(name))) + name + b"\x01\xbb" + b"more")

    assert (target, rest) == (Target(name.decode().strip("[]"), 443), b"more")


def test_a_fragment_is_refused() -> None:
    with pytest.raises(Malformed, match="fragments"):
        socks5.read_datagram(b"\0\0\1" + socks5.write_target("10.0.0.1", 53))


def test_a_client_that_insists_on_a_password_is_told_that_there_is_none() -> None:
    assert socks5.choose_method(b"\x02", socks5.NO_AUTHENTICATION) == b"\x05\xff"
    assert socks5.choose_method(b"\x02\x00", socks5.NO_AUTHENTICATION) == b"\x05\x00"


def test_a_client_without_a_password_is_told_that_one_is_wanted() -> None:
    assert socks5.choose_method(b"\x00", socks5.PASSWORD) == b"\x05\xff"


def test_an_account_admits_its_own_password_alone() -> None:
    account = read_account("alice:se:cret\n")

    assert account.admits(b"alice", b"se:cret")
    assert account.admits_basic(b"Basic " + b64encode(b"alice:se:cret"))
    assert not account.admits(b"bob", b"se:cret")
    assert not account.admits_basic(b"Basic " + b64encode(b"alice:secret"))
    assert not account.admits_basic(b"Basic !")
    assert not account.admits_basic(b"")
    assert "cret" not in repr(account)


@pytest.mark.parametrize("text", ["", "alice", ":secret", "alice:secret\nbob:secret\n", "a:" + 256 * "b"])
def test_a_file_that_is_no_account_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NAME:PASSWORD"):
        read_account(text)


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (OSError(ECONNREFUSED, ""), Reply.REFUSED),
        (socket.gaierror(socket.EAI_NONAME, ""), Reply.HOST_UNREACHABLE),
        (OSError(ENETUNREACH, ""), Reply.NETWORK_UNREACHABLE),
        (OSError(EHOSTUNREACH, ""), Reply.NETWORK_UNREACHABLE),
        (OSError(EIO, ""), Reply.FAILURE),
    ],
)
def test_a_reply_tells_why_there_is_no_connection(error: OSError, reply: Reply) -> None:
    assert socks5.reply_to(error) == reply
