"""The quickstarts, command by command as a reader runs them, in the folder of a host of theirs."""

import re
import sys
from pathlib import Path

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually
from tests.integration.ordinaryuser import attempt_as_user
from tests.integration.peers import Implementation
from tests.integration.terminal import Terminal
from tests.integration.tunnelworld import World

_CLONE = Path(__file__).parents[2]
_PROGRAMS = Path(sys.executable).parent


def test_a_tunnel(lab: Lab) -> None:
    page = sections("tunnel")
    first, second = hosts(lab)
    (make_keys,) = page["On both hosts"]
    (first_half,), (second_half,) = page["On the first host"], page["On the second host"]
    keys = {name: shell(host, make_keys).strip() for name, host in (("FIRST", first), ("SECOND", second))}

    shell(first, first_half.replace("SECOND_KEY", keys["SECOND"]))
    shown = shell(second, second_half.replace("FIRST_KEY", keys["FIRST"]))

    assert "3 received" in shown
    assert "latest handshake" in shown
    (end,) = page["On both hosts, at the end"]
    for host in (first, second):
        shell(host, end)
        assert host.attempt("ip", "link", "show", "wg0").status


def test_a_mesh(lab: Lab) -> None:
    page = sections("mesh")
    first, second = hosts(lab)
    (make,), (join, try_it) = page["On the first host"], page["On the second host"]
    token = re.search(r"wgpy1_\S+", shell(first, make, name="first"))
    assert token
    command, *rest = join.splitlines()

    with Terminal(second, *script(command, name="second")) as terminal:
        terminal.shows("Token")
        terminal.types(f"{token[0]}\n")
        assert terminal.ends() == 0, terminal.shown

    assert re.search(r"^first .*", shell(second, "\n".join(rest)), re.MULTILINE)
    eventually(lambda: "3 answered" in shell(second, try_it), "the first host answers")
    assert "3 received" in shell(second, try_it)


@pytest.mark.xdist_group("quickstart")
def test_the_library(lab: Lab, daemon: Implementation) -> None:
    page, world = sections("library"), World.build(lab, daemon)
    commands = [block.strip() for name in ("From Python", "From any program") for block in page[name]]

    for command in commands:
        own = command.replace("environment/bin", str(_PROGRAMS)).replace("examples", str(_CLONE / "examples"))
        done = attempt_as_user(world.left, "sh", "-c", own)

        assert done.status == 0, done.output
        assert "hello" in done.output
    assert len(commands) == 2


# -- Helpers -------------------------------------------------------------------------------------


def sections(page: str) -> dict[str, list[str]]:
    """Return the blocks for a shell of a quickstart, by the headings that they stand under."""
    _, *found = re.split(
        r"^## (.*)$", (_CLONE / f"docs/quickstart/{page}.md").read_text(), flags=re.MULTILINE
    )
    return {
        heading: re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for heading, text in zip(found[::2], found[1::2], strict=True)
    }


def hosts(lab: Lab) -> tuple[Host, Host]:
    """Return the two hosts of the quickstarts.

    first                                second
    eth0  192.0.2.1/24  ───────────────  eth0  192.0.2.2/24
    """
    first, second = lab.host("first"), lab.host("second")
    connect(first, "eth0", second, "eth0")
    add_addresses(first, "eth0", "192.0.2.1/24")
    add_addresses(second, "eth0", "192.0.2.2/24")
    return first, second


def shell(host: Host, text: str, name: str = "") -> str:
    return host.run(*script(text, name))


def script(text: str, name: str = "") -> tuple[str, ...]:
    """Return the command that runs lines of a page. name: of the host, if it counts.

    Whoever runs it is root, and finds our programs as if they had been linked.
    """
    naming = f"hostname {name}; " if name else ""
    lines = re.sub(r"\bsudo ", "", text)
    program = f"set -e; {naming}PATH={_PROGRAMS}:$PATH\n{lines}"
    return "unshare", "--uts", "env", "--chdir=/run", "bash", "-c", program
