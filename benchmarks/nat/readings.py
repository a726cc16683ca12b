"""What pings and packets say of the path between two hosts of a mesh."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.nat.wire import Packet

_ANSWER: Final = re.compile(r"^\[([0-9.]+)\] .*icmp_seq=(\d+) .*time=([0-9.]+) ms$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Answer:
    """Of a ping. sequence: from 1; at: Unix time when it came, in seconds; took: seconds."""

    sequence: int
    at: float
    took: float


def read_answers(printed: str) -> list[Answer]:
    """Read what `ping -n -D` has printed so far."""
    found = _ANSWER.findall(printed)
    return [Answer(int(sequence), float(at), float(took) / 1000) for at, sequence, took in found]


def lost(answers: Sequence[Answer], then: float) -> int:
    """Return how many pings between the last answer until then and the last one of all have none."""
    sequences = [answer.sequence for answer in answers if answer.at > then]
    before = max((answer.sequence for answer in answers if answer.at <= then), default=0)
    return max(sequences, default=before) - before - len(set(sequences))


def first_answer(answers: Sequence[Answer], interval: float) -> float | None:
    """Return the seconds from the first ping to the first answer of any."""
    return min(((one.sequence - 1) * interval + one.took for one in answers), default=None)


def beginning(answers: Sequence[Answer], interval: float) -> float | None:
    """Return when the first ping was sent, in Unix time."""
    return min((one.at - one.took - (one.sequence - 1) * interval for one in answers), default=None)


def direct_since(packets: Sequence[Packet], size: int, relays: Collection[str]) -> float | None:
    """Return when packets of this size passed directly both ways for the first time, in Unix time.

    relays: addresses of all that may relay. None if none did, or the last of them took a relay again.
    """
    large = [packet for packet in packets if packet.size >= size]
    ways = [[packet for packet in large if packet.is_outbound is way] for way in (True, False)]
    if not all(ways) or any(way[-1].remote in relays for way in ways):
        return None
    return max(next(packet.at for packet in way if packet.remote not in relays) for way in ways)


def relay_in_use(packets: Sequence[Packet], size: int, relays: Collection[str]) -> str | None:
    """Return the relay's address to which the last packet of this size went, if it went to one."""
    out = [packet.remote for packet in packets if packet.size >= size and packet.is_outbound]
    return out[-1] if out and out[-1] in relays else None
