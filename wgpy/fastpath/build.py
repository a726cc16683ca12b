"""Describes the extension `wgpy._fastpath` to cffi; setup.py's hook reads `ffibuilder` from here.

This file is never run by itself: `ffibuilder.compile()` would write the generated wrapper over the
hand-written `wgpy/_fastpath.c`. The hook writes it below `build/`.
"""

from pathlib import Path
from zlib import crc32

from cffi import FFI

HERE = Path(__file__).parent
PARTS = sorted(HERE.glob("*.c"))
HEADERS = sorted(HERE.glob("*.h"))
DECLARED = [HERE / "errors.h", HERE / "wgfp.h"]


def declarations(header: str) -> str:
    """What stands between a header's cffi markers."""
    return header.partition("/* cffi: begin */")[2].partition("/* cffi: end */")[0]


ffibuilder = FFI()
for header in DECLARED:
    ffibuilder.cdef(declarations(header.read_text()))
# By which native.py notices that it was changed, and the library was not built again.
checksum = f"#define WGFP_HEADERS {crc32(b''.join(header.read_bytes() for header in DECLARED))}"
ffibuilder.cdef(checksum)
ffibuilder.set_source(
    "wgpy._fastpath",
    f'{checksum}\n#include "wgfp.h"',
    sources=["wgpy/_fastpath.c", *map(str, PARTS)],
    depends=[str(header) for header in HEADERS],
    include_dirs=[str(HERE)],
    # Some Pythons ask for less than -O3; the cipher is up to a tenth faster with it. And nothing is exported
    # but what Python calls: a name of ours must not be taken for another library's in the same process.
    extra_compile_args=["-O3", "-pthread", "-fvisibility=hidden"],
    extra_link_args=["-pthread"],
    # A wrong or missing compiler is no reason not to install: the portable data path does the same in Python.
    optional=True,
)
