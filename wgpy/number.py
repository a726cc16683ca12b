"""Whole numbers as text: the one reader of each. Raises InputError with what is wanted."""

import re
from typing import Final

from wgpy.contract.errors import InputError

MAX_UINT16: Final = 2**16 - 1
MAX_UINT32: Final = 2**32 - 1
MAX_UINT64: Final = 2**64 - 1
_MAX_DIGITS: Final = 20


def parse_number(text: str, lowest: int, highest: int) -> int:
    """Decimal, without a sign."""
    if text.isdecimal() and text.isascii() and len(text) <= _MAX_DIGITS and lowest <= int(text) <= highest:
        return int(text)
    raise InputError(f"want a whole number from {lowest} to {highest}")


def parse_uint16(text: str) -> int:
    return parse_number(text, 0, MAX_UINT16)


def parse_port(text: str, lowest: int = 0) -> int:
    return parse_number(text, lowest, MAX_UINT16)


def parse_fwmark(text: str) -> int:
    """A mark in decimal or 0x hexadecimal; nothing means 0."""
    if text[:2].lower() == "0x" and re.fullmatch("[0-9A-Fa-f]{1,8}", text[2:]):
        return int(text, 0)
    try:
        return parse_number(text or "0", 0, MAX_UINT32)
    except ValueError:
        raise InputError(f"want a mark from 0 to {MAX_UINT32}, decimal or 0x hexadecimal") from None
