"""The small parts without Python around them: under sanitizers, on other processors, and without memory."""

from pathlib import Path
from random import Random

import pytest

from tests.fastpath.natively import FASTPATH, SANITIZERS, build, each_emulated_target, emulator, needs, run
from tests.fastpath.parts import NAMES
from tests.fastpath.schedules import schedule

SOURCES = [FASTPATH / f"{name}.c" for name in NAMES]
CHECK = Path(__file__).with_name("parts_check.c")
SECRETS = Path(__file__).with_name("parts_secrets.c")
WRAPPED = "-Wl,--wrap=calloc,--wrap=malloc"


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("cc", CHECK, SOURCES, tmp_path_factory.mktemp("sanitized"), WRAPPED, *SANITIZERS)


@needs("cc")
def test_no_sanitizer_complains(sanitized: Path, seed: int) -> None:
    result = run(sanitized, given=schedule(Random(seed), 100))

    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 allocations failed" in result.stdout


@needs("cc")
@pytest.mark.parametrize("each", [2, 3])
def test_without_memory_nothing_is_inserted_changed_or_lost(sanitized: Path, each: int, seed: int) -> None:
    result = run(sanitized, str(each), given=schedule(Random(seed), 30))

    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 allocations failed" not in result.stdout


@needs("cc")
def test_a_wrong_answer_would_be_seen(sanitized: Path) -> None:
    result = run(sanitized, given="i 0a000000 8 1\nl 0a000001 1\nl 0a000001 2\n")

    assert (result.returncode, result.stdout) == (1, "line 3 had another outcome\n")


@needs("clang")
def test_another_compiler_makes_the_same_of_it(tmp_path: Path, seed: int) -> None:
    result = run(build("clang", CHECK, SOURCES, tmp_path, WRAPPED), given=schedule(Random(seed), 100))

    assert result.returncode == 0, result.stdout + result.stderr


@each_emulated_target
def test_other_processors_agree(target: str, tmp_path: Path, seed: int) -> None:
    program = build(f"{target}-gcc", CHECK, SOURCES, tmp_path, WRAPPED, "-static")

    result = run(emulator(target), program, given=schedule(Random(seed), 30))

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = [FASTPATH / f"{name}.c" for name in ("blake2s", "cookie", "kdf")]
    return build("cc", SECRETS, sources, tmp_path_factory.mktemp("watched"), "-DWGFP_CHECK_SECRETS")


@needs("cc", "valgrind")
def test_neither_branches_nor_addresses_depend_on_secrets(watched: Path) -> None:
    result = run("valgrind", "-q", "--error-exitcode=1", watched)

    assert (result.returncode, result.stdout) == (0, "checked\n"), result.stderr


@needs("cc", "valgrind")
def test_a_branch_that_depends_on_a_secret_would_be_seen(watched: Path) -> None:
    result = run("valgrind", "-q", "--error-exitcode=1", watched, "leak")

    assert result.returncode == 1
    assert "depends on uninitialised value" in result.stderr
