"""`wgpy mesh join` asks for the token at a terminal, so that it is in no log and in no list of processes."""

import re

import pytest

from tests.integration.hosts import Lab
from tests.integration.meshlab import NETWORK, Node, program
from tests.integration.meshlan import Lan
from tests.integration.terminal import Terminal

JOIN = (program("wgpy"), "mesh", "join", "--name", "web")


@pytest.fixture
def network(lab: Lab) -> Lan:
    """A network of one node."""
    lan = Lan(lab)
    lan.add("hub")
    lan.init()
    return lan


@pytest.fixture
def web(lab: Lab) -> Node:
    """A host without a network."""
    return Node("web", lab.host("web"), "", "")


@pytest.mark.parametrize("pasted", ["{}\n", "\n  \n  {}  \n", "{}\r\nls\n"])
def test_a_token_is_pasted_at_a_terminal_and_not_shown(network: Lan, pasted: str) -> None:
    token, web = network.hub.token(), network.add("web")

    with Terminal(web.host, *JOIN) as terminal:
        terminal.shows("Token (it is not shown): ")
        terminal.types(pasted.format(token))
        status = terminal.ends()

    assert status == 0, terminal.shown
    assert f"This host is web in {NETWORK}: " in terminal.shown
    assert "wgpy1_" not in terminal.shown
    assert token not in terminal.shown
    web.ping(network.hub)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("correct horse battery staple\n", "a token begins with wgpy1_"),
        ("wgpy1_correct-horse\nbattery\n", "the token is damaged: copy all of it, from `wgpy1_` to its end"),
        ("é\xa0correct horse\n", "a token begins with wgpy1_"),
        ("\x04", "there is no token: give one as an argument, with --token-file or in WGPY_TOKEN"),
        ("\n\n\x04", "there is no token: give one as an argument, with --token-file or in WGPY_TOKEN"),
    ],
)
def test_what_is_no_token_is_one_sentence_which_does_not_show_it(web: Node, typed: str, says: str) -> None:
    with Terminal(web.host, *JOIN) as terminal:
        terminal.shows("Token (it is not shown): ")
        terminal.types(typed)
        status = terminal.ends()

    assert status == 1
    assert terminal.shown == f"Token (it is not shown): \r\nwgpy: {says}.\r\n"


def test_ctrl_c_ends_the_question_and_the_terminal_shows_again_what_is_typed(web: Node) -> None:
    with Terminal(
        web.host, "sh", "-c", f"trap : INT; {' '.join(JOIN)}; echo status $? .; read x"
    ) as terminal:
        terminal.shows("Token")
        assert not terminal.echoes()
        terminal.types("\x03")
        terminal.shows("status 130 .\r\n")

        assert terminal.echoes()
        assert re.sub(r"\s+", " ", terminal.shown) == "Token (it is not shown): status 130 . "


def test_without_a_terminal_nobody_is_asked(web: Node) -> None:
    result = web.attempt("join")

    assert result.status == 1
    assert result.output.startswith("wgpy: there is no token: ")
