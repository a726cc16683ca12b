"""The whole data path in one thread, without Python around it: on other processors."""

from pathlib import Path

from tests.fastpath.natively import FASTPATH, build, each_emulated_target, emulator, needs, run

HERE = Path(__file__).parent
WORLD = HERE.parent / "datapath/world.c"
CHECK = HERE / "trip_check.c"
SOURCES = [WORLD, HERE / "flows.c", FASTPATH.parent / "_fastpath.c", *sorted(FASTPATH.glob("*.c"))]
OPTIONS = [f"-I{WORLD.parent}", "-pthread", "-O1"]


@needs("cc")
def test_packets_arrive_as_they_were_sent(tmp_path: Path) -> None:
    result = run(build("cc", CHECK, SOURCES, tmp_path, *OPTIONS))

    assert (result.returncode, result.stdout) == (0, "checked\n"), result.stdout + result.stderr


@each_emulated_target
def test_so_they_do_on_other_processors(target: str, tmp_path: Path) -> None:
    program = build(f"{target}-gcc", CHECK, SOURCES, tmp_path, *OPTIONS, "-static")

    result = run(emulator(target), program)

    assert (result.returncode, result.stdout) == (0, "checked\n"), result.stdout + result.stderr
