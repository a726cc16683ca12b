"""The AEAD without Python around it: under sanitizers, on other processors, and with secrets watched."""

from pathlib import Path

import pytest

from tests.fastpath.kernels import NAMES
from tests.fastpath.natively import FASTPATH, SANITIZERS, build, each_emulated_target, emulator, needs, run

SOURCES = sorted(FASTPATH.glob("aead*.c"))
CHECK = Path(__file__).with_name("aead_check.c")
SECRETS = Path(__file__).with_name("aead_secrets.c")


@needs("cc")
def test_no_sanitizer_complains(tmp_path: Path) -> None:
    program = build("cc", CHECK, SOURCES, tmp_path, *SANITIZERS)

    result = run(program, "100", "2")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "portable: 100 rounds" in result.stdout


@needs("clang")
def test_another_compiler_makes_the_same_of_it(tmp_path: Path) -> None:
    result = run(build("clang", CHECK, SOURCES, tmp_path), "100", "3")

    assert result.returncode == 0, result.stdout + result.stderr


@each_emulated_target
def test_other_processors_agree(target: str, tmp_path: Path) -> None:
    program = build(f"{target}-gcc", CHECK, SOURCES, tmp_path, "-static")

    result = run(emulator(target), program, "20", "4")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "portable: 20 rounds" in result.stdout
    assert ("neon: 20 rounds" in result.stdout) == target.startswith("aarch64")


@pytest.fixture(scope="module")
def watched_by_valgrind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("cc", SECRETS, SOURCES, tmp_path_factory.mktemp("valgrind"), "-DWGFP_CHECK_SECRETS")


@pytest.fixture(scope="module")
def watched_by_clang(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = "-DWGFP_CHECK_SECRETS", "-fsanitize=memory"
    return build("clang", SECRETS, SOURCES, tmp_path_factory.mktemp("clang"), *options)


@needs("cc", "valgrind")
def test_neither_branches_nor_addresses_depend_on_secrets(watched_by_valgrind: Path) -> None:
    result = run("valgrind", "-q", "--error-exitcode=1", watched_by_valgrind)

    assert result.returncode == 0, result.stderr
    assert "portable: checked" in result.stdout
    assert "wrongly" not in result.stdout
    assert ("avx2: checked" in result.stdout) == ("avx2" in NAMES)


@needs("clang")
def test_nor_do_they_with_avx512_which_valgrind_does_not_know(watched_by_clang: Path) -> None:
    result = run(watched_by_clang)

    assert result.returncode == 0, result.stderr
    assert "portable: checked" in result.stdout
    assert "wrongly" not in result.stdout
    assert ("avx512: checked" in result.stdout) == ("avx512" in NAMES)
    assert ("avx512-beside: checked" in result.stdout) == ("avx512-beside" in NAMES)


@needs("cc", "valgrind")
def test_valgrind_would_see_a_branch_that_depends_on_a_secret(watched_by_valgrind: Path) -> None:
    result = run("valgrind", "-q", "--error-exitcode=1", watched_by_valgrind, "leak")

    assert result.returncode == 1
    assert "depends on uninitialised value" in result.stderr


@needs("clang")
def test_clang_would_see_a_branch_that_depends_on_a_secret(watched_by_clang: Path) -> None:
    result = run(watched_by_clang, "leak")

    assert result.returncode != 0
    assert "aead_secrets.c" in result.stderr
