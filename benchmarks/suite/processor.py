"""The name of this machine's processor and its microarchitecture: a virtual one often names its maker only.

Families and models are those of Linux: arch/x86/kernel/cpu/amd.c, arch/x86/include/asm/intel-family.h,
arch/arm64/include/asm/cputype.h.
"""

import re
from collections.abc import Collection
from typing import Final

_X86: Final[dict[tuple[str, int], dict[str, Collection[int]]]] = {  # models, by vendor and family
    ("AuthenticAMD", 23): {
        "Zen": (*range(0x30), *range(0x50, 0x60)),
        "Zen 2": (*range(0x30, 0x50), *range(0x60, 0x80), *range(0x90, 0x92), *range(0xA0, 0xB0)),
    },
    ("AuthenticAMD", 25): {
        "Zen 3": (*range(0x10), *range(0x20, 0x60)),
        "Zen 4": (*range(0x10, 0x20), *range(0x60, 0xB0)),
    },
    ("AuthenticAMD", 26): {"Zen 5": (*range(0x30), *range(0x40, 0x50), *range(0x60, 0x80))},
    ("GenuineIntel", 6): {
        "Haswell": (0x3C, 0x3F, 0x45, 0x46),
        "Broadwell": (0x3D, 0x47, 0x4F, 0x56),
        "Skylake or Cascade Lake": (0x55,),
        "Ice Lake": (0x6A, 0x6C, 0x7D, 0x7E),
        "Sapphire Rapids": (0x8F,),
        "Emerald Rapids": (0xCF,),
        "Granite Rapids": (0xAD, 0xAE),
    },
}
_ARM: Final = {"0xd0c": "Neoverse N1", "0xd40": "Neoverse V1", "0xd49": "Neoverse N2", "0xd4f": "Neoverse V2"}


def processor_name(cpuinfo: str, machine: str) -> str:
    """Return what /proc/cpuinfo calls the first processor, and its microarchitecture, or what tells it.

    machine: what there is to say of a processor without a name, as of 64-bit ARM.
    """
    name = re.sub(r"\((?:R|TM)\)", "", _field(cpuinfo, "model name")) or machine
    vendor, family, model = (_field(cpuinfo, key) for key in ("vendor_id", "cpu family", "model"))
    if family.isdigit() and model.isdigit():
        known = _X86.get((vendor, int(family)), {})
        found = (kind for kind, models in known.items() if int(model) in models)
        kind = next(found, f"family {family}, model {model}")
    elif part := _field(cpuinfo, "CPU part"):
        kind = _ARM.get(part, f"part {part}")
    else:
        return name
    return name if kind in name else f"{name} ({kind})"


def _field(cpuinfo: str, key: str) -> str:
    found = re.search(rf"^{key}\s*:\s*(.+?)\s*$", cpuinfo, re.MULTILINE)
    return found[1] if found else ""
