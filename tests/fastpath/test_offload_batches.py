"""Any batch is joined as the model in superpackets.py says, and loses nothing."""

from dataclasses import replace
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from tests.fastpath.offloads import cut, join
from tests.fastpath.streams import KINDS, TIMESTAMPS, stream
from tests.fastpath.superpackets import (
    ACK,
    CWR,
    DONT_FRAGMENT,
    ECE,
    FIN,
    PSH,
    RST,
    SYN,
    URG,
    joined,
    parsed,
    superpacket_of,
)

# -- Any batch -----------------------------------------------------------------------------------

CHANGES: dict[str, st.SearchStrategy[object]] = {
    "traffic_class": st.integers(0, 3),
    "hop_limit": st.integers(63, 65),
    "fragment": st.sampled_from([0, DONT_FRAGMENT, 0x8000, 0x2000]),
    "flow_label": st.integers(0, 1),
    "sequence": st.integers(0, 300),
    "acknowledgement": st.integers(0, 2),
    "flags": st.sampled_from([ACK, ACK | PSH, ACK | FIN, ACK | CWR, ACK | ECE, SYN, RST, URG | ACK, 0]),
    "window": st.integers(999, 1001),
    "urgent": st.integers(0, 1),
    "options": st.sampled_from([b"", TIMESTAMPS]),
    "ip_options": st.sampled_from([b"", bytes(4)]),
    "id": st.integers(0, 12),
}
mutations = st.sampled_from(sorted(CHANGES)).flatmap(lambda name: st.tuples(st.just(name), CHANGES[name]))


@st.composite
def batches(draw: st.DrawFn) -> list[bytes]:
    """Streams that take turns, with what may happen to packets on their way."""
    flows = []
    for port in range(draw(st.integers(1, 3)) if draw(st.booleans()) else 10):
        kind = draw(st.sampled_from(list(KINDS.values())))
        size = draw(st.integers(1, 200))
        lengths = [size] * draw(st.integers(0, 8)) + [draw(st.integers(0, size))]
        fixed = {"id": 0} if draw(st.booleans()) else {}
        flows.append(stream(replace(kind, ports=(port, 1)), *lengths, **fixed))
    batch = []
    while flows:
        flow = draw(st.sampled_from(flows))
        packet = flow.pop(0)
        flows = [one for one in flows if one]
        if draw(st.integers(0, 9)) == 0:
            name, value = draw(mutations)
            packet = replace(packet, **{name: value})  # type: ignore[arg-type]
        data = bytearray(packet.encode())
        if draw(st.integers(0, 19)) == 0:
            data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
        batch.append(bytes(data))
    return batch


@given(batches())
def test_a_batch_is_joined_as_the_model_says(batch: list[bytes]) -> None:
    expected = joined(batch)

    handed = join(batch)

    assert [one.packets for one in handed] == expected
    for one in handed:
        assert (one.vnet, one.data) == superpacket_of([batch[i] for i in one.packets])


@given(batches())
def test_what_was_joined_is_cut_into_the_same_packets(batch: list[bytes]) -> None:
    for one in join(batch):
        expected = [batch[i] for i in one.packets]
        assert cut(one.vnet, one.data) == (renumbered(expected) if len(expected) > 1 else expected)


@given(batches())
def test_no_packet_is_lost_doubled_or_overtaken_by_its_own_flow(batch: list[bytes]) -> None:
    handed = join(batch)

    assert sorted(chain.from_iterable(one.packets for one in handed)) == list(range(len(batch)))
    for flow in {flow_of(data) for data in batch} - {None}:
        mine = [i for one in handed for i in one.packets if flow_of(batch[i]) == flow]
        assert mine == sorted(mine)


def renumbered(batch: list[bytes]) -> list[bytes]:
    """The same packets with identifications that count from the first one's."""
    result = []
    for i, data in enumerate(batch):
        packet, first = parsed(data), parsed(batch[0])
        assert packet
        assert first
        result.append(data if packet.version == 6 else replace(packet, id=(first.id + i) % 2**16).encode())
    return result


def flow_of(data: bytes) -> tuple[bytes, bytes, int, tuple[int, int]] | None:
    packet = parsed(data)
    return (packet.source, packet.destination, packet.protocol, packet.ports) if packet else None
