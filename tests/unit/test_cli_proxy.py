"""`wgpy proxy` and `wgpy exec` refuse a wrong command line before they touch anything."""

from pathlib import Path

import pytest

from wgpy.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("proxy", "./wg0.conf"), "say what to serve: --socks5, --http, --forward or --expose"),
        (("proxy", "./wg0.conf", "--socks5", "1080"), "--socks5: want HOST:PORT"),
        (("proxy", "./wg0.conf", "--forward", "127.0.0.1:80"), "--forward: want ADDRESS:PORT=HOST:PORT"),
        (("proxy", "./wg0.conf", "--expose", "udp:53=127.0.0.1:53"), "--expose: want HOST:PORT"),
        (("exec", "--mesh", "prod", "--"), "say which program to run, after `--`"),
        (("exec", "--", "true"), "say which program to run, after `--`"),
        (("exec", "./wg0.conf"), "say which program to run, after `--`"),
        (("exec", "./wg0.conf", "--", ""), "say which program to run, after `--`"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert sentence in capsys.readouterr().err


def test_a_mesh_without_a_node_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exec", "--mesh", "nowhere", "--", "true"]) == 1
    assert "this host is no node of nowhere at present" in capsys.readouterr().err


@pytest.mark.parametrize("command", [("exec", "--", "true"), ("proxy", "--http", "127.0.0.1:0")])
def test_a_file_that_is_not_there(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    name, *rest = command

    assert main([name, "./none.conf", *rest]) == 1
    assert "none.conf: cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"a:\xff\n", "is not UTF-8 text: save it as UTF-8"), (b"a\n", "NAME:PASSWORD")]
)
def test_a_file_that_is_no_account(
    content: bytes, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "account").write_bytes(content)

    assert main(["proxy", "./none.conf", "--http", "127.0.0.1:0", "--account", f"{tmp_path}/account"]) == 1
    assert sentence in capsys.readouterr().err
