"""Which groups of addresses the filter at the sockets looks up, without Python, under sanitizers."""

from pathlib import Path

import pytest

from tests.fastpath.natively import FASTPATH, SANITIZERS, build, needs, run

CHECK = Path(__file__).with_name("filter_check.c")
SOURCES = [
    FASTPATH / f"{name}.c" for name in ("filter", "filter_program", "filter_blake2s", "ebpf", "blake2s")
]


@needs("cc")
def test_groups_are_looked_up_only_while_an_end_is_there_or_was_just_now(tmp_path: Path) -> None:
    result = run(build("cc", CHECK, SOURCES, tmp_path, "-Wl,--wrap=clock_gettime", *SANITIZERS))

    if result.stdout == "no filter\n":
        pytest.skip("the kernel takes no filter from here")
    assert (result.returncode, result.stdout) == (0, "checked\n"), result.stdout + result.stderr
