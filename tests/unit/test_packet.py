"""The checksum of a header whose ECN field changed, where its sum carries. RFC 1624."""

import pytest

from tests.datapath.packets import checksum, ipv4
from wgpy.datapath.packet import CE, ECT_0, ECT_1, decapsulate_ecn


@pytest.mark.parametrize("stored", [0x0000, 0x0001, 0x0002, 0x0003, 0x8000, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF])
@pytest.mark.parametrize(
    ("inner", "outer", "outgoing"), [(ECT_0, CE, CE), (ECT_1, CE, CE), (ECT_0, ECT_1, ECT_1)]
)
def test_a_checksum_is_as_right_or_wrong_as_before(
    inner: int, outer: int, outgoing: int, stored: int
) -> None:
    packet = bytearray(ipv4("10.0.0.2", "10.0.0.1", tos=inner))
    packet[10:12] = stored.to_bytes(2)

    changed = decapsulate_ecn(bytes(packet), outer)

    assert changed is not None
    assert changed[1] == outgoing
    # In ones' complement 0 and 0xffff are the same number.
    assert checksum(changed[:20]) % 0xFFFF == checksum(bytes(packet)) % 0xFFFF
