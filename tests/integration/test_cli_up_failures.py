"""What fails in `wgpy up` is one sentence, and all before it is undone."""

import signal
from pathlib import Path

import pytest

from tests.integration.hosts import Result, eventually
from tests.integration.tunnel_sides import FILE, Side, left, right

__all__ = ["left", "right"]  # fixtures


@pytest.mark.parametrize(
    ("line", "allowed", "says"),
    [
        ("PreUp = false", "0.0.0.0/0", "the PreUp command `false` failed with exit status 1"),
        ("PostUp = exit 7", "0.0.0.0/0, ::/0", "the PostUp command `exit 7` failed with exit status 7"),
        ("PostUp = false", "192.0.2.0/24", "the PostUp command `false` failed"),
        ("Address = 10.20.0.1/24", "0.0.0.0/0", "`ip address add 10.20.0.1/24 dev wg0` failed: "),
        (
            "FwMark = 7\nTable = main",
            "10.10.0.0/24, 192.0.2.0/24",
            "`ip route add 10.10.0.0/24 dev wg0 table main` failed: File exists",
        ),
    ],
)
def test_whatever_fails_all_before_it_is_undone(
    left: Side, right: Side, line: str, allowed: str, says: str
) -> None:
    before = left.network()
    left.write(line, peer=right, allowed=allowed)

    result = left.attempt("up", FILE)

    assert result.status == 1
    assert result.output.startswith(f"wgpy: {says}")
    assert len(result.output.splitlines()) == 1
    assert left.network() == before
    eventually(lambda: left.host.processes(Path(left.daemon).name) == [], "the daemon has ended")


def test_an_up_that_is_stopped_is_undone(left: Side, right: Side) -> None:
    before = left.network()
    left.write("PostUp = touch /run/waiting; exec sleep 60", peer=right, allowed="0.0.0.0/0")
    process = left.start("up", FILE)
    eventually(left.host.path("/run/waiting").exists, "PostUp runs")

    process.kill(signal.SIGTERM)

    assert process.wait(20).status == 128 + signal.SIGTERM
    assert left.network() == before


def test_each_misuse_is_one_sentence(left: Side) -> None:
    left.write()
    assert left.attempt("down", FILE) == Result(1, "wgpy: wg0 is not up.\n")
    left.wgpy("up", FILE)
    again = left.attempt("up", FILE)
    assert again == Result(1, f"wgpy: wg0 is already up; `wgpy down {FILE}` takes it down.\n")
    left.wgpy("down", FILE)
    left.host.run("ip", "link", "add", "wg0", "type", "veth")
    assert left.attempt("up", FILE) == (
        Result(1, "wgpy: a network interface wg0 exists that is not wgpy's; choose another name.\n")
    )


def test_a_daemon_that_does_not_start_says_why(left: Side) -> None:
    left.write()
    left.host.run("mount", "--bind", "/dev/null", "/dev/net/tun")

    result = left.attempt("up", FILE)

    assert result.status == 1
    assert result.output.startswith("wgpy: the daemon of wg0 did not start: ")
    assert len(result.output.splitlines()) == 1


def test_an_interface_that_is_not_up_cannot_be_shown(left: Side) -> None:
    assert left.attempt("show", "wg9") == Result(1, "wgpy: there is no interface wg9 that a daemon serves.\n")
    assert left.attempt("show").status == 0
