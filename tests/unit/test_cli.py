"""The command `wgpy` as a process: output, one sentence for each error, exit status."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from wgpy.address import HostPort
from wgpy.cli.changes import interruptible
from wgpy.cli.errors import CommandError
from wgpy.cli.files import find_config, save
from wgpy.cli.resolve import resolve, resolving
from wgpy.config import Config, PeerConfig, load
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PrivateKey

# RFC 7748 section 6.1: Bob's keys.
BOB_PRIVATE = "XasIfmJKikt54X+Lg4AO5m87sSkmGLb9HC+LJ/+I4Os="
BOB_PUBLIC = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="


def wgpy(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wgpy.cli.main", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a failed command."""
    assert done.stdout == ""
    assert re.fullmatch(r"wgpy: .*\.\n", done.stderr), done.stderr
    return done.stderr


# -- keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["genkey", "genpsk"])
def test_a_new_key_is_one_line_of_base64(command: str) -> None:
    done = wgpy(command)
    assert done.returncode == 0
    assert done.stderr == ""
    assert re.fullmatch("[A-Za-z0-9+/]{43}=\n", done.stdout)


def test_the_public_key_of_a_private_key() -> None:
    done = wgpy("pubkey", text=BOB_PRIVATE + "\n")
    assert (done.returncode, done.stdout) == (0, BOB_PUBLIC + "\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there is none: wgpy pubkey < private.key"),
        ("hello", "standard input holds no private key"),
        (BOB_PRIVATE + BOB_PRIVATE, "standard input holds no private key"),
        ("\xff" * 10000, "standard input holds no private key"),
    ],
)
def test_what_is_no_private_key_is_refused(text: str, says: str) -> None:
    done = wgpy("pubkey", text=text)
    assert done.returncode == 1
    assert says in sentence(done)


@pytest.mark.parametrize(("mode", "warns"), [(0o600, False), (0o640, False), (0o644, True), (0o602, True)])
def test_a_secret_for_everybody_is_warned_of(tmp_path: Path, mode: int, warns: bool) -> None:
    path = tmp_path / "private.key"
    path.touch()
    path.chmod(mode)
    with path.open("w") as output:
        command = [sys.executable, "-m", "wgpy.cli.main", "genkey"]
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=True)
    assert ("warning" in done.stderr) is warns
    PrivateKey.from_base64(path.read_text().strip())


# -- how it is called --------------------------------------------------------------------------------


def test_version_and_help_succeed() -> None:
    assert re.fullmatch(r"wgpy \d+\.\d+\.\d+\S*\n", wgpy("--version").stdout)
    assert "A tunnel in four steps" in wgpy("--help").stdout


@pytest.mark.parametrize(
    "command", ["genkey", "pubkey", "genpsk", "show", "up", "down", "reload", "save", "strip", "completion"]
)
def test_each_command_has_help(command: str) -> None:
    done = wgpy(command, "--help")
    assert done.returncode == 0
    assert f"usage: wgpy {command}" in done.stdout


def test_the_usage_of_exec_says_what_stands_before_the_program() -> None:
    usage = "usage: wgpy exec [-h] (FILE | NAME | --mesh NETWORK) -- PROGRAM …\n"

    assert wgpy("exec", "--help").stdout.startswith(usage)


@pytest.mark.parametrize(
    "arguments", [("fly",), ("up",), ("show", "--jsn"), ("show", "a", "b"), ("completion", "csh")]
)
def test_a_wrong_command_line_is_status_2_and_a_sentence(arguments: tuple[str, ...]) -> None:
    done = wgpy(*arguments)
    assert done.returncode == 2
    assert re.search(r"; see `wgpy( \w+)* --help`", sentence(done))


def test_no_command_shows_the_help() -> None:
    done = wgpy()
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: wgpy" in done.stderr


def test_a_reader_that_has_enough_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "wgpy.cli.main", "completion", "bash"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


# -- files -------------------------------------------------------------------------------------------


