"""Whatever arrives, and whenever: no source has more than its budget, and nothing raises or grows."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.paths.discovery import MAGIC, Discovery
from wgpy.transport.demultiplexer import BURST, RATE_PER_SECOND, Demultiplexer

START = 1000 * SECOND
SOURCES = [
    Endpoint("192.0.2.1", 1),
    Endpoint("192.0.2.2", 1),
    Endpoint("2001:db8::1", 1),
    Endpoint("2001:db8:1::1", 1),
]
GAPS = st.integers(0, SECOND // 8) | st.just(0)

endpoints = st.builds(
    Endpoint, st.ip_addresses().map(str).filter(lambda text: "%" not in text), st.integers(0, 65535)
)
datagrams = st.binary(max_size=64) | st.binary(max_size=12).map(MAGIC.__add__)


@given(st.lists(st.tuples(st.sampled_from(SOURCES), GAPS), max_size=300))
def test_within_any_time_a_source_is_read_as_often_as_its_budget_says(
    arrivals: list[tuple[Endpoint, int]],
) -> None:
    read: Counter[Endpoint] = Counter()
    demultiplexer = Demultiplexer()
    demultiplexer.register(b"x", lambda data, source, now: read.update([source]))
    now = START

    for source, gap in arrivals:
        now += gap
        demultiplexer.receive(b"x", source, now)

    sent = Counter(source for source, _ in arrivals)
    earned = (now - START) * RATE_PER_SECOND // SECOND
    for source in SOURCES:
        assert min(sent[source], BURST) <= read[source] <= BURST + earned
    assert sum(sent.values()) == sum(read.values()) + sum(demultiplexer.drops.values())


@given(st.lists(st.sampled_from(SOURCES[:1] * 50 + SOURCES[1:]), max_size=300))
def test_a_flood_takes_nothing_from_others(order: list[Endpoint]) -> None:
    read: Counter[Endpoint] = Counter()
    demultiplexer = Demultiplexer()
    demultiplexer.register(b"x", lambda data, source, now: read.update([source]))

    for source in order:
        demultiplexer.receive(b"x", source, START)

    sent = Counter(order)
    assert read == Counter({source: min(sent[source], BURST) for source in sent})


@given(st.lists(st.tuples(datagrams, endpoints), max_size=100))
def test_any_bytes_are_answered_with_no_more_bytes_or_counted(
    arrivals: list[tuple[bytes, Endpoint]],
) -> None:
    discovery = Discovery(bytes(31) + b"1", bytes)
    demultiplexer = Demultiplexer()
    demultiplexer.register(MAGIC, discovery.receive)

    answers = [(data, demultiplexer.receive(data, source, START)) for data, source in arrivals]

    assert all(answer is None or len(answer) <= len(data) for data, answer in answers)
    unanswered = sum(answer is None for _, answer in answers)
    assert unanswered == sum(demultiplexer.drops.values())
