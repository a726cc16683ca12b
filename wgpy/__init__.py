"""WireGuard in Python: keys, configuration files, a sans-IO device, and tunnels on ordinary sockets.

Whatever wgpy raises of its own is a `WgpyError`. The public names are loaded when they are first used, so
`import wgpy` costs nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wgpy import address as address
    from wgpy import config as config
    from wgpy import keys as keys
    from wgpy import model as model
    from wgpy import testing as testing
    from wgpy import uapi as uapi
    from wgpy.address import HostPort as HostPort
    from wgpy.address import format_prefix as format_prefix
    from wgpy.address import parse_endpoint as parse_endpoint
    from wgpy.address import parse_host_port as parse_host_port
    from wgpy.address import parse_prefix as parse_prefix
    from wgpy.config import Config as Config
    from wgpy.config import ConfigError as ConfigError
    from wgpy.config import PeerConfig as PeerConfig
    from wgpy.contract.drops import DropReason as DropReason
    from wgpy.contract.endpoint import Endpoint as Endpoint
    from wgpy.contract.errors import InputError as InputError
    from wgpy.contract.errors import StateError as StateError
    from wgpy.contract.errors import WgpyError as WgpyError
    from wgpy.contract.events import EndpointChanged as EndpointChanged
    from wgpy.contract.orders import AllowedIP as AllowedIP
    from wgpy.datapath import Datagram as Datagram
    from wgpy.datapath.portable import PortableDataPath as PortableDataPath
    from wgpy.device import Device as Device
    from wgpy.device import DeviceEvent as DeviceEvent
    from wgpy.device_update import apply_update as apply_update
    from wgpy.device_update import check_update as check_update
    from wgpy.driver.interface import Interface as Interface
    from wgpy.driver.settings import Settings as Settings
    from wgpy.engine.actions import HandshakeCompleted as HandshakeCompleted
    from wgpy.engine.actions import PeerUnreachable as PeerUnreachable
    from wgpy.engine.engine import Engine as Engine
    from wgpy.host.bootclock import boottime as boottime
    from wgpy.host.tun import PacketDevice as PacketDevice
    from wgpy.host.tun import PacketSocket as PacketSocket
    from wgpy.host.tun import Tun as Tun
    from wgpy.keys import PresharedKey as PresharedKey
    from wgpy.keys import PrivateKey as PrivateKey
    from wgpy.keys import PublicKey as PublicKey
    from wgpy.model import AllowedIPChange as AllowedIPChange
    from wgpy.model import DeviceStatus as DeviceStatus
    from wgpy.model import DeviceUpdate as DeviceUpdate
    from wgpy.model import PeerStatus as PeerStatus
    from wgpy.model import PeerUpdate as PeerUpdate
    from wgpy.sansio import PortableDevice as PortableDevice
    from wgpy.sansio import open_device as open_device
    from wgpy.transport.udp import adopt_udp as adopt_udp
    from wgpy.transport.udp import open_udp as open_udp
    from wgpy.tunnel.asynchronous import AsyncTunnel as AsyncTunnel
    from wgpy.tunnel.asynchronous import TunnelEvent as TunnelEvent
    from wgpy.tunnel.blocking import BlockingTunnel as BlockingTunnel
    from wgpy.tunnel.errors import TunnelError as TunnelError
    from wgpy.tunnel.tunnel import Tunnel as Tunnel
    from wgpy.uapi import UapiError as UapiError
    from wgpy.uapi.client import InterfaceError as InterfaceError

    __version__: str

_NAMES = {
    "wgpy.address": (
        "HostPort",
        "format_prefix",
        "parse_endpoint",
        "parse_host_port",
        "parse_prefix",
    ),
    "wgpy.config": (
        "Config",
        "ConfigError",
        "PeerConfig",
    ),
    "wgpy.device_update": (
        "apply_update",
        "check_update",
    ),
    "wgpy.contract.drops": ("DropReason",),
    "wgpy.contract.endpoint": ("Endpoint",),
    "wgpy.contract.errors": (
        "InputError",
        "StateError",
        "WgpyError",
    ),
    "wgpy.contract.events": ("EndpointChanged",),
    "wgpy.contract.orders": ("AllowedIP",),
    "wgpy.datapath": ("Datagram",),
    "wgpy.datapath.portable": ("PortableDataPath",),
    "wgpy.device": (
        "Device",
        "DeviceEvent",
    ),
    "wgpy.driver.interface": ("Interface",),
    "wgpy.driver.settings": ("Settings",),
    "wgpy.engine.actions": (
        "HandshakeCompleted",
        "PeerUnreachable",
    ),
    "wgpy.engine.engine": ("Engine",),
    "wgpy.host.bootclock": ("boottime",),
    "wgpy.host.tun": (
        "PacketDevice",
        "PacketSocket",
        "Tun",
    ),
    "wgpy.keys": (
        "PresharedKey",
        "PrivateKey",
        "PublicKey",
    ),
    "wgpy.model": (
        "AllowedIPChange",
        "DeviceStatus",
        "DeviceUpdate",
        "PeerStatus",
        "PeerUpdate",
    ),
    "wgpy.sansio": (
        "PortableDevice",
        "open_device",
    ),
    "wgpy.transport.udp": (
        "adopt_udp",
        "open_udp",
    ),
    "wgpy.tunnel.asynchronous": (
        "AsyncTunnel",
        "TunnelEvent",
    ),
    "wgpy.tunnel.blocking": ("BlockingTunnel",),
    "wgpy.tunnel.errors": ("TunnelError",),
    "wgpy.tunnel.tunnel": ("Tunnel",),
    "wgpy.uapi": ("UapiError",),
    "wgpy.uapi.client": ("InterfaceError",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}
# `wgpy.config.load` without `import wgpy.config`
_MODULES = {"testing", *(module.split(".")[1] for module in _NAMES)}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - all are strings


def __getattr__(name: str) -> object:
    """Load a public name from its module. PEP 562."""
    from importlib import import_module  # noqa: PLC0415 - wgpyd asks for none

    value: object
    if name == "__version__":
        value = import_module("importlib.metadata").version("wgpy")
    elif name in _MODULES:
        value = import_module(f"wgpy.{name}")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'wgpy' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
