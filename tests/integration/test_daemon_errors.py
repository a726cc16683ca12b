"""What the daemon says when it cannot start: one sentence, an exit status, and nothing left behind."""

from collections.abc import Callable

import pytest

from tests.integration.hosts import Host, Lab

_FAILURE, _USAGE = 1, 2


def _without_permission(host: Host, program: str) -> list[str]:
    return ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", program]


def _without_tun(host: Host, program: str) -> list[str]:
    host.run("mount", "-t", "tmpfs", "tmpfs", "/dev/net")
    return [program]


def _with_interface(host: Host, program: str) -> list[str]:
    host.run("ip", "link", "add", "wg0", "type", "veth")
    return [program]


def _with_daemon(host: Host, program: str) -> list[str]:
    host.run(program, "wg0")
    return [program]


def _with_environment(setting: str) -> Callable[[Host, str], list[str]]:
    return lambda host, program: ["env", setting, program]


_SITUATIONS = pytest.mark.parametrize(
    ("arrange", "sentence"),
    [
        pytest.param(_without_permission, "no permission to make wg0", id="no permission"),
        pytest.param(_without_tun, "there is no /dev/net/tun", id="no TUN"),
        pytest.param(_with_interface, "the interface wg0 exists already", id="other interface"),
        pytest.param(_with_daemon, "the interface wg0 exists already", id="other daemon"),
        pytest.param(_with_environment("LOG_LEVEL=loud"), "LOG_LEVEL is `loud`", id="log level"),
        pytest.param(_with_environment("WG_TUN_FD=77"), "WG_TUN_FD is `77`", id="closed TUN descriptor"),
        pytest.param(_with_environment("WG_TUN_FD=1"), "WG_TUN_FD cannot be used", id="no TUN descriptor"),
        pytest.param(_with_environment("WG_UAPI_FD=1"), "WG_UAPI_FD is 1", id="no UAPI descriptor"),
    ],
)


@_SITUATIONS
@pytest.mark.parametrize("foreground", [True, False], ids=["foreground", "background"])
def test_it_says_in_one_sentence_why_it_cannot_start(
    lab: Lab, program: str, arrange: Callable[[Host, str], list[str]], sentence: str, foreground: bool
) -> None:
    host = lab.host("host")
    command = arrange(host, program)

    result = host.attempt(*command, *(["-f"] if foreground else []), "wg0")

    assert result.status == _FAILURE
    assert result.output.startswith(f"wgpyd: {sentence}")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["wg0", "wg1"], ["--nonsense", "wg0"], ["wg/0"], ["a-name-too-long-"]]
)
def test_a_wrong_command_line_has_a_status_of_its_own(lab: Lab, program: str, arguments: list[str]) -> None:
    result = lab.host("host").attempt(program, *arguments)

    assert result.status == _USAGE
    assert result.output.startswith("wgpyd: ")
    assert result.output.count("\n") == 1


def test_a_start_that_fails_leaves_no_interface_and_no_socket(lab: Lab, program: str) -> None:
    host = lab.host("host")

    result = host.attempt("env", "WG_UAPI_FD=1", program, "-f", "wg0")

    assert result.status == _FAILURE
    assert host.attempt("ip", "link", "show", "wg0").status != 0
    assert not host.path("/run/wireguard/wg0.sock").exists()


def test_help_and_version_are_answers_not_errors(lab: Lab, program: str) -> None:
    host = lab.host("host")

    assert "usage: wgpyd" in host.run(program, "--help")
    assert host.run(program, "--version").startswith("wgpyd ")


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("< /dev/null", "standard input names no network, in a line"),
        ("<&-", "standard input cannot be read: Bad file descriptor"),
        ("<<< prod", "this host has not joined prod: `wgpy mesh join` it with a token"),
        (f"<<< {'a' * 99}", f"`{'a' * 99}` is no name of a network: want a-z, 0-9 and -"),
        (f"<<< {'a' * 199}", "standard input names no network, in a line"),
    ],
)
def test_a_node_whose_network_nobody_names_does_not_start(
    lab: Lab, program: str, told: str, sentence: str
) -> None:
    result = lab.host("host").attempt("bash", "-c", f"{program} --mesh - {told}")

    assert (result.status, result.output) == (_FAILURE, f"wgpyd: {sentence}\n")
