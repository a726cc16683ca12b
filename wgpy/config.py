"""wg-quick configuration files: parse and write.

Takes what wg(8) and wg-quick(8) take: blanks within names and values of wg's own settings, empty hooks, a
comment in any encoding. Whatever is wrong raises `ConfigError`, which names file, line and remedy and repeats
no key. Invariant: parse(write(config)) == config.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from wgpy import config_values as values
from wgpy.address import HostPort, format_prefix, is_address
from wgpy.config_values import InterfaceAddress
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import WgpyError
from wgpy.contract.orders import AllowedIP
from wgpy.keys import PresharedKey, PrivateKey, PublicKey
from wgpy.model import AllowedIPChange, DeviceStatus, DeviceUpdate, PeerStatus, PeerUpdate, net_allowed_ips

MAX_FILE_SIZE: Final = 2**25

_T = TypeVar("_T")


class ConfigError(WgpyError):
    """A configuration file is wrong; the message is `FILE, line N: what is wrong and what to write`."""

    def __init__(self, source: str, line_number: int, why: str) -> None:
        super().__init__(f"{source}, line {line_number}: {why}" if line_number else f"{source}: {why}")
        self.source = source
        self.line_number = line_number
        self.why = why


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """One [Peer]. None where nothing is said."""

    public_key: PublicKey
    preshared_key: PresharedKey | None = None
    allowed_ips: tuple[AllowedIP, ...] = ()
    endpoint: HostPort | None = None
    persistent_keepalive: int | None = None  # seconds, 0 for off


@dataclass(frozen=True, slots=True)
class Config:
    """A whole file: the settings of [Interface], and the peers. None where nothing is said.

    table: "auto", "off", a number, or a name that `ip` knows; hooks are shell commands in which %i is the
    interface. Bytes of a hook that are not UTF-8 are surrogates (PEP 383).
    """

    private_key: PrivateKey | None = None
    listen_port: int | None = None
    fwmark: int | None = None  # 0 for off
    addresses: tuple[InterfaceAddress, ...] = ()
    dns: tuple[str, ...] = ()  # addresses of servers
    dns_search: tuple[str, ...] = ()
    mtu: int | None = None
    table: str | None = None
    pre_up: tuple[str, ...] = ()
    post_up: tuple[str, ...] = ()
    pre_down: tuple[str, ...] = ()
    post_down: tuple[str, ...] = ()
    save_config: bool = False
    peers: tuple[PeerConfig, ...] = ()


# -- what a file becomes ---------------------------------------------------------------------------


def to_update(config: Config, resolve: Callable[[HostPort], Endpoint]) -> DeviceUpdate:
    """The settings as one `set` that replaces all peers. resolve may raise, and is asked once per peer."""
    return DeviceUpdate(
        private_key=config.private_key,
        listen_port=config.listen_port,
        fwmark=config.fwmark,
        replace_peers=True,
        peers=tuple(
            PeerUpdate(
                peer.public_key,
                preshared_key=peer.preshared_key,
                endpoint=resolve(peer.endpoint) if peer.endpoint else None,
                persistent_keepalive=peer.persistent_keepalive,
                replace_allowed_ips=True,
                allowed_ips=tuple(map(AllowedIPChange, peer.allowed_ips)),
            )
            for peer in config.peers
        ),
    )


def to_reload(
    config: Config, status: DeviceStatus, fwmark: int, resolve: Callable[[HostPort], Endpoint]
) -> DeviceUpdate:
    """The settings as one `set` of an interface that is up: only peers that the file has not are removed.

    fwmark: 0 for off. resolve may raise, and is asked once per peer.
    """
    kept = {peer.public_key for peer in config.peers}
    gone = (peer.public_key for peer in status.peers if peer.public_key not in kept)
    return DeviceUpdate(
        private_key=_if_new(config.private_key, status.private_key),
        listen_port=_if_new(config.listen_port, status.listen_port),
        fwmark=_if_new(fwmark, status.fwmark),
        peers=(
            *(PeerUpdate(key, remove=True) for key in gone),
            *(
                replace(
                    peer,
                    preshared_key=peer.preshared_key or PresharedKey(bytes(32)),
                    persistent_keepalive=peer.persistent_keepalive or 0,
                )
                for peer in to_update(config, resolve).peers
            ),
        ),
    )


def _if_new(value: _T | None, present: _T | None) -> _T | None:
    return None if value == present else value


def with_status(config: Config, status: DeviceStatus) -> Config:
    """The same file with the running interface's keys and peers: what SaveConfig writes."""
    return replace(
        config,
        private_key=status.private_key,
        listen_port=status.listen_port or None,
        fwmark=status.fwmark or None,
        peers=tuple(map(_peer_config, status.peers)),
    )


def _peer_config(peer: PeerStatus) -> PeerConfig:
    endpoint = None
    if peer.endpoint:
        zone = f"%{peer.endpoint.scope_id}" if peer.endpoint.scope_id else ""
        endpoint = HostPort(peer.endpoint.address + zone, peer.endpoint.port)
    return PeerConfig(
        peer.public_key,
        peer.preshared_key or None,
        tuple(peer.allowed_ips),
        endpoint,
        peer.persistent_keepalive or None,
    )


