"""`wgmesh` on the command line: what is done to a coordinator's folder, and what it says."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import checked
from tests.mesh.coordinator import ALICE, Site, founded, in_a_loop, kinds
from tests.mesh.network import key_of
from wgmesh.main import main
from wgmesh.settings import DATABASE, lock


@in_a_loop
async def test_a_backup_is_made_while_it_serves_and_restored_when_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site.create(tmp_path / "prod")
    folder, file = str(site.folder), str(tmp_path / "file")
    refused = f"wgmesh: wgmesh serves {folder} already: stop it first\n"
    async with site.serve():
        with lock(site.folder):
            await site.found(ALICE)
            assert await asyncio.to_thread(main, ["backup", folder, file]) == 0
            assert f"{file} holds the records and the coordinator's key" in capsys.readouterr().out
            assert await asyncio.to_thread(main, ["restore", folder, file]) == 1
            assert capsys.readouterr().err == refused
            assert await asyncio.to_thread(main, ["serve", folder]) == 1
            assert capsys.readouterr().err == refused

    assert await asyncio.to_thread(main, ["restore", folder, file]) == 0

    assert f"{site.folder / DATABASE}.before-" in capsys.readouterr().out
    async with site.serve(), site.follow(ALICE) as alice:
        assert kinds(await alice.received()) == ["n11", "prod", "token"]


@in_a_loop
async def test_the_audit_log_is_read_by_people_and_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with founded(tmp_path, ALICE):
        assert await asyncio.to_thread(main, ["audit", str(tmp_path) + "/"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert await asyncio.to_thread(main, ["audit", str(tmp_path) + "/", "--json"]) == 0
        entries = checked(("wgmesh", "audit"), capsys.readouterr().out)["entries"]

    assert entries[0]["what"] == "network prod"
    assert set(entries[0]) == {"time", "who", "what", "from"}
    assert len(lines) == len(entries) == 3
    assert lines[0].endswith("Z  127.0.0.1  network key: network prod")


def test_a_folder_is_made_by_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "prod"
    create = ["create", str(folder), str(key_of(1).verify_key()), "--public", "vpn.example.com"]

    assert main(create) == 0

    assert json.loads(capsys.readouterr().out)["url"] == "https://vpn.example.com"
    assert json.loads((folder / "settings.json").read_text())["listen"] == "[::]:51820"
    assert main(create) == 1
    assert "is a coordinator's folder already" in capsys.readouterr().err
    assert main([*create, "--certificate", "x"]) == 1
    assert "give both" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["serve"], ["audit"]])
def test_what_is_no_folder_of_a_coordinator_is_said_to_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main([*command, str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"wgmesh: {tmp_path}/settings.json is not there\n"


def test_nothing_is_backed_up_where_nothing_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site.create(tmp_path / "prod")

    assert main(["backup", str(site.folder), str(tmp_path / "file")]) == 1
    assert "records.sqlite is not there" in capsys.readouterr().err
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("found", "state"), [("None", "not installed"), ("types.ModuleType('sqlalchemy')", "too old")]
)
def test_a_host_that_lacks_what_a_coordinator_needs_is_told_what_to_install(found: str, state: str) -> None:
    library = f"sys.modules['sqlalchemy'] = {found}"
    program = f"import sys, types; {library}; from wgmesh.start import main; sys.exit(main())"

    done = subprocess.run([sys.executable, "-c", program, "serve", "lab"], capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr.startswith(
        f"wgmesh: sqlalchemy is {state} here: pip install 'wgpy[coordinator]', or apt "
    )
