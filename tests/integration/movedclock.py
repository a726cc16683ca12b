"""The clocks of one daemon, which bootclock.c moves for it alone."""

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_SOURCE = Path(__file__).with_name("bootclock.c")
_OFFSETS = struct.Struct("=qq")  # ns: of the boot clock, of the wall clock
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class MovedClock:
    """library: to preload; offsets: the file that says by how much."""

    library: Path
    offsets: Path

    @classmethod
    def build(cls, folder: Path) -> Self:
        library, offsets = folder / "bootclock.so", folder / "offsets"
        command = ["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O2", "-pthread"]
        subprocess.run([*command, str(_SOURCE), "-o", str(library)], check=True)
        offsets.write_bytes(bytes(_OFFSETS.size))
        return cls(library, offsets)

    @property
    def environment(self) -> tuple[str, str]:
        """Return what a daemon is started with."""
        return f"LD_PRELOAD={self.library}", f"BOOTCLOCK_FILE={self.offsets}"

    def move(self, *, boot: int = 0, wall: int = 0) -> None:
        """Have the clocks differ from the real ones by so many seconds."""
        with self.offsets.open("r+b") as file:
            file.write(_OFFSETS.pack(boot * _SECOND, wall * _SECOND))
