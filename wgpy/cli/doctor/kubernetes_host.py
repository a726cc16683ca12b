"""Reads what `wgpy doctor kubernetes` examines, and changes nothing."""

import ctypes
import fcntl
import json
import re
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import Any, Final

from wgpy.address import Address
from wgpy.cli.host import Host
from wgpy.host.passages import Mesh, obstacles, passages
from wgpy.host.program import run_program
from wgpy.host.settings import SYSCTLS, read_setting
from wgpy.node.agent_client import Status

from .host_state import HostState, Link, MeshNode, overlays_of
from .kubernetes_checks import settings_of

_UNITS: Final = ("kubelet", "k3s", "k3s-agent", "rke2-server", "rke2-agent")
_CNI_FOLDERS: Final = (Path("/etc/cni/net.d"), Path("/var/lib/rancher/k3s/agent/etc/cni/net.d"))
_CNI_ENDINGS: Final = (".conf", ".conflist", ".json")
_FIREWALLS: Final = (
    ("nft", "list", "ruleset"),
    ("iptables-save", "-t", "nat"),
    ("ip6tables-save", "-t", "nat"),
)
_RANCHER: Final = Path("/etc/rancher")
_FLAG: Final = re.compile(r"--node-ip[= ](\S*)")
_SETTING: Final = re.compile(r"^node-ip:[ ]*(.*(?:\n\s*-.*)*)", re.MULTILINE)
_ADDRESS: Final = re.compile(r"[0-9a-fA-F.:]+")
_SIOCETHTOOL: Final = 0x8946  # linux/sockios.h
_ETHTOOL_GTXCSUM: Final = 0x16  # linux/ethtool.h
_REQUEST: Final = struct.Struct("=16sQ16x")  # struct ifreq
_VALUE: Final = struct.Struct("=II")  # struct ethtool_value


def read_host(status: Status) -> HostState:
    """Return what this host is. status: as its node knows itself. Raises CommandError and OSError."""
    links = Host().query_ip("-details", "address", "show")
    node = _node(status)
    cni_file, cni = read_cni(_CNI_FOLDERS)
    return HostState(
        node=node,
        links=links,
        settings={name: read_setting(name, SYSCTLS) for name in settings_of(node)},
        firewall="\n".join(run_program(command).stdout for command in _FIREWALLS),
        obstacles=_obstacles(status, node, links),
        cni_file=cni_file,
        cni=cni,
        node_ips=read_node_ips(_command_lines(), _RANCHER),
        later_units=_read_order(node.unit),
        offloaded={link["ifname"]: _is_offloaded(link["ifname"]) for link in overlays_of(links, node)},
    )


def _node(status: Status) -> MeshNode:
    return MeshNode(
        interface=status.interface,
        addresses=(str(status.address), str(status.address6)),
        mtu=status.mtu,
        fwmark=status.fwmark,
        announced=(*status.routes, *status.requested),
        unit=f"wgpyd-mesh@{status.network}.service",
    )


def _obstacles(status: Status, node: MeshNode, links: Sequence[Link]) -> tuple[str, ...]:
    """Return what of this host's firewall drops packets of its pods. Raises OSError."""
    own = {link["ifname"]: tuple(_addresses(link)) for link in links}
    members: dict[int, Address] = {
        one.version: one for peer in status.peers[:1] for one in (peer.address, peer.address6)
    }
    ways = passages(Mesh(node.interface, members), node.announced, own)
    return obstacles(ways, own).closed


def _addresses(link: Link) -> Iterator[IPv4Interface | IPv6Interface]:
    for address in link.get("addr_info", ()):
        if "local" in address:
            yield ip_interface(f"{address['local']}/{address['prefixlen']}")


# -- The runtime and kubelet ---------------------------------------------------------------------


def read_cni(folders: Iterable[Path]) -> tuple[str, Mapping[str, Any]]:
    """Return the file that a runtime takes, the first of a folder by name, and what it says."""
    files = (path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir()))
    for path in files:
        if path.suffix in _CNI_ENDINGS:
            return str(path), _read_object(path)
    return "", {}


def _read_object(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_node_ips(commands: Iterable[Sequence[str]], rancher: Path) -> tuple[str, ...] | None:
    """Return what kubelet, k3s or rke2 is told, None if none of them runs.

    commands: the arguments of all processes; rancher: the folder of the settings of k3s and rke2.
    """
    for command in commands:
        names = [word.rpartition("/")[2] for word in command[:2]]
        if "kubelet" in names:
            return _split(_FLAG.findall(" ".join(command)))
        for name in {"k3s", "rke2"}.intersection(names[:1]):
            told = _split(_FLAG.findall(" ".join(command)))
            return told or _split(_SETTING.findall(_settings(rancher / name)))
    return None


def _split(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses of the last of texts, which counts."""
    return tuple(_ADDRESS.findall([*texts, ""][-2:][0]))


def _settings(folder: Path) -> str:
    files = (folder / "config.yaml", *sorted((folder / "config.yaml.d").glob("*.yaml")))
    return "\n".join(path.read_text(errors="replace") for path in files if path.is_file())


def _command_lines() -> Iterator[list[str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().decode(errors="replace").rstrip("\0").replace("\0", " ").split()
        except OSError:  # it ended
            continue


def _read_order(unit: str) -> dict[str, bool]:
    """Return which of kubelet's units that this host has start after the node's."""
    names = [f"{name}.service" for name in _UNITS]
    shown = run_program(["systemctl", "show", "--property=Id,LoadState,After", *names]).stdout
    return read_order(shown, unit)


def read_order(shown: str, unit: str) -> dict[str, bool]:
    """Read what `systemctl show --property=Id,LoadState,After UNIT…` prints. unit: of the node."""
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in shown.split("\n\n")
    ]
    return {
        block["Id"]: unit in block.get("After", "").split()
        for block in blocks
        if block.get("LoadState") == "loaded"
    }


# -- Offloads ------------------------------------------------------------------------------------


def _is_offloaded(interface: str) -> bool:
    """Return whether an interface takes packets whose sums are to be computed. Raises OSError. ethtool(8)"""
    value = ctypes.create_string_buffer(_VALUE.pack(_ETHTOOL_GTXCSUM, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kernel:
        fcntl.ioctl(kernel, _SIOCETHTOOL, _REQUEST.pack(interface.encode(), ctypes.addressof(value)))
    return bool(_VALUE.unpack(value.raw[: _VALUE.size])[1])
