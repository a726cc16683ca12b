"""Asks and changes the host by iproute2's `ip`, and reads why it refuses. ip(8)"""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

from wgpy.contract.errors import WgpyError

from .program import run_program


class IpFailed(WgpyError):
    """`ip` has no answer; the message is the reason."""


async def ask_ip(*arguments: str) -> list[Any]:
    """Return what `ip -json` answers. Raises IpFailed."""
    done = await asyncio.to_thread(run_program, ("ip", "-json", *arguments))
    if done.returncode:
        raise IpFailed(f"`ip {' '.join(arguments)}` failed: {read_reason(done.stderr)}")
    return read_answer(done.stdout)


async def ask_ip_all(lines: Sequence[str], *options: str) -> list[list[Any]]:
    """Return what `ip -json` answers to each of several lines, by one program. Raises IpFailed."""
    command = ("ip", "-json", *options, "-batch", "-")
    done = await asyncio.to_thread(run_program, command, "\n".join([*lines, ""]))
    if done.returncode:
        raise IpFailed(f"`{' '.join(command)}` failed: {read_reason(done.stderr)}")
    answers = [read_answer(line) for line in done.stdout.splitlines() if line.strip()]
    if len(answers) != len(lines):
        raise IpFailed(f"`{' '.join(command)}` gave {len(answers)} answers to {len(lines)} lines")
    return answers


async def change_ip(lines: Sequence[str], *options: str) -> dict[int, str]:
    """Make several changes; which failed, by index, and why."""
    done = await asyncio.to_thread(
        run_program, ("ip", *options, "-force", "-batch", "-"), "\n".join([*lines, ""])
    )
    failures = read_failures(done.stderr)
    if done.returncode and not failures:
        return dict.fromkeys(range(len(lines)), read_reason(done.stderr))
    return failures


def check_ip() -> None:
    """Raises IpFailed, with what to do, unless this host's `ip` is iproute2's: BusyBox has one, too."""
    done = run_program(("ip", "-json", "-N", "address", "show", "dev", "lo"))
    if done.returncode or not done.stdout.startswith("["):
        raise IpFailed(
            f"the `ip` of this host is not that of iproute2 4.18 or newer ({read_reason(done.stderr)}): "
            "install iproute2"
        )


def read_answer(stdout: str) -> list[Any]:
    """Return what `ip -json` found; an empty list if that is nothing."""
    answer = json.loads(stdout or "[]")
    return answer if isinstance(answer, list) else []


def read_failures(stderr: str) -> dict[int, str]:
    """Return which lines of `ip -batch -` failed, by index, and why; with -force there may be several."""
    failures: dict[int, str] = {}
    complaints: list[str] = []
    for line in stderr.splitlines():
        if found := re.fullmatch(r"Command failed -:(\d+)\s*", line):
            failures[int(found[1]) - 1] = read_reason("\n".join(complaints))
            complaints = []
        else:
            complaints.append(line)
    return failures


def read_reason(stderr: str) -> str:
    """Return the first line of what a tool complained."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return (
        lines[0].removeprefix("Error: ").removeprefix("RTNETLINK answers: ").rstrip(".")
        if lines
        else "no reason given"
    )
