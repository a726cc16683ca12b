"""A daemon that does wrong: wgpyd, whose portable data path drops, reorders or ends what it has decrypted.

WGPY_DATAPATH=portable python wrongdaemon.py drop|reorder|hang [wgpyd's arguments]
"""

import sys

from wgpy.datapath import portable
from wgpy.datapath.portable import PortableDataPath
from wgpyd.main import main

DROPS_EVERY = 33
SWAPS_EVERY = 20
HANGS_AFTER = 500


class _Dropping(PortableDataPath):
    """Every 33rd packet is lost."""

    _seen = 0

    def take_packets(self) -> list[bytes]:
        kept = []
        for packet in super().take_packets():
            self._seen += 1
            if self._seen % DROPS_EVERY:
                kept.append(packet)
        return kept


class _Reordering(PortableDataPath):
    """Every 20th packet waits until the next one has gone."""

    _seen = 0
    _held: bytes | None = None

    def take_packets(self) -> list[bytes]:
        ordered = []
        for packet in super().take_packets():
            self._seen += 1
            if self._seen % SWAPS_EVERY == 0:
                self._held = packet
                continue
            ordered.append(packet)
            if self._held is not None:
                ordered.append(self._held)
                self._held = None
        return ordered


class _Hanging(PortableDataPath):
    """Nothing comes after 500 packets."""

    _seen = 0

    def take_packets(self) -> list[bytes]:
        packets = super().take_packets()
        self._seen += len(packets)
        return packets if self._seen <= HANGS_AFTER else []


FAULTS = {"drop": _Dropping, "reorder": _Reordering, "hang": _Hanging}

if __name__ == "__main__":
    vars(portable)["PortableDataPath"] = FAULTS[sys.argv.pop(1)]
    sys.exit(main())
