"""X25519 of many pairs without Python: under sanitizers, by another compiler, with secrets watched."""

from pathlib import Path

import pytest

from tests.fastpath.natively import FASTPATH, SANITIZERS, build, needs, run
from wgpy._fastpath import lib

CHECK = Path(__file__).with_name("x25519_check.c")
SOURCES = [FASTPATH / "x25519.c"]
EXPECTED = f"{lib.wgfp_x25519_lanes()} lanes: checked\n" if lib.wgfp_x25519_lanes() else "no lanes\n"

needs_lanes = pytest.mark.skipif(not lib.wgfp_x25519_lanes(), reason="this processor has no AVX-512 IFMA")


@needs("cc")
def test_no_sanitizer_complains(tmp_path: Path) -> None:
    result = run(build("cc", CHECK, SOURCES, tmp_path, *SANITIZERS))

    assert (result.returncode, result.stdout) == (0, EXPECTED), result.stderr


@needs("clang")
def test_another_compiler_makes_the_same_of_it(tmp_path: Path) -> None:
    result = run(build("clang", CHECK, SOURCES, tmp_path))

    assert (result.returncode, result.stdout) == (0, EXPECTED), result.stderr


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = "-DWGFP_CHECK_SECRETS", "-fsanitize=memory"
    return build("clang", CHECK, SOURCES, tmp_path_factory.mktemp("watched"), *options)


@needs("clang")
@needs_lanes
def test_neither_branches_nor_addresses_depend_on_secrets(watched: Path) -> None:
    result = run(watched)

    assert (result.returncode, result.stdout) == (0, EXPECTED), result.stderr


@needs("clang")
@needs_lanes
def test_a_branch_that_depends_on_a_secret_would_be_seen(watched: Path) -> None:
    result = run(watched, "leak")

    assert result.returncode != 0
    assert "x25519_check.c" in result.stderr
