"""wg-quick configuration files: parse and write.

Takes what wg(8) and wg-quick(8) take. Whatever is wrong raises `ConfigError`, which names file, line and
remedy and repeats no key. Invariant: parse(write(config)) == config.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import Any, Final, NamedTuple

from wgpy.address import HostPort, format_prefix, is_address, parse_host_port, parse_prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import WgpyError
from wgpy.contract.orders import AllowedIP
from wgpy.keys import PresharedKey, PrivateKey, PublicKey
from wgpy.model import AllowedIPChange, DeviceStatus, DeviceUpdate, PeerStatus, PeerUpdate, net_allowed_ips
from wgpy.number import MAX_UINT32, parse_fwmark, parse_number, parse_port, parse_uint16

MAX_FILE_SIZE: Final = 2**25

InterfaceAddress = IPv4Interface | IPv6Interface


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

    table: "auto", "off", "main" or a number; hooks are shell commands in which %i is the interface.
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


# -- values ----------------------------------------------------------------------------------------
# Each reads the text after `=` and raises ValueError with what is wanted.


def _mtu(text: str) -> int:
    return parse_number(text, 68, 65535)


def _keepalive(text: str) -> int:
    try:
        return 0 if text.lower() == "off" else parse_uint16(text)
    except ValueError as error:
        raise ValueError(f"{error}, in seconds, or `off`") from None


def _fwmark(text: str) -> int:
    if text.lower() == "off":
        return 0
    if not text:
        raise ValueError("want a number, decimal or 0x hexadecimal, or `off`")
    return parse_fwmark(text)


def _table(text: str) -> str:
    lower = text.lower()
    if lower in ("auto", "off", "main"):
        return lower
    try:
        return str(parse_number(text, 1, MAX_UINT32))
    except ValueError:
        raise ValueError("want `auto`, `off`, `main` or the number of a routing table") from None


def _save_config(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("want `true` or `false`")
    return text.lower() == "true"


def _command(text: str) -> tuple[str]:
    if not text:
        raise ValueError("want a shell command, or leave the line out")
    return (text,)


def _items(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _addresses(text: str) -> tuple[InterfaceAddress, ...]:
    try:
        return tuple(map(ip_interface, _items(text)))
    except ValueError:
        raise ValueError("want addresses with prefix lengths: 10.0.0.1/24, fd00::1/64") from None


def _dns(text: str) -> tuple[str, ...]:
    for item in _items(text):
        is_domain = _DOMAIN.fullmatch(item) and not _DIGITS_AND_DOTS.fullmatch(item)
        if not is_domain and not is_address(item):
            raise ValueError("want addresses of name servers, and search domains, with commas between")
    return tuple(_items(text))


def _allowed_ips(text: str) -> tuple[AllowedIPChange, ...]:
    return tuple(map(_allowed_ip, _items(text)))


def _allowed_ip(text: str) -> AllowedIPChange:
    prefix = text[1:] if text.startswith(("+", "-")) else text
    if "/" not in prefix:
        prefix += "/128" if ":" in prefix else "/32"
    return AllowedIPChange(parse_prefix(prefix), text.startswith("-"))


_DIGITS_AND_DOTS: Final = re.compile(r"[0-9.]+")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9_~.][A-Za-z0-9_.-]*")


def _key(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise ValueError("want a key: 44 characters of base64, as `wgpy genkey` prints") from None

    return parse


# -- parse -----------------------------------------------------------------------------------------


class _Setting(NamedTuple):
    """A key of the file. A setting that is a list grows with every line; of others the last line counts."""

    name: str
    field: str
    parse: Callable[[str], Any]
    is_list: bool = False


_INTERFACE_SETTINGS: Final = (
    _Setting("PrivateKey", "private_key", _key(PrivateKey.from_base64)),
    _Setting("ListenPort", "listen_port", parse_port),
    _Setting("FwMark", "fwmark", _fwmark),
    _Setting("Address", "addresses", _addresses, is_list=True),
    _Setting("DNS", "dns", _dns, is_list=True),
    _Setting("MTU", "mtu", _mtu),
    _Setting("Table", "table", _table),
    _Setting("PreUp", "pre_up", _command, is_list=True),
    _Setting("PostUp", "post_up", _command, is_list=True),
    _Setting("PreDown", "pre_down", _command, is_list=True),
    _Setting("PostDown", "post_down", _command, is_list=True),
    _Setting("SaveConfig", "save_config", _save_config),
)
_PEER_SETTINGS: Final = (
    _Setting("PublicKey", "public_key", _key(PublicKey.from_base64)),
    _Setting("PresharedKey", "preshared_key", _key(PresharedKey.from_base64)),
    _Setting("AllowedIPs", "allowed_ips", _allowed_ips, is_list=True),
    _Setting("Endpoint", "endpoint", parse_host_port),
    _Setting("PersistentKeepalive", "persistent_keepalive", _keepalive),
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


def load(path: Path) -> Config:
    """The configuration in a file. Raises ConfigError, also if the file cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise ConfigError(str(path), 0, f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_SIZE:
        raise ConfigError(
            str(path), 0, f"is larger than {MAX_FILE_SIZE >> 20} MiB, and so no configuration file"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line_number = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(str(path), line_number, "this is not UTF-8 text; save the file as UTF-8") from None
    return parse(text, str(path))


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
    if line.lower() not in _SECTIONS:
        raise ValueError("there is no such section; write [Interface] or [Peer]")
    return line.lower()


def _read_setting(sections: list[_Section], line: str) -> None:
    name, equals, value = (part.strip() for part in line.partition("="))
    if not equals:
        raise ValueError("write `Name = value`, [Interface] or [Peer], or begin a comment with #")
    if not sections:
        raise ValueError("write [Interface] or [Peer] before the first setting")
    section = sections[-1]
    setting = _SECTIONS[section.kind].get(name.lower())
    if setting is None:
        raise ValueError(_unknown(name, section.kind))
    try:
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
    for other, settings in _SECTIONS.items():
        if other != kind and name.lower() in settings:
            wanted = settings[name.lower()].name
            return f"{wanted} belongs below {_title(other)}, and this line is below {_title(kind)}; move it"
    shown = f"`{name}`" if re.fullmatch("[A-Za-z0-9_-]{1,24}", name) else "this"
    settings = _SECTIONS[kind]
    if close := get_close_matches(name.lower(), settings, 1):
        return f"{shown} is no setting; did you mean {settings[close[0]].name}?"
    known = ", ".join(setting.name for setting in settings.values())
    return f"{shown} is no setting of {_title(kind)}; these are: {known}"


def _title(kind: str) -> str:
    return f"[{kind[1:-1].title()}]"


def _config(sections: list[_Section], source: str) -> Config:
    fields: dict[str, Any] = {}
    peers = []
    for section in sections:
        if section.kind == "[peer]":
            if "public_key" not in section.fields:
                raise ConfigError(source, section.line_number, "this [Peer] has no PublicKey; add one")
            changes = section.fields.pop("allowed_ips", [])
            peers.append(PeerConfig(**section.fields, allowed_ips=tuple(net_allowed_ips(changes))))
        else:
            for name, value in section.fields.items():
                fields[name] = fields.get(name, []) + value if isinstance(value, list) else value
    if not any(section.kind == "[interface]" for section in sections):
        raise ConfigError(source, 1, "there is no [Interface] section; write one")
    names = fields.pop("dns", [])
    fields["dns"] = [name for name in names if is_address(name)]
    fields["dns_search"] = [name for name in names if not is_address(name)]
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Config(**{**fields, **lists}, peers=tuple(peers))


# -- write -----------------------------------------------------------------------------------------


def write(config: Config) -> str:
    """The configuration as the text of a file, private key and all."""
    return "\n".join(
        [*_interface_lines(config), *(line for peer in config.peers for line in _peer_lines(peer)), ""]
    )


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
