"""What a host needs to pass packets between a mesh and the networks behind it: made, repaired, taken back.

What is made is known by its name, and of settings of the kernel there is a note. So whoever knows table and
note takes all of it back, also after a crash.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from wgpy.contract.lazy_dataclass import dataclass

from .firewall.passage import Firewall, FirewallFailed, let_pass, tables_with
from .firewall.verdict import Flow
from .forwarding import forwarding_settings
from .masquerade import Masquerade, MasqueradeTables, name_of_ours, remove_tables
from .nftables import NftFailed
from .passages import OwnAddresses, Passage, strict_interfaces
from .settings import ChangedSettings

_LOOSE: Final = "2"  # of rp_filter

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HostChanges:
    """What a host is to have. opened: the passages for which settings and other firewalls are changed."""

    masquerade: Masquerade
    opened: Sequence[Passage]


class Outcome(NamedTuple):
    """is_repair: another had changed our tables; failures: sentences; tables: that have rules of ours.

    firewall: of the host, as it is then.
    """

    is_repair: bool
    failures: tuple[str, ...]
    tables: frozenset[str]
    firewall: Firewall


class Gateway:
    """Of one mesh on this host. Its methods run programs, so a coroutine calls them in a thread."""

    def __init__(self, table: int, note: Path) -> None:
        """table: number of the mesh's routing table; note: of changed settings."""
        self._table = table
        self._note = note
        self._tables = MasqueradeTables(table)
        self._settings = ChangedSettings(note)
        self._flows: list[Flow] = []
        self._firewall: Firewall | None = None  # that lets these pass, while nobody has changed it

    def apply(self, wanted: HostChanges, own: OwnAddresses, *, is_unread: bool = True) -> Outcome:
        """Make the host what it is to be, as far as it can be made.

        is_unread: whether others have changed tables of nft since the last call.
        """
        failures: list[str] = []
        name, flows = name_of_ours(self._table), [flow for one in wanted.opened for flow in one.flows()]
        _attempt(lambda: self._settings.apply(self._settings_of(wanted.opened, own)), failures)
        is_repair = _attempt(lambda: self._tables.apply(wanted.masquerade, is_unread=is_unread), failures)
        found = None if is_unread or flows != self._flows else self._firewall
        if found is None:
            found, self._flows = _attempt(lambda: let_pass(name, flows), failures), flows
            self._firewall = found if found and found.is_watched else None
        firewall = found or Firewall.read()
        return Outcome(bool(is_repair), tuple(failures), tables_with(name, firewall) | {name}, firewall)

    def undo(self) -> tuple[str, ...]:
        """Take all of it back; return what failed, each in a sentence."""
        failures: list[str] = []
        self._tables, self._firewall = MasqueradeTables(self._table), None
        _attempt(lambda: undo(self._table, self._note), failures)
        return tuple(failures)

    def _settings_of(self, opened: Sequence[Passage], own: OwnAddresses) -> Mapping[str, str]:
        """A filter that we made loose is strict no more, and stays so as long as packets come there."""
        interfaces = dict.fromkeys(name for passage in opened for name in passage.interfaces)
        versions = {passage.prefix.version for passage in opened}
        strict = [_rp_filter(name) for name in strict_interfaces(opened, own)]
        loose = [name for name in map(_rp_filter, own) if opened and name in self._settings.noted]
        return {**forwarding_settings(interfaces, versions), **dict.fromkeys([*strict, *loose], _LOOSE)}


def _attempt(change: Callable[[], _T], failures: list[str]) -> _T | None:
    try:
        return change()
    except (NftFailed, FirewallFailed) as error:
        failures.append(str(error))
    except OSError as error:
        failures.append(f"a setting of the kernel cannot be changed: {error}")
    return None


def undo(table: int, note: Path) -> None:
    """Take back what a `Gateway` made. Raises NftFailed, FirewallFailed, OSError."""
    let_pass(name_of_ours(table), [])
    remove_tables(table)
    ChangedSettings(note).undo()


def _rp_filter(interface: str) -> str:
    return f"ipv4/conf/{interface}/rp_filter"
