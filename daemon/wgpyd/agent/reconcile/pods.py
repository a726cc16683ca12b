"""How pods of this host are joined to its ranges: the file of the container runtime, and the masquerade."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from wgpy.address import Prefix
from wgpy.host.cni import BRIDGE, CniFailed, conflist, remove_conflist, write_conflist
from wgpy.host.nftables import NftFailed
from wgpy.host.pod_masquerade import listed_tables, masquerade_pods


class PodHost:
    """Of one mesh. warnings: sentences, what failed last."""

    def __init__(self, file: Path, table: int) -> None:
        """file: for the container runtime, of the CNI; table: number of the mesh's routing table."""
        self._file, self._table = file, table
        self._applied: object = None
        self._made: object = None  # of what, and nft's text of it
        self.warnings: tuple[str, ...] = ()

    async def apply(
        self, ranges: tuple[Prefix, ...], mtu: int, interface: str, *, is_stale: bool = False
    ) -> None:
        """Join pods to these ranges; without any, remove what does.

        mtu, interface: of the mesh; is_stale: whether the host may have changed.
        """
        wanted = ranges, mtu, interface
        if is_stale or self.warnings or self._applied != wanted:
            self._applied = wanted
            parts = partial(self._write, ranges, mtu), partial(self._masquerade, ranges, interface)
            failures = [await asyncio.to_thread(_failure, part) for part in parts]
            self.warnings = tuple(filter(None, failures))

    def _write(self, ranges: tuple[Prefix, ...], mtu: int) -> None:
        """Raises CniFailed."""
        if ranges:
            write_conflist(self._file, conflist(ranges, mtu))
        else:
            remove_conflist(self._file)

    def _masquerade(self, ranges: tuple[Prefix, ...], interface: str) -> None:
        """Raises NftFailed."""
        wanted = ranges, (interface, BRIDGE, "lo")
        if self._made != (wanted, listed_tables(self._table)):
            masquerade_pods(self._table, *wanted)
            self._made = (wanted, listed_tables(self._table))


def _failure(part: Callable[[], None]) -> str:
    try:
        part()
    except (CniFailed, NftFailed) as error:
        return str(error)
    return ""
