"""From the bytes of a question to those of its answer. Pure."""

from typing import Final

from .message import Answer, Malformed, Query, Rcode, read_query, write_answer
from .zone import Zone

MAX_MESSAGE: Final = 65535  # bytes, by TCP


def respond(zone: Zone, data: bytes, *, by_tcp: bool) -> bytes | Query:
    """Return the answer, b"" for none, or the question if it is not the zone's."""
    try:
        query = read_query(data)
    except Malformed as malformed:
        return malformed.answer
    answer = zone.answer(query)
    return query if answer is None else write_answer(query, answer, limit(query, by_tcp=by_tcp))


def limit(query: Query, *, by_tcp: bool) -> int:
    """Return how many bytes an answer may have."""
    return MAX_MESSAGE if by_tcp else query.payload


def without_answer(query: Query, rcode: Rcode, flags: int = 0) -> bytes:
    """Return an answer that says no more than why there is none."""
    return write_answer(query, Answer(rcode, is_own=False), query.payload, flags)
