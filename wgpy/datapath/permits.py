"""The permits of a peer, by what they are of: a packet costs look-ups, however many permits there are.

A look-up is by addresses, masked, and protocol; then a search by port among ranges that do not overlap. There
is one for each combination of prefix lengths and of protocol or none that the permits have.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple

from wgpy.contract.constants import MAX_PERMITS, MAX_PORT, MAX_RULES
from wgpy.contract.orders import AllowedIP, Permit

from .allowedips import check_prefix

_NO_PORT: Final = MAX_PORT + 1  # stands for that of a protocol without
_NONE: Final = MAX_PERMITS  # stands for the position of no permit


def check_permits(permits: tuple[Permit, ...] | None) -> None:
    """Raises ValueError for what a data path cannot hold."""
    if permits is None:
        return
    if len(permits) > MAX_PERMITS:
        raise ValueError(f"a peer has at most {MAX_PERMITS} permits, not {len(permits)}")
    for permit in permits:
        _check_permit(permit)


def _check_permit(permit: Permit) -> None:
    if not 0 <= permit.rule < MAX_RULES:
        raise ValueError(f"a rule's number is 0 to {MAX_RULES - 1}, not {permit.rule}")
    if not 0 <= permit.protocol <= 255:
        raise ValueError(f"an IP protocol is 0 to 255, not {permit.protocol}")
    if not 0 <= permit.first_port <= permit.last_port <= MAX_PORT:
        raise ValueError(f"{permit.first_port} to {permit.last_port} are no ports")
    for prefix in (permit.source, permit.destination):
        if prefix is not None:
            check_prefix(prefix)


class Subject(NamedTuple):
    """What a permit is asked about. protocol: None if it is not known; port: None without ports."""

    protocol: int | None
    source: bytes
    destination: bytes
    port: int | None


class _Shape(NamedTuple):
    """What permits that are looked up at once have in common. Sizes: of an address, 0 for any."""

    is_of_protocol: bool
    source_size: int
    source_length: int
    destination_size: int
    destination_length: int


_Key = tuple[int, int, int]  # protocol, 0 for any; source and destination, without what is masked


class _Cells:
    """Which permit each port has: the first one that is of it."""

    def __init__(self, permits: Iterable[tuple[int, Permit]]) -> None:
        """permits: in their order, with their positions."""
        ranges = [(permit.first_port, _end(permit), position) for position, permit in permits]
        self._firsts = sorted({0, *(first for first, _, _ in ranges), *(end for _, end, _ in ranges)})
        self._positions = [_NONE] * len(self._firsts)
        free = list(range(len(self._firsts) + 1))  # the first cell from each on that no permit has
        number_of = {first: number for number, first in enumerate(self._firsts)}
        for first, end, position in ranges:
            cell = _free_from(free, number_of[first])
            while cell < number_of[end]:
                self._positions[cell] = position
                free[cell] = cell + 1
                cell = _free_from(free, cell)

    def position(self, port: int) -> int:
        return self._positions[bisect_right(self._firsts, port) - 1]


def _end(permit: Permit) -> int:
    """The first port behind. Only a permit for all ports is of protocols without, too."""
    is_all = (permit.first_port, permit.last_port) == (0, MAX_PORT)
    return _NO_PORT + 1 if is_all else permit.last_port + 1


def _free_from(free: list[int], cell: int) -> int:
    while free[cell] != cell:
        free[cell] = free[free[cell]]
        cell = free[cell]
    return cell


class _Group(NamedTuple):
    """first: the position of its first permit."""

    shape: _Shape
    first: int
    cells: dict[_Key, _Cells]


class Permits:
    """Of one peer. permits: as `check_permits` takes them."""

    def __init__(self, permits: tuple[Permit, ...]) -> None:
        self.all = permits
        found: dict[_Shape, dict[_Key, list[tuple[int, Permit]]]] = {}
        for position, permit in enumerate(permits):
            shape = _shape(permit)
            found.setdefault(shape, {}).setdefault(_key_of(permit), []).append((position, permit))
        self._groups = [
            (
                shape,
                min(each[0][0] for each in by_key.values()),
                {key: _Cells(each) for key, each in by_key.items()},
            )
            for shape, by_key in found.items()
        ]  # the one with the first permit first

    def find(self, subject: Subject) -> Permit | None:
        """The first that lets it begin."""
        best = _NONE
        for shape, first, cells in self._groups:
            if first > best:
                break
            key = _key(shape, subject)
            if key is not None and key in cells:
                best = min(best, cells[key].position(_NO_PORT if subject.port is None else subject.port))
        return None if best == _NONE else self.all[best]


def _shape(permit: Permit) -> _Shape:
    source, destination = permit.source, permit.destination
    return _Shape(permit.protocol != 0, *_size_and_length(source), *_size_and_length(destination))


def _size_and_length(prefix: AllowedIP | None) -> tuple[int, int]:
    return (len(prefix.address), prefix.prefix_length) if prefix else (0, 0)


def _key_of(permit: Permit) -> _Key:
    source, destination = permit.source, permit.destination
    return (
        permit.protocol,
        _masked(*source) if source else 0,
        _masked(*destination) if destination else 0,
    )


def _key(shape: _Shape, subject: Subject) -> _Key | None:
    """None: what it is about is of another version of IP, or its protocol is not known."""
    size = len(subject.destination)
    if shape.source_size not in (0, size) or shape.destination_size not in (0, size):
        return None
    if shape.is_of_protocol and subject.protocol is None:
        return None
    return (
        subject.protocol or 0 if shape.is_of_protocol else 0,
        _masked(subject.source, shape.source_length) if shape.source_size else 0,
        _masked(subject.destination, shape.destination_length) if shape.destination_size else 0,
    )


def _masked(address: bytes, length: int) -> int:
    return int.from_bytes(address) >> (8 * len(address) - length)
