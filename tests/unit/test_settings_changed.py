"""Settings of the kernel's network are changed, and what they were comes back."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from wgpy.host.forwarding import forwarding_settings, forwards
from wgpy.host.settings import ChangedSettings

LAN = "ipv4/conf/lan/forwarding"
MESH = "ipv4/conf/mesh0/forwarding"
ALL = "ipv4/conf/all/forwarding"
ALL6 = "ipv6/conf/all/forwarding"


@pytest.fixture
def sysctls(tmp_path: Path) -> Path:
    """A folder like /proc/sys/net, of a host that forwards nothing."""
    off = dict.fromkeys((LAN, MESH, ALL, ALL6), "0")
    accept = {
        f"ipv6/conf/{name}/accept_ra": value for name, value in (("all", "1"), ("lan", "1"), ("wan", "0"))
    }
    return write(tmp_path / "net", {**off, **accept})


def write(folder: Path, settings: Mapping[str, str]) -> Path:
    for name, value in settings.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{value}\n")
    return folder


def read(folder: Path, *names: str) -> list[str]:
    return [(folder / name).read_text().strip() for name in names]


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "run" / "note"


def test_a_setting_is_what_it_was_when_it_is_wanted_no_more(sysctls: Path, note: Path) -> None:
    settings = ChangedSettings(note, sysctls)
    settings.apply({LAN: "1", MESH: "1"})
    assert read(sysctls, LAN, MESH) == ["1", "1"]

    settings.apply({MESH: "1"})
    assert read(sysctls, LAN, MESH) == ["0", "1"]
    settings.undo()

    assert read(sysctls, LAN, MESH) == ["0", "0"]
    assert not note.exists()


def test_another_process_takes_back_what_a_killed_one_changed(sysctls: Path, note: Path) -> None:
    ChangedSettings(note, sysctls).apply({LAN: "1"})
    ChangedSettings(note, sysctls).apply({LAN: "1"})

    ChangedSettings(note, sysctls).apply({})

    assert read(sysctls, LAN) == ["0"]


def test_a_setting_that_was_right_stays(sysctls: Path, note: Path) -> None:
    write(sysctls, {LAN: "1"})
    settings = ChangedSettings(note, sysctls)
    settings.apply({LAN: "1"})

    settings.apply({})

    assert read(sysctls, LAN) == ["1"]


def test_a_setting_that_another_has_changed_since_is_made_again_and_taken_back(
    sysctls: Path, note: Path
) -> None:
    settings = ChangedSettings(note, sysctls)
    settings.apply({LAN: "1"})
    write(sysctls, {LAN: "0"})

    settings.apply({LAN: "1"})
    assert read(sysctls, LAN) == ["1"]
    settings.apply({})

    assert read(sysctls, LAN) == ["0"]


def test_forwarding_that_another_has_turned_on_for_all_since_stays(sysctls: Path, note: Path) -> None:
    settings = ChangedSettings(note, sysctls)
    settings.apply({LAN: "1"})
    write(sysctls, {ALL: "1"})

    settings.apply({})

    assert read(sysctls, LAN) == ["1"]


def test_an_interface_that_is_gone_is_left_out(sysctls: Path, note: Path) -> None:
    settings = ChangedSettings(note, sysctls)
    settings.apply({LAN: "1", "ipv4/conf/gone/forwarding": "1"})
    (sysctls / LAN).unlink()

    settings.undo()

    assert not note.exists()


def test_a_note_that_was_cut_short_is_none(sysctls: Path, note: Path) -> None:
    note.parent.mkdir()
    note.write_text('{"ipv4/conf')

    ChangedSettings(note, sysctls).apply({LAN: "1"})

    assert read(sysctls, LAN) == ["1"]


def test_ipv4_is_forwarded_by_the_two_interfaces_alone(sysctls: Path) -> None:
    assert not forwards(("mesh0", "lan"), 4, sysctls)

    wanted = forwarding_settings(("mesh0", "lan"), {4}, sysctls)

    assert wanted == {MESH: "1", LAN: "1"}
    assert forwards(("mesh0", "lan"), 4, write(sysctls, wanted))


def test_ipv6_is_forwarded_by_the_two_interfaces_where_the_kernel_can(sysctls: Path) -> None:
    forced = [f"ipv6/conf/{name}/force_forwarding" for name in ("mesh0", "lan")]
    write(sysctls, dict.fromkeys(forced, "0"))
    assert not forwards(("mesh0", "lan"), 6, sysctls)

    wanted = forwarding_settings(("mesh0", "lan"), {6}, sysctls)

    assert wanted == dict.fromkeys(forced, "1")
    assert forwards(("mesh0", "lan"), 6, write(sysctls, wanted))
    assert forwarding_settings(("mesh0", "lan"), {6}, sysctls) == wanted


def test_a_host_that_forwards_ipv6_keeps_what_routers_advertise(sysctls: Path, note: Path) -> None:
    wanted = forwarding_settings(("mesh0", "lan"), {6}, sysctls)

    assert list(wanted.items()) == [("ipv6/conf/lan/accept_ra", "2"), (ALL6, "1")]
    settings = ChangedSettings(note, sysctls)
    settings.apply(wanted)
    assert forwarding_settings(("mesh0", "lan"), {6}, sysctls) == wanted
    settings.apply({})
    assert read(sysctls, "ipv6/conf/lan/accept_ra", ALL6) == ["1", "0"]


def test_what_routers_advertise_is_not_asked_for_where_another_has_it_off(sysctls: Path) -> None:
    write(sysctls, {ALL6: "1"})

    assert forwarding_settings(("mesh0", "lan"), {6}, sysctls) == {ALL6: "1"}
