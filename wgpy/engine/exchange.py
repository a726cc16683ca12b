"""Handshakes side by side: each pauses where it needs X25519, and that of all is done at once.

Invariant: between two pauses others work, of the same moment; so what is known of a peer is looked at again
after a pause, or settled before it.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

from wgpy.contract.drops import DropReason
from wgpy.contract.errors import DatagramError

from .crypto import dh_many

_Result = TypeVar("_Result")

Pair = tuple[bytes, bytes]  # a private key, and a public key
# Yields pairs, and is sent what `dh_many` gives for them.
Exchange = Generator[Sequence[Pair], Sequence[bytes | None], _Result]


def agree(*pairs: Pair) -> Exchange[list[bytes]]:
    """The shared secret of each pair. Raises DatagramError (LOW_ORDER_KEY)."""
    secrets = []
    for secret in (yield pairs):
        if secret is None:
            raise DatagramError(DropReason.LOW_ORDER_KEY)
        secrets.append(secret)
    return secrets


def finish(exchange: Exchange[_Result]) -> _Result:
    """Do it alone. Raises what it raises."""
    try:
        pairs = next(exchange)
        while True:
            pairs = exchange.send(dh_many(pairs))
    except StopIteration as end:
        result: _Result = end.value
        return result


def finish_together(exchanges: Iterable[Exchange[None]]) -> None:
    """Do them side by side, each a step further in turn. They raise nothing."""
    waiting = _advance((exchange, None) for exchange in exchanges)
    while waiting:
        secrets = iter(dh_many([pair for _, pairs in waiting for pair in pairs]))
        waiting = _advance((exchange, [next(secrets) for _ in pairs]) for exchange, pairs in waiting)


def _advance(
    exchanges: Iterable[tuple[Exchange[None], Sequence[bytes | None] | None]],
) -> list[tuple[Exchange[None], Sequence[Pair]]]:
    """Let each work to its next pause. Returns those that have one, and their pairs."""
    waiting = []
    for exchange, secrets in exchanges:
        with suppress(StopIteration):
            waiting.append((exchange, next(exchange) if secrets is None else exchange.send(secrets)))
    return waiting
