"""What who comes from the kernel's WireGuard expects of an interface: its name, its port, its ICMP errors."""

import pytest

from tests.integration.hosts import Host, HostProcess, Lab
from tests.integration.peers import wait_until_listening

_PORT = "51820"


def _start(host: Host, program: str, datapath: str, name: str = "wg0") -> HostProcess:
    process = host.start("env", f"WGPY_DATAPATH={datapath}", program, "-f", name)
    wait_until_listening(host, name, process)
    return process


@pytest.fixture(params=["portable", "native"])
def datapath(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _listens(host: Host, port: str = _PORT) -> bool:
    return f":{port} " in host.run("ss", "-Huln")


# -- Its name --------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["down", "up"])
def test_a_renamed_interface_is_found_by_its_new_name(lab: Lab, program: str, link: str) -> None:
    host = lab.host("host")
    process = _start(host, program, "native")
    host.run("wg", "set", "wg0", "listen-port", _PORT)
    host.run("ip", "link", "set", "wg0", link)

    host.run("ip", "link", "set", "wg0", "name", "office")

    wait_until_listening(host, "office", process)
    assert host.run("wg", "show", "office", "listen-port") == f"{_PORT}\n"
    assert host.run("wg", "show", "interfaces") == "office\n"
    host.run("ip", "link", "delete", "office")
    assert process.wait(5).status == 0
    assert not host.path("/run/wireguard/office.sock").exists()


def test_the_former_name_is_free_after_a_renaming(lab: Lab, program: str) -> None:
    host = lab.host("host")
    first = _start(host, program, "native")
    host.run("ip", "link", "set", "wg0", "name", "office")
    wait_until_listening(host, "office", first)

    _start(host, program, "native")

    assert sorted(host.run("wg", "show", "interfaces").split()) == ["office", "wg0"]
    assert first.is_running()
