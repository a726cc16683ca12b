"""What the transparent proxy of `wgpy exec --mesh` reads and makes of packets."""

from hypothesis import given
from hypothesis import strategies as st

from wgpy.datapath import packet as ip
from wgpy.proxy import packets
from wgpy.proxy.packets import Ends

_PORTS = st.integers(0, 0xFFFF)
_ENDS = st.sampled_from((4, 16)).flatmap(
    lambda size: st.builds(
        Ends, st.binary(min_size=size, max_size=size), st.binary(min_size=size, max_size=size), _PORTS, _PORTS
    )
)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_led_nowhere(packet: bytes) -> None:
    found = packets.read(packet)

    assert found is None or 0 < found.offset < len(packet)


@given(_ENDS, st.binary(max_size=300))
def test_a_datagram_is_read_as_it_was_made_and_its_checksums_are_right(ends: Ends, data: bytes) -> None:
    packet = packets.datagram(ends, data)

    found = packets.read(packet)

    assert found is not None
    assert (found.protocol, found.ends, packet[found.offset + 8 :]) == (ip.UDP, ends, data)
    assert_right(packet, found)
    assert packet[found.offset + 6 : found.offset + 8] != bytes(2)  # which would mean none


@given(_ENDS)
def test_an_error_quotes_the_ports_of_its_datagram(ends: Ends) -> None:
    packet = packets.port_unreachable(ends)

    offset = len(packet) - 8 - len(packets.datagram(ends, b""))
    quoted = packets.read(packet[offset + 8 :])
    assert quoted is not None
    assert quoted.ends == ends
    protocol = ip.ICMP if len(ends.source) == 4 else ip.ICMPV6
    assert_right(packet, packets.Transport(protocol, ends.turned(), offset))


@given(_ENDS, st.binary(min_size=8, max_size=300))
def test_an_echo_reply_has_the_identifier_of_who_asked(ends: Ends, message: bytes) -> None:
    packet = packets.echo_reply(ends, message)

    offset = len(packet) - len(message)
    assert int.from_bytes(packet[offset + 4 : offset + 6]) == ends.destination_port
    assert packet[offset + 6 :] == message[6:]
    protocol = ip.ICMP if len(ends.source) == 4 else ip.ICMPV6
    assert_right(packet, packets.Transport(protocol, ends, offset))


@given(_ENDS, st.integers(0, 0xFFFF_FFFF), _PORTS, _PORTS)
def test_a_segment_that_comes_back_has_other_ports_and_a_right_checksum(
    ends: Ends, sequence: int, source: int, destination: int
) -> None:
    refused = packets.refusal(b"", packets.Transport(ip.TCP, ends, 0))
    begun = packets.read(refused)
    assert begun is not None
    segment = packets.refusal(refused, begun)

    changed = packets.readdressed(segment, begun.offset, (source, destination))

    found = packets.read(changed)
    assert found is not None
    assert found.ends == Ends(ends.destination, ends.source, source, destination)
    assert_right(changed, found)


@given(_ENDS, st.integers(0, 0xFFFF_FFFF))
def test_a_refusal_acknowledges_what_it_refuses(ends: Ends, sequence: int) -> None:
    segment = bytes(4) + sequence.to_bytes(4)

    packet = packets.refusal(segment, packets.Transport(ip.TCP, ends, 0))

    found = packets.read(packet)
    assert found is not None
    assert found.ends == ends.turned()
    assert int.from_bytes(packet[found.offset + 8 : found.offset + 12]) == (sequence + 1) % (1 << 32)
    assert not packets.begins(packet, found.offset)
    assert_right(packet, found)


def assert_right(packet: bytes, transport: packets.Transport) -> None:
    """The checksums are: each sum, with what it covers, is all ones. RFC 1071"""
    content = packet[transport.offset :]
    pseudo = b""
    if transport.protocol != ip.ICMP:
        addresses = ip.source(packet) + ip.destination(packet)
        pseudo = addresses + len(content).to_bytes(4) + transport.protocol.to_bytes(4)
    assert ones_sum(pseudo + content) == 0xFFFF
    if packet[0] >> 4 == 4:
        assert ones_sum(packet[: transport.offset]) == 0xFFFF


def ones_sum(data: bytes) -> int:
    total = sum(ip.words(data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
