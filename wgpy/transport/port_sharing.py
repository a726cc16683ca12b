"""Two sets of UDP sockets on one port, among which the kernel divides datagrams by their index. socket(7)

Of a port that an old process and the next one share, the next one gets what begins something and what names
an index of its block, and the old one the rest: the data of its own sessions. So both use their sessions at
the same time, and neither forwards anything. The kernel chooses by a program of classic BPF, which needs no
privilege. Whitepaper 5.4; Linux networking/filter

Invariant: sockets that are alone on their port are a group that nobody can join, until `share`.
"""

import socket
import struct
from array import array
from collections.abc import Sequence
from typing import Final

_SO_ATTACH_REUSEPORT_CBPF: Final = 51  # asm-generic/socket.h
_PROGRAM: Final = struct.Struct("@HP")  # struct sock_fprog
_INSTRUCTION: Final = struct.Struct("=HBBI")  # struct sock_filter

_INITIATION, _RESPONSE, _COOKIE_REPLY, _DATA = (kind << 24 for kind in (1, 2, 3, 4))
# Of the receiver index, the last two of four bytes.
_BLOCK_IN_RESPONSE: Final = 10
_BLOCK_ELSEWHERE: Final = 6

# linux/filter.h
_LOAD_WORD: Final = 0x20
_LOAD_HALF: Final = 0x28
_IF_EQUAL: Final = 0x15
_MODULO: Final = 0x94
_RETURN: Final = 0x16
_RETURN_NUMBER: Final = 0x06
_HASH_OF_FLOW: Final = 0xFFFFF020

_Instruction = tuple[int, int, int, int]


def share(udp: socket.socket, *, on: bool = True) -> None:
    """Let other sockets of this user join the port of one, or nobody any more."""
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(on))


def keep_all(udp: socket.socket, old: int) -> None:
    """Leave everything with the first `old` sockets of a group. Raises OSError."""
    _attach(udp, _choose(old))


def divide(udp: socket.socket, old: int, block: int) -> None:
    """Divide between the first `old` sockets of a group and the next one, which gets the block.

    block: the upper 16 bits of indices. What the next one gets never depends on how many others there are:
    see `pass_by`. Raises OSError.
    """
    _attach(udp, _dividing(old, int.from_bytes(block.to_bytes(2, "little"))))


def pass_by(udp: socket.socket, old: int) -> None:
    """Leave all to the sockets behind the first `old` ones, also while those are closed, and after it.

    The kernel puts the last socket of a group into the place of one that is closed, and goes by its hash once
    there is none of this number: so what is chosen is new at any moment, whoever closes the old ones, and in
    whatever order. Raises OSError.
    """
    _attach(udp, _take(old))


def _dividing(old: int, block: int) -> list[_Instruction]:
    to_old, to_new = _choose(old), _take(old)
    at_old, at_new = 9, 9 + len(to_old)
    return [
        (_LOAD_WORD, 0, 0, 0),
        (_IF_EQUAL, 3, 0, _RESPONSE),  # to 5
        (_IF_EQUAL, 4, 0, _DATA),  # to 7
        (_IF_EQUAL, 3, 0, _COOKIE_REPLY),  # to 7
        (_IF_EQUAL, at_new - 5, at_new - 5, _INITIATION),  # an initiation, or foreign
        (_LOAD_HALF, 0, 0, _BLOCK_IN_RESPONSE),
        (_IF_EQUAL, at_new - 7, at_old - 7, block),
        (_LOAD_HALF, 0, 0, _BLOCK_ELSEWHERE),
        (_IF_EQUAL, at_new - 9, at_old - 9, block),
        *to_old,
        *to_new,
    ]


def _choose(count: int) -> list[_Instruction]:
    """Return one of the first `count` sockets, the same for all of a flow."""
    return [(_LOAD_WORD, 0, 0, _HASH_OF_FLOW), (_MODULO, 0, 0, count), (_RETURN, 0, 0, 0)]


def _take(number: int) -> list[_Instruction]:
    """Return the socket of this number."""
    return [(_RETURN_NUMBER, 0, 0, number)]


def _attach(udp: socket.socket, program: Sequence[_Instruction]) -> None:
    code = array("Q", b"".join(_INSTRUCTION.pack(*line) for line in program))
    udp.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, _PROGRAM.pack(len(program), code.buffer_info()[0])
    )
