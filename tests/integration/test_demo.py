"""The demo."""

import subprocess
import sys
from pathlib import Path

_CLONE = Path(__file__).parents[2]
_COLUMNS = 100


def test_the_demo_runs_and_draws_what_it_made() -> None:
    demo = [sys.executable, "-m", "examples.demo"]

    done = subprocess.run(demo, cwd=_CLONE, capture_output=True, text=True, timeout=280)

    assert done.returncode == 0, done.stdout + done.stderr
    *_, picture, _ = done.stdout.split("\n* ")
    for shown in ("coordinator", "removed", "│ NAT │", "mesh address", "plant", "from sensor", " Mbit/s "):
        assert shown in picture
    assert " direct " in picture
    assert "one TCP stream, by hub" in picture
    assert max(map(len, picture.splitlines())) <= _COLUMNS
