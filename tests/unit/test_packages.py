"""What `./run package` makes beside wheels: man pages, the Debian package, the check of an installation."""

import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "daemon/deploy/packages"
pytestmark = pytest.mark.skipif(not PACKAGES.exists(), reason="the clone is not there")
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="there is no dpkg-deb here")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    pytest.importorskip("sqlalchemy", reason="the coordinator is not installed here")
    folder = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, PACKAGES / "manpages.py", folder], check=True)
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_there_is_a_page_for_each_program_and_for_the_mesh(pages: dict[str, str]) -> None:
    assert {*pages} == {"wgpy.1", "wgpy-mesh.1", "wgpyd.8", "wgmesh.8"}
    for name, text in pages.items():
        program, _, section = name.rpartition(".")
        assert text.startswith(f".TH {program.upper()} {section} ")
        assert f"\n{program} \\- " in text


@pytest.mark.parametrize(
    ("page", "command", "option"),
    [
        ("wgpy.1", "wgpy proxy", "--socks5 ADDRESS:PORT"),
        ("wgpy.1", "wgpy genkey", "umask 077; wgpy genkey > private.key"),
        ("wgpy-mesh.1", "wgpy mesh client add", "--network NAME"),
        ("wgmesh.8", "wgmesh serve", "--metrics ADDRESS:PORT"),
    ],
)
def test_a_page_has_each_command_with_what_its_help_says(
    pages: dict[str, str], page: str, command: str, option: str
) -> None:
    text = pages[page].replace("\\-", "-").replace("\\&", "")

    described = text.partition(f'.SS "{command}"\n')[2].partition("\n.SS ")[0]

    assert f"{command} [-h]" in described
    assert option in described


def test_a_page_has_every_option_and_variable_of_the_daemon(pages: dict[str, str]) -> None:
    program = Path(sys.executable).with_name("wgpyd")
    said = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
    items = re.findall(r"^  (--?[a-z]{2,}\S*|[A-Z][A-Z_]+)", said.stdout, re.MULTILINE)

    text = pages["wgpyd.8"].replace("\\-", "-")

    assert len(items) > 15
    assert [item for item in items if f".B {item}" not in text] == []


def test_no_line_of_a_page_is_taken_for_a_request_by_chance(pages: dict[str, str]) -> None:
    known = {".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".nf", ".fi"}
    requests = {
        line.split()[0] for text in pages.values() for line in text.splitlines() if line[:1] in {".", "'"}
    }

    assert requests <= known


@needs_dpkg
def test_a_debian_package_has_programs_modules_units_and_man_pages(
    pages: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    man = tmp_path / "man"
    man.mkdir()
    for name, text in pages.items():
        (man / name).write_text(text)
    wheel = tmp_path / "wgpy-7.0-cp311-abi3-manylinux_2_17_aarch64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("wgpyd/__init__.py", "")
        archive.writestr("wgpy/_fastpath.abi3.so", b"\0GLIBC_2.9\0GLIBC_2.17\0")
        archive.writestr("wgpy-7.0.dist-info/METADATA", "Name: wgpy\nAuthor-email: One <one@example.com>\n")
        archive.writestr(
            "wgpy-7.0.dist-info/entry_points.txt", "[console_scripts]\nwgmesh = wgmesh.start:main\n"
        )
    monkeypatch.syspath_prepend(PACKAGES)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    build = runpy.run_path(str(PACKAGES / "debian.py"))["build"]

    package = build(wheel, man, tmp_path)

    assert package.name == "wgpy_7.0_arm64.deb"
    listed = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in listed.splitlines()} == {"root/root"}
    for file in (
        "usr/bin/wgmesh",
        "usr/lib/python3/dist-packages/wgpyd/__init__.py",
        "usr/lib/systemd/system/wgpy@.service",
        "usr/share/man/man1/wgpy-mesh.1.gz",
        "usr/share/man/man8/wgpyd.8.gz",
        "usr/share/doc/wgpy/copyright",
    ):
        assert f" ./{file}\n" in listed
    control = subprocess.run(["dpkg-deb", "-f", package], capture_output=True, text=True, check=True).stdout
    assert "Architecture: arm64\n" in control
    assert "Maintainer: One <one@example.com>\n" in control
    assert "Depends: libc6 (>= 2.17), " in control
    assert "python3-cryptography, " in control
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["man", wheel.name, package.name])


def test_a_platform_for_which_there_is_no_wheel_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="the coordinator is not installed here")
    folder = tmp_path / "dist"

    done = subprocess.run(
        [sys.executable, PACKAGES / "build.py", folder, "any", "manylinux_2_17_x86"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.startswith("there is no wheel for manylinux_2_17_x86, but for manylinux_2_17_x86_64, ")
    assert not folder.exists()


def test_the_check_of_an_installation_sends_a_packet(capfd: pytest.CaptureFixture[str]) -> None:
    program = Path(sys.executable).with_name("wgpy")
    if not program.exists():
        pytest.skip("wgpy is not installed beside this Python")

    subprocess.run([sys.executable, PACKAGES / "selfcheck.py", "portable"], check=True, timeout=100)

    assert "portable: a packet arrived\n" in capfd.readouterr().out
