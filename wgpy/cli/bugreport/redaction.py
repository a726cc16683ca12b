"""Takes keys, tokens and addresses out of a text, and leaves what they are to each other. Pure.

Each becomes a word with a number, the same one wherever it stands, so that who reads can follow an address
from a route to a peer. Prefix lengths and ports stay, and so do addresses that are the same on every host.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

_TOKEN: Final = re.compile(r"wgpy\d_[A-Za-z0-9_-]+")
_KEY: Final = re.compile(
    r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=|(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])"
)
_MAC: Final = re.compile(r"(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:])")
_ADDRESS4: Final = r"(?:\d{1,3}\.){3}\d{1,3}"
_ADDRESS: Final = re.compile(
    rf"(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f:]*:{_ADDRESS4}|[0-9A-Fa-f:]*:[0-9A-Fa-f:]*)|(?<![0-9.]){_ADDRESS4}(?![0-9])"
)
_SAME_MACS: Final = {"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"}


class Redaction:
    """names: of hosts that stand for addresses, such as that of the coordinator."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        ordered = sorted(filter(None, set(names)), key=len, reverse=True)
        longest_first = "|".join(map(re.escape, ordered))
        self._names = (
            re.compile(rf"(?<![A-Za-z0-9.-])(?:{longest_first})(?![A-Za-z0-9-])") if ordered else None
        )
        self._words: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def of(self, text: str) -> str:
        """Return a text without them."""
        text = _KEY.sub(lambda found: self._word("key", found[0]), without_tokens(text))
        text = _MAC.sub(lambda found: self._mac(found[0].lower()), text)
        text = _ADDRESS.sub(lambda found: self._address(found[0]), text)
        if self._names:
            text = self._names.sub(lambda found: self._word("host", found[0]), text)
        return text

    def _mac(self, text: str) -> str:
        return text if text in _SAME_MACS else self._word("mac", text)

    def _address(self, text: str) -> str:
        try:
            address = ip_address(text)
        except ValueError:
            return text
        if is_the_same_everywhere(address):
            return text
        where = "private" if address.is_private else "public"
        return self._word(f"{where}{address.version}", str(address))

    def _word(self, kind: str, what: str) -> str:
        if what not in self._words:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._words[what] = f"[{kind} {self._counts[kind]}]"
        return self._words[what]


def without_tokens(text: str) -> str:
    return _TOKEN.sub("[token]", text)


def is_the_same_everywhere(address: IPv4Address | IPv6Address) -> bool:
    """Return whether it says nothing of a host: loopback, unspecified, multicast, or a mask."""
    return (
        address.is_loopback
        or address.is_unspecified
        or address.is_multicast
        or str(address).startswith("255.")
    )
