"""Which changes of nft's tables are news."""

import struct

import pytest

from wgpy.host.netlink_message import encode_attribute, encode_message
from wgpy.host.nft_monitor import is_news

NEWCHAIN, DELCHAIN, NEWRULE, DELTABLE, DELRULE, DELSETELEM = (0xA00 + kind for kind in (3, 5, 6, 2, 8, 14))
HOOK = encode_attribute(4, b"")


def message(kind: int, table: str, more: bytes = b"") -> bytes:
    header = struct.pack("=BBH", 2, 0, 0)
    return encode_message(kind, 0, 0, header + encode_attribute(1, table.encode() + b"\0") + more)


@pytest.mark.parametrize("kind", [DELTABLE, DELCHAIN, DELRULE, DELSETELEM])
def test_a_loss_of_a_table_that_has_ours_is_news(kind: int) -> None:
    assert is_news(message(kind, "ours"), {"ours"})
    assert not is_news(message(kind, "theirs"), {"ours"})


def test_a_chain_that_packets_pass_is_news() -> None:
    assert is_news(message(NEWCHAIN, "theirs", HOOK), {"ours"})
    assert not is_news(message(NEWCHAIN, "theirs"), {"ours"})


def test_what_is_added_is_none() -> None:
    assert not is_news(message(NEWRULE, "ours"), {"ours"})


def test_of_several_messages_one_is_enough() -> None:
    assert is_news(message(NEWRULE, "theirs") + message(DELRULE, "ours"), {"ours"})


def test_messages_that_were_lost_are_news() -> None:
    assert is_news(None, {"ours"})
