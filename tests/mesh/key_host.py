"""A host that has a network's key and is no node: the commands of an administrator, run in this process."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.documents import checked
from tests.mesh.coordinator import Site
from wgpy.cli.main import main
from wgpy.node.files import NetworkKeyFile


def copy_key(site: Site, folder: Path) -> Path:
    """The network's key on another host."""
    folder.mkdir()
    file = NetworkKeyFile(site.administrator.key, site.address.url, site.address.key_hash, 0, 0)
    file.save(folder / "network.key")
    return folder / "network.key"


@dataclass(slots=True)
class KeyHost:
    """site: the coordinator's; key: the file."""

    site: Site
    key: Path
    capsys: pytest.CaptureFixture[str]

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run `wgpy mesh …`; return the exit status, and what is printed to both."""
        self.capsys.readouterr()
        status = await asyncio.to_thread(main, ["mesh", *arguments, "--key", str(self.key)])
        return (status, *self.capsys.readouterr())

    async def ask(self, *arguments: str) -> Any:
        status, out, error = await self.run(*arguments, "--json")
        assert status == 0, error
        return checked(("wgpy", "mesh", *arguments), out)

    async def refusal(self, *arguments: str, status: int = 1) -> str:
        """Run `wgpy mesh …`, which is to fail, and return its sentence. status: of the exit."""
        found, out, error = await self.run(*arguments)
        assert (found, out) == (status, "")
        assert error.count("\n") == 1, error
        return error.removeprefix("wgpy: ").rstrip()
