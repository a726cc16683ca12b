"""Where the daemon's log goes, and what it says of that: in processes, as logging is global."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest


def run(code: str, **environment: str) -> str:
    """Run some lines and return what they print, on both outputs."""
    imports = "from wgpyd.log import *\nfrom wgpyd.errors import StartError\nimport logging\n"
    done = subprocess.run(
        [sys.executable, "-c", imports + code],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, env=environment,
    )  # fmt: skip
    return done.stdout


def test_a_log_of_its_own_is_appended_to_and_private(tmp_path: Path) -> None:
    file = tmp_path / "wgpyd.log"
    code = f"configure_log('wg0', None, {str(file)!r}); logging.warning('a line'); print(log_target())"

    assert [run(code), run(code)] == [f"{file}\n"] * 2

    assert file.read_text().count("(wg0)") == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    code = f"try: configure_log('wg0', None, {str(tmp_path)!r})\nexcept StartError as error: print(error)"

    assert run(code) == f"the log {tmp_path} cannot be written: Is a directory\n"


@pytest.mark.parametrize(
    ("code", "environment", "place"),
    [
        ("configure_log('wg0', None)", {}, "standard error of the daemon"),
        ("configure_log('wg0', None)", {"JOURNAL_STREAM": "8:1"}, "the journal: `journalctl _PID="),
        (
            "configure_log('wg0', None); log_to_system('wg0')", {},
            "the system's log: `journalctl --identifier='wgpyd(wg0)'`",
        ),
    ],
)  # fmt: skip
def test_it_says_where_it_is(code: str, environment: dict[str, str], place: str) -> None:
    assert run(f"{code}\nprint(log_target())", **environment).startswith(place)
