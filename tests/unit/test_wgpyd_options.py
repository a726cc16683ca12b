"""The daemon's command line and environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wgpy.driver.settings import Offload, read_settings
from wgpyd.errors import StartError
from wgpyd.options import HELP, KubernetesOptions, Options, UsageError, read_options


def test_the_name_of_an_interface_is_all_it_needs() -> None:
    assert read_options(["wg0"], {}) == Options(
        interface="wg0",
        mesh="",
        metrics="",
        foreground=False,
        log_level=None,
        tun_fd=None,
        uapi_fd=None,
        state_directory="/var/lib/wgpyd",
        settings=read_settings({}),
    )


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["-f", "wg0"], {}),
        (["wg0", "--foreground"], {}),
        (["wg0"], {"WG_PROCESS_FOREGROUND": "1"}),
    ],
)
def test_it_stays_in_the_foreground_when_asked(arguments: list[str], environment: dict[str, str]) -> None:
    assert read_options(arguments, environment).foreground


def test_open_descriptors_can_be_given() -> None:
    reading, writing = os.pipe()
    try:
        options = read_options(["wg0"], {"WG_TUN_FD": str(reading), "WG_UAPI_FD": str(writing)})
        assert (options.tun_fd, options.uapi_fd) == (reading, writing)
    finally:
        os.close(reading)
        os.close(writing)


def test_the_first_state_directory_of_systemd_is_used() -> None:
    assert read_options(["wg0"], {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}).state_directory == "/var/lib/a"


@pytest.mark.parametrize("arguments", [["--log=wgpyd.log", "wg0"], ["--log", "wgpyd.log", "wg0"]])
def test_the_log_is_the_same_file_wherever_the_daemon_goes(arguments: list[str]) -> None:
    assert read_options(arguments, {}).log == str(Path.cwd() / "wgpyd.log")


def test_an_option_goes_before_the_variable_of_its_name() -> None:
    arguments = ["--datapath=portable", "--offload=none", "--memory=small", "--workers=2", "--nice=3", "wg0"]
    environment = {"WGPY_OFFLOAD": "gso", "WGPY_WORKERS": "3"}

    settings = read_options(arguments, environment).settings

    assert not settings.native
    assert settings.offloads == frozenset()
    assert settings.small
    assert settings.workers == 2
    assert settings.nice == 3


def test_a_variable_counts_where_there_is_no_option() -> None:
    assert read_options(["wg0"], {"WGPY_OFFLOAD": "gso"}).settings.offloads == {Offload.GSO}


@pytest.mark.parametrize("argument", ["--datapath", "--offload=", "--log="])
def test_an_option_without_its_value_is_refused(argument: str) -> None:
    with pytest.raises(UsageError, match="wants a value"):
        read_options([argument, "wg0"], {})


def test_a_setting_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(StartError, match="WGPY_DATAPATH is `fast`"):
        read_options(["--datapath=fast", "wg0"], {})


@pytest.mark.parametrize(
    "arguments",
    [[], ["wg0", "wg1"], ["--wrong", "wg0"], [""], ["wg/0"], ["wg 0"], [".."], ["sixteen-bytes-xx"]],
)
def test_a_wrong_command_line_is_refused(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        read_options(arguments, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "loud"),
        ("WG_TUN_FD", "three"),
        ("WG_TUN_FD", "-1"),
        ("WG_UAPI_FD", "1000000"),
        ("WG_UAPI_FD", "9" * 40),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(StartError, match=f"{name} is `{value}`"):
        read_options(["wg0"], {name: value})


@pytest.mark.parametrize("level", ["silent", "error", "verbose", "debug"])
def test_the_log_levels_are_those_of_wireguard_go(level: str) -> None:
    assert read_options(["wg0"], {"LOG_LEVEL": level}).log_level == level


@pytest.mark.parametrize(
    "word", ["--foreground", "--version", "LOG_LEVEL", "WG_TUN_FD", "WG_UAPI_FD", "WG_PROCESS_FOREGROUND"]
)
def test_the_help_names_every_way_to_influence_it(word: str) -> None:
    assert word in HELP


@pytest.mark.parametrize("arguments", [["--mesh", "prod"], ["--mesh=prod"]])
def test_a_node_needs_the_name_of_its_network_alone(arguments: list[str]) -> None:
    options = read_options([*arguments, "--metrics=unix:/run/prod.sock"], {})

    assert (options.interface, options.mesh, options.metrics) == ("", "prod", "unix:/run/prod.sock")


@pytest.mark.parametrize(
    "arguments",
    [["--mesh"], ["--mesh="], ["--mesh=prod", "wg0"], ["--metrics=127.0.0.1:9586", "wg0"]],
    ids=" ".join,
)
def test_a_node_without_a_name_or_with_an_interface_is_refused(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        read_options(arguments, {})


def test_kubernetes_is_followed_if_that_is_asked_for_by_the_name_of_the_node() -> None:
    given = ["--mesh=prod", "--kubernetes", "--kube-api=https://10.0.0.1:6443", "--kube-token", "/token"]

    options = read_options(given, {"NODE_NAME": "worker-1"}).kubernetes

    assert options == KubernetesOptions("https://10.0.0.1:6443", "/token", node="worker-1")
    named = read_options([*given, "--node-name=w2"], {"NODE_NAME": "worker-1"}).kubernetes
    assert named is not None
    assert named.node == "w2"
    assert read_options(["--mesh=prod"], {"NODE_NAME": "worker-1"}).kubernetes is None


def test_the_file_of_the_cni_is_named_from_the_root_as_a_daemon_works_there() -> None:
    options = read_options(["--mesh=prod", "--kubernetes", "--cni=net.d/10-wgpy.conflist"], {}).kubernetes

    assert options is not None
    assert options.cni == str(Path("net.d/10-wgpy.conflist").absolute())


def test_the_files_of_kubernetes_are_named_from_the_root_too() -> None:
    given = ("--mesh=prod", "--kubernetes")

    by_token = read_options([*given, "--kube-token=token", "--kube-ca", "ca.crt"], {}).kubernetes
    by_config = read_options([*given, "--kubeconfig=admin.conf"], {}).kubernetes

    assert by_token == KubernetesOptions(
        token_file=str(Path("token").absolute()), ca_file=str(Path("ca.crt").absolute())
    )
    assert by_config == KubernetesOptions(kubeconfig=str(Path("admin.conf").absolute()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["wg0", "--kubernetes"], "--mesh=NETWORK"),
        (["--mesh=prod", "--cni=/etc/cni/net.d/10-wgpy.conflist"], "--cni is for --kubernetes"),
        (["--mesh=prod", "--kube-api=https://10.0.0.1"], "--kubernetes"),
        (["--mesh=prod", "--node-name=w1"], "--kubernetes"),
        (["--mesh=prod", "--kubernetes", "--kubeconfig=/k", "--kube-ca=/ca"], "in place of --kube-ca"),
        (["--mesh=prod", "--kubernetes", "--kubeconfig"], "wants a value"),
        (["--mesh=prod", "--kubernetes=gateway", "--cni=/c"], "announces no pod ranges"),
    ],
)
def test_options_of_kubernetes_that_make_no_sense_are_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_options(arguments, {})


def test_nothing_of_kubernetes_is_imported_where_it_is_not_followed() -> None:
    program = "import sys, wgpyd.main, wgpyd.agent.start; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert not [name for name in loaded.stdout.split() if "kubernetes" in name]
