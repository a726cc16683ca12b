"""What was read of a node of a mesh that is a node of Kubernetes, too."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_interface
from typing import Any, Final

Prefix = IPv4Network | IPv6Network
Link = Mapping[str, Any]

_BRIDGE: Final = "cni0"
_PTP: Final = re.compile("veth[0-9a-f]{8}")  # as the plugin names its end on the host


@dataclass(frozen=True, slots=True)
class MeshNode:
    """As the agent knows it. announced: prefixes of this node, approved or not; unit: of systemd."""

    interface: str
    addresses: tuple[str, str]
    mtu: int
    fwmark: int
    announced: tuple[Prefix, ...] = ()
    unit: str = ""


@dataclass(frozen=True, slots=True)
class HostState:
    """What of a host counts.

    links: as `ip -details -json address` shows them; settings: by their paths below /proc/sys/net;
    firewall: as `nft list ruleset` and `iptables-save` list it; obstacles: sentences, what keeps packets of
    announced prefixes from passing; cni_file, cni: the file that the container runtime uses, "" for none;
    node_ips: of --node-ip of kubelet, None if none runs here; later_units: by unit of kubelet's, whether it
    starts after the node's; offloaded: by VXLAN, whether the kernel leaves sums of sent packets to later.
    """

    node: MeshNode
    links: Sequence[Link] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    firewall: str = ""
    obstacles: tuple[str, ...] = ()
    cni_file: str = ""
    cni: Mapping[str, Any] = field(default_factory=dict)
    node_ips: tuple[str, ...] | None = None
    later_units: Mapping[str, bool] = field(default_factory=dict)
    offloaded: Mapping[str, bool] = field(default_factory=dict)

    @property
    def overlays(self) -> list[Link]:
        """The VXLANs above the mesh."""
        return overlays_of(self.links, self.node)

    @property
    def pod_links(self) -> list[Link]:
        """The bridge of the pods, its ports, and the ends of pods that have none: of the plugin ptp."""
        return [link for link in self.links if link["ifname"] == _BRIDGE or _leads_to_pod(link)]

    @property
    def pods(self) -> list[Prefix]:
        """Prefixes of pods on this host: what the bridge has, and what the node announces."""
        bridges = (link for link in self.links if link["ifname"] == _BRIDGE)
        found = [
            ip_interface(f"{address['local']}/{address['prefixlen']}").network
            for bridge in bridges
            for address in bridge.get("addr_info", ())
            if address.get("scope") == "global"
        ]
        return list(dict.fromkeys([*found, *self.node.announced]))


def _leads_to_pod(link: Link) -> bool:
    bridge = link.get("master", "")
    return _kind(link) == "veth" and (
        bridge == _BRIDGE or (not bridge and _PTP.fullmatch(link["ifname"]) is not None)
    )


def overlays_of(links: Sequence[Link], node: MeshNode) -> list[Link]:
    """Return the VXLANs whose datagrams the mesh carries."""
    return [link for link in links if _kind(link) == "vxlan" and _is_carried(link, node)]


def _is_carried(link: Link, node: MeshNode) -> bool:
    data = link["linkinfo"].get("info_data", {})
    local = data.get("local", data.get("local6", ""))
    return data.get("link") == node.interface or local in node.addresses


def outer_header(overlay: Link) -> int:
    """Return the bytes that a VXLAN adds to a packet, without those of the mesh below."""
    return 70 if "local6" in overlay["linkinfo"].get("info_data", {}) else 50


def _kind(link: Link) -> str:
    return str(link.get("linkinfo", {}).get("info_kind", ""))
