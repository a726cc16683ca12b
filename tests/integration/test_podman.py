"""Tunnels inside rootless containers that podman makes for an ordinary user, with its own seccomp profile."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.integration.hosts import Lab
from tests.integration.peers import Implementation
from tests.integration.rootlesscontainer import NETWORKS, Container, start_by_podman
from tests.integration.tunnelworld import World

pytestmark = pytest.mark.xdist_group("podman")

_WGPY = str(Path(sys.executable).with_name("wgpy"))


@pytest.fixture(scope="module")
def world(module_lab: Lab, daemon: Implementation) -> World:
    return World.build(module_lab, daemon)


@pytest.fixture(scope="module", params=NETWORKS)
def container(world: World, request: pytest.FixtureRequest) -> Container:
    return start_by_podman(world, request.param)


def test_a_tunnel_has_both_families_and_names(container: Container) -> None:
    said = container.run(sys.executable, "-W", "error", "-c", dedent("""
        import wgpy

        with wgpy.Tunnel("wg0.conf") as tunnel:
            for host in ("10.20.0.2", "fd20::2", "web.example.test"):
                with tunnel.create_connection((host, 7), timeout=100) as connection:
                    connection.sendall(host.encode())
                    print(connection.recv(100).decode())
            print(bool(tunnel.user_mode_interface), tunnel.status().peers[0].persistent_keepalive)
        """))  # fmt: skip

    assert said.splitlines() == ["10.20.0.2", "fd20::2", "web.example.test", "True 25"]


def test_a_program_runs_in_a_tunnel_and_its_user_is_told_that_ecn_is_lost(container: Container) -> None:
    said = container.run(_WGPY, "exec", "./wg0.conf", "--", "ping", "-n", "-c", "1", "-W", "60", "10.20.0.2")

    assert "1 received" in said
    assert "which clears ECN" in said