def warnings(config: Config) -> list[str]:
    """What is allowed and most likely not meant, a sentence each."""
    said = []
    if config.private_key is None:
        said.append("the file has no PrivateKey, so no peer can be reached until one is set")
    elif any(peer.public_key == config.private_key.public_key() for peer in config.peers):
        said.append("one peer has this host's own key, and is ignored; want the public key of the other host")
    owners: dict[AllowedIP, PublicKey] = {}
    for peer in config.peers:
        for prefix in peer.allowed_ips:
            if prefix in owners:
                said.append(
                    f"{format_prefix(prefix)} is in the AllowedIPs of two peers; "
                    f"{peer.public_key} has it, and {owners[prefix]} does not"
                )
            owners[prefix] = peer.public_key
    return said


# -- parse -----------------------------------------------------------------------------------------


class _Setting(NamedTuple):
    """A key of the file. A setting that is a list grows with every line; of others the last line counts.

    is_command: shell text, which may hold bytes that are not UTF-8.
    """

    name: str
    field: str
    parse: Callable[[str], Any]
    is_list: bool = False
    is_command: bool = False


def _of_wg(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Read a setting that wg parses, which deletes all blanks first."""
    return lambda text: kind("".join(text.split()))


_INTERFACE_SETTINGS: Final = (
    _Setting("PrivateKey", "private_key", _of_wg(values.read_key(PrivateKey.from_base64))),
    _Setting("ListenPort", "listen_port", _of_wg(values.read_port)),
    _Setting("FwMark", "fwmark", _of_wg(values.read_fwmark)),
    _Setting("Address", "addresses", values.read_addresses, is_list=True),
    _Setting("DNS", "dns", values.read_dns, is_list=True),
    _Setting("MTU", "mtu", values.read_mtu),
    _Setting("Table", "table", values.read_table),
    _Setting("PreUp", "pre_up", values.read_command, is_list=True, is_command=True),
    _Setting("PostUp", "post_up", values.read_command, is_list=True, is_command=True),
    _Setting("PreDown", "pre_down", values.read_command, is_list=True, is_command=True),
    _Setting("PostDown", "post_down", values.read_command, is_list=True, is_command=True),
    _Setting("SaveConfig", "save_config", values.read_save_config),
)
_PEER_SETTINGS: Final = (
    _Setting("PublicKey", "public_key", _of_wg(values.read_key(PublicKey.from_base64))),
    _Setting("PresharedKey", "preshared_key", _of_wg(values.read_key(PresharedKey.from_base64))),
    _Setting("AllowedIPs", "allowed_ips", values.read_allowed_ips, is_list=True),
    _Setting("Endpoint", "endpoint", _of_wg(values.read_endpoint)),
    _Setting("PersistentKeepalive", "persistent_keepalive", _of_wg(values.read_keepalive)),
)
_SECTIONS: Final = {
    "[interface]": {setting.name.lower(): setting for setting in _INTERFACE_SETTINGS},
    "[peer]": {setting.name.lower(): setting for setting in _PEER_SETTINGS},
}


@dataclass(slots=True)
class _Section:
    kind: str
    line_number: int
    fields: dict[str, Any] = field(default_factory=dict)


def load(path: str | os.PathLike[str]) -> Config:
    """The configuration in a file. Raises ConfigError, also if the file cannot be read."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise ConfigError(str(path), 0, f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_SIZE:
        raise ConfigError(
            str(path), 0, f"is larger than {MAX_FILE_SIZE >> 20} MiB, and so no configuration file"
        )
    return parse(data.decode(errors="surrogateescape"), str(path))


def parse(text: str, source: str = "configuration") -> Config:
    """The configuration in a text. source: what an error calls it. Raises ConfigError."""
    sections: list[_Section] = []
    for line_number, line in _lines(text):
        try:
            if line.startswith("["):
                sections.append(_Section(_section_kind(line), line_number))
            else:
                _read_setting(sections, line)
        except ValueError as error:
            raise ConfigError(source, line_number, str(error)) from None
    return _config(sections, source)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """What is left of each line without comment and white space, if anything is."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if content := line.partition("#")[0].strip():
            yield number, content


def _section_kind(line: str) -> str:
    kind = _without_blanks(line)
    if kind not in _SECTIONS:
        raise ValueError("there is no such section; write [Interface] or [Peer]")
    return kind


def _without_blanks(name: str) -> str:
    return "".join(name.split()).lower()


def _need_utf8(text: str) -> None:
    """Raises ValueError for bytes that `load` could not decode."""
    if any("\udc80" <= character <= "\udcff" for character in text):
        raise ValueError("this is not UTF-8 text; save the file as UTF-8")


def _read_setting(sections: list[_Section], line: str) -> None:
    name, equals, value = (part.strip() for part in line.partition("="))
    _need_utf8(name)
    if not equals:
        raise ValueError("write `Name = value`, [Interface] or [Peer], or begin a comment with #")
    if not sections:
        raise ValueError("write [Interface] or [Peer] before the first setting")
    section = sections[-1]
    setting = _SECTIONS[section.kind].get(_without_blanks(name))
    if setting is None:
        raise ValueError(_unknown(name, section.kind))
    try:
        if not setting.is_command:
            _need_utf8(value)
        if "\0" in value:
            raise ValueError("this holds a NUL character; delete it")
        parsed = setting.parse(value)
    except ValueError as error:
        raise ValueError(f"{setting.name}: {error}") from None
    if setting.is_list:
        section.fields.setdefault(setting.field, []).extend(parsed)
    else:
        section.fields[setting.field] = parsed


def _unknown(name: str, kind: str) -> str:
    """What to say of a name that is none here. It is repeated only if it cannot be a key that slipped."""
    key = _without_blanks(name)
    for other, settings in _SECTIONS.items():
        if other != kind and key in settings:
            wanted = settings[key].name
            return f"{wanted} belongs below {_title(other)}, and this line is below {_title(kind)}; move it"
    shown = f"`{name}`" if re.fullmatch("[A-Za-z0-9_-]{1,24}", name) else "this"
    settings = _SECTIONS[kind]
    if close := get_close_matches(key, settings, 1):
        return f"{shown} is no setting; did you mean {settings[close[0]].name}?"
    known = ", ".join(setting.name for setting in settings.values())
    return f"{shown} is no setting of {_title(kind)}; these are: {known}"


def _title(kind: str) -> str:
    return f"[{kind[1:-1].title()}]"


def _config(sections: list[_Section], source: str) -> Config:
    fields: dict[str, Any] = {}
    peers: dict[PublicKey, PeerConfig] = {}
    for section in sections:
        if section.kind == "[peer]":
            if "public_key" not in section.fields:
                raise ConfigError(source, section.line_number, "this [Peer] has no PublicKey; add one")
            changes = section.fields.pop("allowed_ips", [])
            key = section.fields["public_key"]
            # A second section of one peer changes what it says, and replaces all allowed IPs.
            peers[key] = replace(
                peers.get(key, PeerConfig(key)), **section.fields, allowed_ips=tuple(net_allowed_ips(changes))
            )
        else:
            for name, value in section.fields.items():
                fields[name] = fields.get(name, []) + value if isinstance(value, list) else value
    if not any(section.kind == "[interface]" for section in sections):
        raise ConfigError(source, 1, "there is no [Interface] section; write one")
    names = fields.pop("dns", [])
    fields["dns"] = [name for name in names if is_address(name)]
    fields["dns_search"] = [name for name in names if not is_address(name)]
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Config(**{**fields, **lists}, peers=tuple(peers.values()))


# -- write -----------------------------------------------------------------------------------------


def write(config: Config) -> str:
    """The configuration as the text of a file, private key and all."""
    return _text(_interface_lines(config), config)


def wg_text(config: Config) -> str:
    """What wg(8) takes of the configuration: the text without wg-quick's settings."""
    return _text(_wg_lines(config), config)


def _text(interface: Iterator[str], config: Config) -> str:
    return "\n".join([*interface, *(line for peer in config.peers for line in _peer_lines(peer)), ""])


def _interface_lines(config: Config) -> Iterator[str]:
    yield "[Interface]"
    yield from (f"Address = {address}" for address in config.addresses)
    yield from (f"DNS = {name}" for name in (*config.dns, *config.dns_search))
    if config.mtu is not None:
        yield f"MTU = {config.mtu}"
    if config.table is not None:
        yield f"Table = {config.table}"
    if config.save_config:
        yield "SaveConfig = true"
    for name, commands in (
        ("PreUp", config.pre_up),
        ("PostUp", config.post_up),
        ("PreDown", config.pre_down),
        ("PostDown", config.post_down),
    ):
        yield from (f"{name} = {command}" for command in commands)
    yield from islice(_wg_lines(config), 1, None)


def _wg_lines(config: Config) -> Iterator[str]:
    yield "[Interface]"
    if config.listen_port is not None:
        yield f"ListenPort = {config.listen_port}"
    if config.fwmark is not None:
        yield f"FwMark = {config.fwmark:#x}" if config.fwmark else "FwMark = off"
    if config.private_key is not None:
        yield f"PrivateKey = {config.private_key.base64()}"


def _peer_lines(peer: PeerConfig) -> Iterator[str]:
    yield ""
    yield "[Peer]"
    yield f"PublicKey = {peer.public_key.base64()}"
    if peer.preshared_key is not None:
        yield f"PresharedKey = {peer.preshared_key.base64()}"
    if peer.allowed_ips:
        yield f"AllowedIPs = {', '.join(map(format_prefix, peer.allowed_ips))}"
    if peer.endpoint is not None:
        yield f"Endpoint = {peer.endpoint}"
    if peer.persistent_keepalive is not None:
        yield f"PersistentKeepalive = {peer.persistent_keepalive or 'off'}"
