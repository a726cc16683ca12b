"""What the extension shows to the process that loads it."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fastpath.natively import FASTPATH, compiled, needs

BY_THE_LINKER = {"_init", "_fini", "_edata", "_end", "__bss_start"}  # older ones export these


@needs("nm")
def test_the_extension_exports_its_entry_and_nothing_else() -> None:
    spec = find_spec("wgpy._fastpath")
    if spec is None or spec.origin is None:
        pytest.skip("the C data path is not built")

    listing = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", spec.origin],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    exported = {line.split()[0] for line in listing.splitlines()}
    assert exported - BY_THE_LINKER == {"PyInit__fastpath"}


@needs("cc", "nm")
def test_no_part_asks_the_compilers_library_about_the_processor(tmp_path: Path) -> None:
    """That of zig, by which the wheels are built, knows nothing of it."""
    parts = [compiled("cc", source, tmp_path) for source in sorted(FASTPATH.glob("aead*.c"))]

    listing = subprocess.run(
        ["nm", "--undefined-only", "--format=posix", *map(str, parts)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert "memcpy" in listing
    assert "__cpu" not in listing
