"""`wgpy mesh relay` and `token --relay`, on a host with the network's key that is no node."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.mesh.coordinator import ALICE, BOB, Site, in_a_loop
from tests.mesh.key_host import KeyHost, copy_key


@asynccontextmanager
async def a_host(folder: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[KeyHost]:
    """In a network of n11 and n12."""
    coordinator = Site.create(folder / "site")
    async with coordinator.serve():
        await coordinator.found(ALICE, BOB)
        yield KeyHost(coordinator, copy_key(coordinator, folder / "host"), capsys)


@in_a_loop
async def test_a_node_is_made_a_relay_and_an_ordinary_node_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        assert (await host.ask("relay", "add", "n11"))["name"] == "n11"
        assert (await host.ask("relay", "add", "n12"))["name"] == "n12"
        assert "is a relay already" in await host.refusal("relay", "add", "n11")
        assert [one["name"] for one in (await host.ask("relay", "list"))["relays"]] == ["n11", "n12"]

        assert (await host.ask("relay", "remove", "n11"))["left"] == ["n12"]

        assert [one["name"] for one in (await host.ask("relay", "list"))["relays"]] == ["n12"]
        assert "is no relay" in await host.refusal("relay", "remove", "n11")
        assert "there is no node n13" in await host.refusal("relay", "add", "n13")


@in_a_loop
async def test_a_token_for_relays_is_listed_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        made = await host.ask("token", "--relay")
        other = await host.ask("token")

        listed = {token["key"]: token["relay"] for token in (await host.ask("token", "--list"))["tokens"]}

        assert (made["relay"], other["relay"]) == (True, False)
        assert (listed[made["key"]], listed[other["key"]]) == (True, False)
