"""Whether a host forwards between interfaces, and the settings by which it does. Linux ip-sysctl.rst

IPv4 is forwarded if the interface says so by which a packet comes in. IPv6 is if the host says so or, on
newer kernels, the interface; where the host does, only interfaces whose accept_ra is 2 keep what routers
advertise.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from .settings import SYSCTLS, read_setting

_ON: Final = "1"
_ALWAYS: Final = "2"  # of accept_ra: also while the host forwards
_ALL6: Final = "ipv6/conf/all/forwarding"


def forwards(interfaces: Collection[str], version: int, sysctls: Path = SYSCTLS) -> bool:
    """Return whether the host forwards what comes by each of these interfaces."""
    if version == 4:
        return all(read_setting(_forwarding(name), sysctls) == _ON for name in interfaces)
    return read_setting(_ALL6, sysctls) == _ON or all(
        read_setting(_force(name), sysctls) == _ON for name in interfaces
    )


def forwarding_settings(
    interfaces: Collection[str], versions: Collection[int], sysctls: Path = SYSCTLS
) -> Mapping[str, str]:
    """Return the settings with which it forwards between these interfaces, in the order to make them in."""
    settings = {}
    if 4 in versions:
        settings.update(dict.fromkeys(map(_forwarding, interfaces), _ON))
    if 6 in versions:
        settings.update(_settings6(interfaces, sysctls))
    return settings


def _settings6(interfaces: Collection[str], sysctls: Path) -> Iterator[tuple[str, str]]:
    """Change nothing where it forwards already: what was noted when we changed it stays so."""
    forced = [_force(name) for name in interfaces]
    found = {read_setting(name, sysctls) for name in forced}
    is_on = read_setting(_ALL6, sysctls) == _ON
    if found == {_ON} or (not is_on and "" not in found):
        yield from ((name, _ON) for name in forced)
        return
    yield from ((name, _ALWAYS) for name in _accepting(sysctls, {_ALWAYS} if is_on else {_ON, _ALWAYS}))
    yield _ALL6, _ON


def _accepting(sysctls: Path, values: Collection[str]) -> Iterator[str]:
    """Give the settings by which interfaces accept router advertisements."""
    for folder in sorted((sysctls / "ipv6/conf").glob("*")):
        name = f"ipv6/conf/{folder.name}/accept_ra"
        if folder.name != "all" and read_setting(name, sysctls) in values:
            yield name


def _forwarding(interface: str) -> str:
    return f"ipv4/conf/{interface}/forwarding"


def _force(interface: str) -> str:
    return f"ipv6/conf/{interface}/force_forwarding"