def test_strip_prints_what_wg_takes(tmp_path: Path) -> None:
    path = tmp_path / "wg0.conf"
    key = PrivateKey.from_base64(BOB_PRIVATE).base64()  # clamped
    wanted = f"[Interface]\nListenPort = 7\nPrivateKey = {key}\n\n[Peer]\nPublicKey = {BOB_PUBLIC}\n"
    path.write_text(wanted.replace("ListenPort", "Address = 10.0.0.1/24\nDNS =\nPostUp = true\nListenPort"))
    assert wgpy("strip", str(path)).stdout == wanted


@pytest.mark.parametrize("command", ["up", "down", "reload", "save", "strip"])
def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path, command: str) -> None:
    done = wgpy(command, str(tmp_path / "wg0.conf"))
    assert done.returncode == 1
    sentence(done)


@pytest.mark.parametrize(
    ("given", "interface", "path"),
    [
        ("wg0", "wg0", "/etc/wireguard/wg0.conf"),
        ("a+b=c-1.2_3", "a+b=c-1.2_3", "/etc/wireguard/a+b=c-1.2_3.conf"),
        ("wg0.conf", "wg0", "wg0.conf"),
        ("/run/x.conf", "x", "/run/x.conf"),
        ("./wg0.conf", "wg0", "wg0.conf"),
    ],
)
def test_a_name_is_looked_for_and_a_file_is_named_after_its_interface(
    given: str, interface: str, path: str
) -> None:
    assert find_config(given) == (interface, Path(path))


@pytest.mark.parametrize(
    "given", ["", "a b", "sixteen-letters-", "./wg0", "/etc/passwd", "..", ".", "é.conf", "x/.conf"]
)
def test_other_names_are_refused(given: str) -> None:
    with pytest.raises(CommandError, match=r"cannot name an interface|must be named after its interface"):
        find_config(given)


def test_a_saved_file_replaces_the_old_one_and_is_private(tmp_path: Path) -> None:
    target = tmp_path / "real.conf"
    target.write_text("old")
    target.chmod(0o644)
    link = tmp_path / "wg0.conf"
    link.symlink_to(target)
    config = Config(PrivateKey.from_base64(BOB_PRIVATE), listen_port=7, save_config=True)

    save(link, config)

    assert link.is_symlink()
    assert load(link) == config
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(tmp_path.iterdir()) == [target, link]


def test_a_file_that_cannot_be_saved_is_a_command_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be saved"):
        save(tmp_path / "nowhere" / "wg0.conf", Config())


# -- endpoints ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "endpoint"),
    [
        (HostPort("192.0.2.1", 7), Endpoint("192.0.2.1", 7)),
        (HostPort("2001:DB8:0::1", 7), Endpoint("2001:db8::1", 7)),
        (HostPort("fe80::1%lo", 7), Endpoint("fe80::1", 7, scope_id=1)),
    ],
)
def test_a_numeric_endpoint_needs_no_name_server(where: HostPort, endpoint: Endpoint) -> None:
    assert resolve(where) == endpoint


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70])
def test_a_name_that_does_not_resolve_is_a_sentence(host: str) -> None:
    with pytest.raises(CommandError, match="cannot be resolved"):
        resolve(HostPort(host, 7), timeout=0)


def test_all_endpoints_of_a_file_are_resolved() -> None:
    targets = [HostPort("localhost", 7), HostPort("192.0.2.1", 7), HostPort("localhost", 8)]

    endpoint_of = resolving(config_with(*targets))

    assert [endpoint_of(target).port for target in targets] == [7, 7, 8]


def test_who_interrupts_a_command_does_not_wait_for_a_silent_name_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    released, answered = Event(), Event()

    def ask(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        if len(asked) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        released.wait(60)
        answered.set()
        raise socket.gaierror(socket.EAI_NONAME, "")

    monkeypatch.setattr("wgpy.cli.resolve.getaddrinfo", ask)
    with interruptible(), pytest.raises(SystemExit):
        resolving(config_with(HostPort("one.example.test", 7), HostPort("two.example.test", 7)))

    assert not answered.is_set()
    released.set()


def config_with(*targets: HostPort) -> Config:
    """A peer at each of these."""
    keys = (PrivateKey.generate().public_key() for _ in targets)
    return Config(
        peers=tuple(PeerConfig(key, endpoint=target) for key, target in zip(keys, targets, strict=True))
    )
