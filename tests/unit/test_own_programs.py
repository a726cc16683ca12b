"""Whose changes of the host are known to be this process's own."""

import os

from wgpy.host.own_programs import is_own
from wgpy.host.program import run_program


def test_a_program_that_was_run_a_moment_ago_is_own() -> None:
    done = run_program(["sh", "-c", "echo $$"])

    assert is_own(int(done.stdout))


def test_nobody_else_is() -> None:
    others = [int(run_program(["sh", "-c", "sh -c 'echo $$' & wait"]).stdout), os.getpid(), os.getppid()]

    assert not any(map(is_own, [0, *others]))
