"""Fuzzers over the C data path; each says its invariant in its first lines.

Each starts from what was found before, corpus/NAME/, and searches for WGPY_FUZZ_SECONDS. With
WGPY_FUZZ_KEEP=1 what it finds that reaches something new is added there. A failing input is printed in
Base64: add it, too.
"""

import os
from pathlib import Path

import pytest

from tests.fastpath.natively import FASTPATH, build, compiled, needs, run
from tests.fastpath.test_offload_natively import corpus

HERE = Path(__file__).parent
TESTS = HERE.parent
SOURCES = [
    FASTPATH.parent / "_fastpath.c",
    *sorted(FASTPATH.glob("*.c")),
    TESTS / "datapath/world.c",
    TESTS / "fastpath/flows.c",
]
PROGRAMS = {
    "offload": TESTS / "fastpath/offload_check.c",
    "inbound": HERE / "fuzz_inbound.c",
    "outbound": HERE / "fuzz_outbound.c",
    "handshake_queue": HERE / "fuzz_handshake_queue.c",
    "translation": HERE / "fuzz_translation.c",
    "relay": HERE / "fuzz_relay.c",
}
SANITIZERS = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
OPTIONS = [*SANITIZERS, "-DFUZZER", *(f"-I{TESTS / name}" for name in ("fastpath", "datapath", "fuzz"))]
SECONDS = os.environ.get("WGPY_FUZZ_SECONDS", "15")
KEEP = os.environ.get("WGPY_FUZZ_KEEP") == "1"


def part(source: Path, to: Path) -> Path:
    return compiled("clang", source, to, *OPTIONS, "-fsanitize=fuzzer-no-link")


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("objects")
    return [part(source, place) for source in SOURCES]


def fuzzer(name: str, objects: list[Path], to: Path) -> Path:
    return build("clang", PROGRAMS[name], objects, to, *OPTIONS, "-fsanitize=fuzzer", "-pthread")


@needs("clang")
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_fuzzer_finds_nothing(name: str, objects: list[Path], tmp_path: Path, seed: int) -> None:
    program = fuzzer(name, objects, tmp_path)
    stored, found = HERE / "corpus" / name, tmp_path / "found"
    found.mkdir()
    if name == "offload":
        corpus(found)

    options = [f"-max_total_time={SECONDS}", f"-seed={seed}", "-max_len=4096", "-timeout=60"]
    result = run(program, *options, f"-artifact_prefix={tmp_path}/", found, stored)

    assert result.returncode == 0, result.stderr[-5000:]
    if KEEP:
        assert run(program, "-set_cover_merge=1", "-use_counters=0", stored, found).returncode == 0


@needs("clang")
@pytest.mark.parametrize(
    ("name", "file", "good", "bad"),
    [
        ("inbound", "replay.c", "return false;", "return true;"),
        ("inbound", "policy.c", "(SYN | ACK)) != SYN", "(SYN | ACK)) != ACK"),
        ("outbound", "staging.c", ".length = length;", ".length = length > 99 ? length - 1 : length;"),
        ("translation", "translation.c", ": SUBNET_WORD + 1,", ": SUBNET_WORD,"),
        ("relay", "relay_ends.c", "&& !same_remote(&sender->at, &receiver->at)", "&& sender != receiver"),
        (
            "relay",
            "forwarder.c",
            "judgement.to, data, length, origin->tos, now",
            "judgement.to, data, length, 0, now",
        ),
        ("handshake_queue", "cookie.c", "return difference == 0;", "return true;"),
    ],
)
def test_what_is_wrong_would_be_seen(
    name: str, file: str, good: str, bad: str, objects: list[Path], tmp_path: Path
) -> None:
    """What was found before is enough for it."""
    source = tmp_path / file
    source.write_text((FASTPATH / file).read_text().replace(good, bad))
    assert source.read_text() != (FASTPATH / file).read_text()
    others = [one for one in objects if one.stem != source.stem]
    program = fuzzer(name, [*others, part(source, tmp_path)], tmp_path)

    result = run(program, "-runs=0", f"-artifact_prefix={tmp_path}/", HERE / "corpus" / name)

    assert result.returncode != 0
    assert "not so" in result.stderr
