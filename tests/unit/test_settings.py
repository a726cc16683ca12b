"""How the environment chooses the way packets are moved."""

import pytest

from wgpy.datapath import native
from wgpy.driver.settings import Offload, Settings, read_settings
from wgpy.driver.traffic import tun_offloads
from wgpy.host.tun import TunOffload

needs_native = pytest.mark.skipif(not native.available(), reason="the C data path is not built")


def test_by_default_packets_pass_through_c_where_it_was_built_with_all_offloads() -> None:
    assert read_settings({}) == Settings(native.available(), frozenset(Offload), small=False, workers=1)


def test_threads_go_before_others_unless_something_else_is_said() -> None:
    assert read_settings({}).nice < 0
    assert [read_settings({"WGPY_NICE": text}).nice for text in ("0", "-20", "19")] == [0, -20, 19]


@pytest.mark.parametrize("text", ["-21", "20", "high", "1.5", "--1"])
def test_what_is_no_priority_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="WGPY_NICE is .*, want a number from -20"):
        read_settings({"WGPY_NICE": text})


def test_the_portable_data_path_can_be_chosen() -> None:
    assert not read_settings({"WGPY_DATAPATH": "portable"}).native


@needs_native
def test_the_native_data_path_can_be_insisted_on() -> None:
    assert read_settings({"WGPY_DATAPATH": "native"}).native


@pytest.mark.skipif(native.available(), reason="the C data path is built")
def test_to_insist_on_what_is_not_built_is_an_error() -> None:
    with pytest.raises(ValueError, match="WGPY_DATAPATH=portable"):
        read_settings({"WGPY_DATAPATH": "native"})


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("", set(Offload)),
        ("all", set(Offload)),
        ("none", set()),
        ("gso", {Offload.GSO}),
        ("gso, gro", {Offload.GSO, Offload.GRO}),
        ("checksum", {Offload.CHECKSUM}),
    ],
)
def test_offloads_are_chosen_by_name(choice: str, expected: set[Offload]) -> None:
    assert read_settings({"WGPY_OFFLOAD": choice}).offloads == expected


@pytest.mark.parametrize("superpackets", ["tso", "uso", "udp-tunnel"])
def test_superpackets_need_partial_checksums(superpackets: str) -> None:
    chosen = read_settings({"WGPY_OFFLOAD": superpackets}).offloads

    assert chosen == {Offload.CHECKSUM, Offload(superpackets)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WGPY_DATAPATH", "fast"),
        ("WGPY_OFFLOAD", "tso,"),
        ("WGPY_OFFLOAD", "TSO"),
        ("WGPY_OFFLOAD", "none,gso"),
        ("WGPY_MEMORY", "large"),
        ("WGPY_WORKERS", "0"),
        ("WGPY_WORKERS", "17"),
        ("WGPY_WORKERS", "1600"),
        ("WGPY_WORKERS", "-1"),
        ("WGPY_WORKERS", "two"),
        ("WGPY_WORKERS", "²"),
    ],
)
def test_what_makes_no_sense_is_named_with_what_would(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is `{value}`, want "):
        read_settings({name: value})


def test_there_is_one_queue_unless_more_workers_are_asked_for_and_made_of_c() -> None:
    assert Settings(native=True).queues() == 1
    assert Settings(native=True, workers=3).queues() == 3
    assert Settings(native=False, workers=3).queues() == 1


def test_small_memory_and_workers_are_chosen() -> None:
    settings = read_settings({"WGPY_MEMORY": "small", "WGPY_WORKERS": "16"})

    assert settings.small
    assert settings.workers == 16


@pytest.mark.parametrize(
    ("offloads", "expected"),
    [
        (set(Offload), TunOffload.CHECKSUM | TunOffload.TSO | TunOffload.USO | TunOffload.UDP_TUNNEL),
        ({Offload.CHECKSUM, Offload.USO}, TunOffload.CHECKSUM | TunOffload.USO),
        ({Offload.GSO, Offload.GRO}, TunOffload.NONE),
    ],
)
def test_of_the_tun_is_asked_what_concerns_it(offloads: set[Offload], expected: TunOffload) -> None:
    assert tun_offloads(Settings(native=True, offloads=frozenset(offloads))) == expected


def test_in_python_nothing_is_asked_of_the_tun() -> None:
    assert tun_offloads(Settings(native=False)) == TunOffload.NONE
