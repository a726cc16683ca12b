"""How an interface is to move its packets: what the operator may choose, in the environment.

Every variable has its default where it is empty or not set.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final

from wgpy.contract.lazy_dataclass import dataclass
from wgpy.datapath import native

MAX_WORKERS: Final = 16
# A tunnel is in the middle of its traffic. If it goes before who fills it and who empties it, queues stay
# short and what is in them is still in the cache: on two busy processors a tenth more throughput.
DEFAULT_NICE: Final = -15


class Offload(Enum):
    """Work that the kernel is trusted with. Used by the native data path alone."""

    CHECKSUM = "checksum"  # partial checksums between the TUN and us
    TSO = "tso"  # TCP superpackets between the TUN and us
    USO = "uso"  # UDP superpackets between the TUN and us
    UDP_TUNNEL = "udp-tunnel"  # superpackets in VXLAN and the like from the TUN
    GSO = "gso"  # many datagrams in one call to send
    GRO = "gro"  # many datagrams in one call to receive
    FILTER = "filter"  # to drop what the data path would drop unopened


@dataclass(frozen=True, slots=True)
class Settings:
    """native: by threads in C, else in Python; small: take less memory.

    workers: pairs of threads, of C.
    nice: of these threads, as in nice(2). They have that of who calls `Interface.start`; wgpyd sees to it.
    """

    native: bool
    offloads: frozenset[Offload] = frozenset(Offload)
    small: bool = False
    workers: int = 1
    nice: int = DEFAULT_NICE

    def queues(self) -> int:
        """How many queues of a TUN to ask for."""
        return self.workers if self.native else 1

    def begin(self) -> None:
        """Have the kernel begin what takes it milliseconds, once, before the interface is opened."""
        if self.native and Offload.FILTER in self.offloads:
            native.make_filter_ahead()


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises ValueError with a sentence for the operator."""
    return Settings(
        native=_native(environment.get("WGPY_DATAPATH", "")),
        offloads=_offloads(environment.get("WGPY_OFFLOAD", "")),
        small=_small(environment.get("WGPY_MEMORY", "")),
        workers=_workers(environment.get("WGPY_WORKERS", "")),
        nice=_nice(environment.get("WGPY_NICE", "")),
    )


def _native(choice: str) -> bool:
    if choice not in ("", "native", "portable"):
        raise ValueError(f"WGPY_DATAPATH is `{choice}`, want native or portable")
    if choice == "portable":
        return False
    try:
        is_available = native.available()
    except ImportError as error:
        raise ValueError(f"{error}, or set WGPY_DATAPATH=portable") from None
    if choice and not is_available:
        raise ValueError(
            "WGPY_DATAPATH is native, but that is not built: install wgpy where there is a C compiler, "
            "or set WGPY_DATAPATH=portable"
        )
    return is_available


def _offloads(choice: str) -> frozenset[Offload]:
    if choice in ("", "all"):
        return frozenset(Offload)
    if choice == "none":
        return frozenset()
    try:
        chosen = {Offload(name.strip()) for name in choice.split(",")}
    except ValueError:
        names = ", ".join(offload.value for offload in Offload)
        raise ValueError(f"WGPY_OFFLOAD is `{choice}`, want all, none, or some of {names}") from None
    if chosen & {Offload.TSO, Offload.USO, Offload.UDP_TUNNEL}:  # a superpacket cannot be without
        chosen.add(Offload.CHECKSUM)
    return frozenset(chosen)


def _small(choice: str) -> bool:
    if choice not in ("", "normal", "small"):
        raise ValueError(f"WGPY_MEMORY is `{choice}`, want normal or small")
    return choice == "small"


def _workers(choice: str) -> int:
    if not choice:
        return 1
    if choice.isascii() and choice.isdigit() and 1 <= int(choice[:3]) <= MAX_WORKERS:
        return int(choice)
    raise ValueError(f"WGPY_WORKERS is `{choice}`, want a number from 1 to {MAX_WORKERS}")


def _nice(choice: str) -> int:
    if not choice:
        return DEFAULT_NICE
    if re.fullmatch(r"-?\d{1,2}", choice, re.ASCII) and -20 <= int(choice) <= 19:
        return int(choice)
    raise ValueError(f"WGPY_NICE is `{choice}`, want a number from -20 (first) to 19 (last)")
