"""One family of errors: whoever catches `WgpyError` has caught all that wgpy raises of its own."""

import importlib.util
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module

import pytest

import wgpy
from wgpy.contract.errors import WgpyError

_HAS_UPNP = importlib.util.find_spec("async_upnp_client") is not None  # which is optional


def test_every_error_of_wgpy_is_a_wgpy_error() -> None:
    errors = list(own_errors())

    assert len(errors) > 10
    assert [error for error in errors if not issubclass(error, WgpyError)] == []


def test_the_family_is_public() -> None:
    assert wgpy.WgpyError is WgpyError


def test_all_that_is_public_can_be_had_and_is_listed() -> None:
    assert [name for name in wgpy.__all__ if not hasattr(wgpy, name)] == []
    assert set(wgpy.__all__) <= set(dir(wgpy))


@pytest.mark.parametrize(
    "what",
    [
        "config.load",
        "config.parse",
        "keys.PrivateKey",
        "address.parse_prefix",
        "testing.Simulation",
        "uapi.UapiError",
        "uapi.aio.get",
        "uapi.get",
    ],
)
def test_a_module_of_a_public_name_needs_no_import_of_its_own(what: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import wgpy; wgpy.{what}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "read",
    [
        lambda: wgpy.PublicKey("nonsense"),
        lambda: wgpy.PublicKey(bytes(31)),
        lambda: wgpy.AllowedIP("nonsense"),
        lambda: wgpy.parse_prefix("nonsense"),
        lambda: wgpy.parse_endpoint("nonsense"),
        lambda: wgpy.parse_host_port("nonsense"),
        lambda: wgpy.config.parse("nonsense"),
    ],
)
def test_text_that_is_not_what_is_wanted_is_an_error_of_the_family(read: Callable[[], object]) -> None:
    with pytest.raises(WgpyError):
        read()


def test_an_import_loads_no_client_and_no_loop_before_it_is_used() -> None:
    late = {"asyncio", "wgpy.uapi.client", "wgpy.config"}
    program = f"import sys, wgpy.uapi; print({late} & {{*sys.modules}})"

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"


def own_errors() -> Iterator[type[BaseException]]:
    """The exception classes that a module of wgpy defines."""
    for module in pkgutil.walk_packages(wgpy.__path__, "wgpy."):
        if module.name == "wgpy._fastpath" or (module.name == "wgpy.host.upnp" and not _HAS_UPNP):
            continue
        for value in vars(import_module(module.name)).values():
            if (
                isinstance(value, type)
                and issubclass(value, BaseException)
                and value.__module__ == module.name
            ):
                yield value
