"""Settings of the kernel's network that are changed for a while, and changed back. Linux ip-sysctl.rst

What a setting was is noted in a file before it is changed, so that a killed process does not lose it. The
file is in /run: a reboot ends both. A setting that somebody has changed since stays, also if by the setting
for all interfaces.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

SYSCTLS: Final = Path("/proc/sys/net")


class ChangedSettings:
    """By their paths below /proc/sys/net, as `ipv4/conf/eth0/forwarding`."""

    def __init__(self, note: Path, sysctls: Path = SYSCTLS) -> None:
        """note: the file; whoever has the same one changes and restores the same settings."""
        self._note = note
        self._sysctls = sysctls

    @property
    def noted(self) -> Collection[str]:
        """Those that are changed now."""
        return self._read_note().keys()

    def undo(self) -> None:
        """Give all settings what they were before, and delete the file. Raises OSError."""
        self.apply({})
        self._note.unlink(missing_ok=True)

    def apply(self, wanted: Mapping[str, str]) -> None:
        """Give settings these values, in this order, and those not named here what they were before.

        One that is not there is left out. The file is there from then on. Raises OSError for one that cannot
        be changed.
        """
        noted = self._read_note()
        for name in [name for name in reversed(noted) if name not in wanted]:
            self._restore(name, *noted.pop(name))
        new = {name: (before, wanted[name]) for name, before in self._differing(wanted)}
        noted = {**new, **noted}
        self._write_note({name: noted[name] for name in (*wanted, *noted) if name in noted})
        for name in new:
            (self._sysctls / name).write_text(wanted[name])

    def _differing(self, wanted: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Give each setting that is to be changed, and what it is."""
        for name, value in wanted.items():
            found = self._read(name)
            if found not in ("", value):
                yield name, found

    def _restore(self, name: str, before: str, after: str) -> None:
        if self._read(name) == after != self._read(_for_all(name)):
            with suppress(FileNotFoundError):  # an interface that went
                (self._sysctls / name).write_text(before)

    def _read(self, name: str) -> str:
        return read_setting(name, self._sysctls)

    def _read_note(self) -> dict[str, tuple[str, str]]:
        try:
            return {
                name: (before, after) for name, (before, after) in json.loads(self._note.read_bytes()).items()
            }
        except (OSError, ValueError, AttributeError):  # there is none, or it was cut short
            return {}

    def _write_note(self, noted: Mapping[str, tuple[str, str]]) -> None:
        """Raises OSError."""
        self._note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._note.with_name(f".{self._note.name}.new")
        new.write_text(json.dumps(noted))
        new.replace(self._note)


def read_setting(name: str, sysctls: Path = SYSCTLS) -> str:
    """Return "" for one that is not there."""
    try:
        return (sysctls / name).read_text().strip()
    except OSError:
        return ""


def _for_all(name: str) -> str:
    """Return the setting that sets this one for all interfaces, "" for that one itself."""
    family, conf, interface, leaf = name.split("/")
    return "" if interface == "all" else f"{family}/{conf}/all/{leaf}"
