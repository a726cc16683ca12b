"""What kube-proxy, the CNI and the host must be told so that a cluster works over a mesh. Pure.

Each check gives what it finds. Linux ip-sysctl.rst and nf_conntrack-sysctl.rst; kube-proxy(8), kubelet(8)
"""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any, Final

from .finding import Finding, good, unknown, wrong
from .host_state import HostState, MeshNode, Prefix, outer_header
from .kube_proxy import KubeProxy, read_kube_proxy

_FORWARDING: Final = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}
_RP_FILTER: Final = "ipv4/conf/{}/rp_filter"
_STRICT: Final = 1
_USE_PMTU: Final = "ipv4/ip_forward_use_pmtu"
_CONNECTIONS: Final = ("netfilter/nf_conntrack_count", "netfilter/nf_conntrack_max")
_FULL: Final = 0.9  # of the table of connections
_SOURCE: Final = re.compile(r"(?:(?<!! )-s|saddr) ([0-9a-f.:]+/\d+)(?![\d.])")


def settings_of(node: MeshNode) -> list[str]:
    """Return the kernel's settings that are examined, by their paths below /proc/sys/net."""
    filters = (_RP_FILTER.format(name) for name in ("all", node.interface))
    return [*_FORWARDING.values(), *filters, _USE_PMTU, *_CONNECTIONS]


def examine(host: HostState) -> list[Finding]:
    """Return what all checks find."""
    proxy = read_kube_proxy(host.firewall)
    return [
        *_node_ip(host),
        *_order(host),
        *_masquerade_mark(host, proxy),
        *_cluster_range(proxy),
        *_forwarding(host),
        *_reverse_path(host),
        *_cni(host),
        *_pod_mtu(host),
        *_overlay_mtu(host),
        *_overlay_sums(host),
        *_overlay_offload(host),
        *_path_mtu(host),
        *_masquerade_of_pods(host),
        *_connections(host),
    ]


def _sysctl(setting: str, value: object) -> str:
    return f"`sysctl -w net.{setting.replace('/', '.')}={value}`, and a file in /etc/sysctl.d"


# -- kubelet -------------------------------------------------------------------------------------


def _node_ip(host: HostState) -> Iterator[Finding]:
    check, wanted = "node-ip", ",".join(host.node.addresses)
    remedy = "start kubelet with --node-ip=$(wgpy mesh node-ip), or only one version of IP: -4 or -6"
    if host.node_ips is None:
        yield unknown(check, "no kubelet, k3s or rke2 runs on this host")
    elif not host.node_ips:
        yield wrong(check, "kubelet has none, so it announces an address outside of the mesh", remedy)
    elif outside := [one for one in host.node_ips if one not in host.node.addresses]:
        yield wrong(check, f"kubelet announces {', '.join(outside)}, and the mesh has {wanted}", remedy)
    else:
        yield good(check, f"kubelet announces {', '.join(host.node_ips)}")


def _order(host: HostState) -> Iterator[Finding]:
    check = "start order"
    if not host.later_units:
        yield unknown(check, f"no unit of systemd starts kubelet and {host.node.unit}: start the mesh first")
    for unit, is_later in host.later_units.items():
        if is_later:
            yield good(check, f"{unit} starts when the mesh is up")
        else:
            yield wrong(
                check,
                f"{unit} may start before the mesh, and then does not find its address",
                f"`systemctl enable {host.node.unit}`; its unit orders it before {unit}",
            )


# -- kube-proxy ----------------------------------------------------------------------------------


def _masquerade_mark(host: HostState, proxy: KubeProxy) -> Iterator[Finding]:
    check, mark = "kube-proxy's mark", host.node.fwmark
    if not proxy.mark:
        yield unknown(check, "kube-proxy has no rules on this host")
    elif mark & proxy.mark:
        bit = next(bit for bit in range(31, -1, -1) if not mark >> bit & 1)
        yield wrong(
            check,
            f"it masquerades what bears {proxy.mark:#x}, so also this node's own datagrams ({mark:#x}): they "
            "leave from another port for each peer",
            f"give kube-proxy another bit (masqueradeBit: {bit}), or join again without --fwmark",
        )
    else:
        yield good(check, f"{proxy.mark:#x} has nothing of this node's {mark:#x}")


def _cluster_range(proxy: KubeProxy) -> Iterator[Finding]:
    check = "kube-proxy's clusterCIDR"
    if not proxy.has_services:
        yield unknown(check, "kube-proxy has no services on this host")
    elif proxy.masquerades_hosts:
        yield good(check, "what this host sends to services is masqueraded")
    else:
        yield wrong(
            check,
            "what this host sends to services keeps its address outside of the mesh: no pod of another node "
            "can answer",
            "set clusterCIDR of kube-proxy to the range of all pods (kubeadm: `kubectl -n kube-system edit "
            "configmap kube-proxy`)",
        )


# -- The host ------------------------------------------------------------------------------------


def _forwarding(host: HostState) -> Iterator[Finding]:
    check, versions = "forwarding", {4, *(prefix.version for prefix in host.pods)}
    off = [_FORWARDING[version] for version in sorted(versions) if _is_off(host, _FORWARDING[version])]
    for setting in off:
        yield wrong(check, f"net.{setting.replace('/', '.')} is 0: no pod is reached", _sysctl(setting, 1))
    for sentence in () if off else host.obstacles:
        found, _, remedy = sentence.partition(": ")
        yield wrong(check, found, remedy)
    if not off and not host.obstacles:
        yield good(check, "this host forwards, and no firewall of it is in the way")


def _is_off(host: HostState, setting: str) -> bool:
    return host.settings.get(setting) == "0"


def _reverse_path(host: HostState) -> Iterator[Finding]:
    check, mesh = "rp_filter", _RP_FILTER.format(host.node.interface)
    used = max(int(host.settings.get(one, "0") or 0) for one in (_RP_FILTER.format("all"), mesh))
    if used == _STRICT:
        yield wrong(
            check,
            f"{host.node.interface} filters strictly, and drops what answers would not leave by",
            _sysctl(mesh, 2),
        )
    else:
        yield good(check, f"{used} on {host.node.interface}")


def _connections(host: HostState) -> Iterator[Finding]:
    check = "connections"
    texts = [host.settings.get(one, "") for one in _CONNECTIONS]
    if not all(text.isdecimal() for text in texts):
        yield unknown(check, "this host tracks none")
        return
    count, most = map(int, texts)
    if count >= most * _FULL:
        yield wrong(
            check, f"{count} of {most} are tracked: new ones are dropped", _sysctl(_CONNECTIONS[1], 2 * most)
        )
    else:
        yield good(check, f"{count} of {most} are tracked")


# -- Pods and overlays ---------------------------------------------------------------------------


def _room(host: HostState) -> int:
    """Return the MTU that pods may have."""
    return host.node.mtu - max(map(outer_header, host.overlays), default=0)


def _cni(host: HostState) -> Iterator[Finding]:
    check, room = "MTU of the CNI", _room(host)
    plugins = [plugin for plugin in _plugins(host) if plugin.get("type") in ("bridge", "ptp")]
    if not host.cni_file:
        yield unknown(check, "there is no file in /etc/cni/net.d: `wgpyd --kubernetes --cni FILE` writes one")
    elif not plugins:
        yield unknown(check, f"the plugin of {host.cni_file} derives it itself")
    for plugin in plugins:
        mtu = plugin.get("mtu")
        if isinstance(mtu, int) and 0 < mtu <= room:
            yield good(check, f"{mtu} in {host.cni_file}, and {room} fit")
        else:
            found = mtu or "none, so 1500"
            yield wrong(check, f"{found} in {host.cni_file}, and {room} fit", f'set "mtu": {room} there')


def _pod_mtu(host: HostState) -> Iterator[Finding]:
    check, room, found = "MTU of pods", _room(host), host.pod_links
    large = [f"{link['ifname']} ({link['mtu']})" for link in found if link["mtu"] > room]
    if not found:
        yield unknown(check, "no pod runs here")
    elif large:
        more = f" and {len(large) - 3} more" if len(large) > 3 else ""
        yield wrong(
            check,
            f"{', '.join(large[:3])}{more} may send more than the {room} that fit",
            "pods have the MTU of the CNI once they are made anew",
        )
    else:
        yield good(check, f"none may send more than the {room} that fit")


def _overlay_mtu(host: HostState) -> Iterator[Finding]:
    for overlay in host.overlays:
        name, room = overlay["ifname"], host.node.mtu - outer_header(overlay)
        if overlay["mtu"] > room:
            yield wrong(
                f"MTU of {name}", f"{overlay['mtu']}, and {room} fit", f"`ip link set {name} mtu {room}`"
            )
        else:
            yield good(f"MTU of {name}", f"{overlay['mtu']}, and {room} fit")


def _overlay_sums(host: HostState) -> Iterator[Finding]:
    for overlay in host.overlays:
        check, data = f"checksums of {overlay['ifname']}", overlay["linkinfo"].get("info_data", {})
        if "local6" in data and data.get("udp_zero_csum6_tx"):
            yield wrong(
                check,
                "it sends none over IPv6, and hosts drop that by default",
                "make it without udp6zerocsumtx",
            )
        elif not data.get("udp_csum", True):
            yield wrong(
                check,
                "its datagrams have none, so that the kernel joins none of them and each passes by itself",
                "make it with udpcsum, as flannel does",
            )
        else:
            yield good(check, "its datagrams have them")


def _overlay_offload(host: HostState) -> Iterator[Finding]:
    for name, is_on in host.offloaded.items():
        if is_on:
            yield good(f"offload of {name}", "the kernel cuts segments after it")
        else:
            yield wrong(
                f"offload of {name}",
                "off, so that each segment passes by itself",
                f"`ethtool -K {name} tx-checksum-ip-generic on`; the mesh computes sums right",
            )


def _path_mtu(host: HostState) -> Iterator[Finding]:
    if not host.overlays:
        return
    if host.settings.get(_USE_PMTU) == "1":
        yield good("path MTU", "what the overlay sends follows the path")
    else:
        yield wrong(
            "path MTU",
            "what the overlay sends ignores it, and is fragmented where a path carries less",
            _sysctl(_USE_PMTU, 1),
        )


def _masquerade_of_pods(host: HostState) -> Iterator[Finding]:
    check = "masquerade of pods"
    if not host.pods:
        yield unknown(check, "this node has no pods yet")
    for pods in host.pods:
        if _is_masqueraded(host, pods):
            yield good(check, f"what {pods} sends to others than pods gets this host's address")
        else:
            lost = "other nodes drop" if host.overlays else "what is outside of the mesh does not answer"
            yield wrong(
                check,
                f"{lost} what {pods} sends to others than pods",
                "run flanneld with --ip-masq, or `wgpyd --kubernetes` with --cni",
            )


def _is_masqueraded(host: HostState, pods: Prefix) -> bool:
    """Whether a rule does it, of whatever program, or the CNI's own plugin."""
    lines = (line for line in host.firewall.splitlines() if re.search(r"masquerade|MASQUERADE", line))
    sources = (ip_network(found, strict=False) for line in lines for found in _SOURCE.findall(line))
    is_by_plugin = any(plugin.get("ipMasq") for plugin in _plugins(host))
    return is_by_plugin or any(
        source.version == pods.version and pods.network_address in source for source in sources
    )


def _plugins(host: HostState) -> list[Mapping[str, Any]]:
    found = host.cni.get("plugins", [host.cni])
    return [plugin for plugin in found if isinstance(plugin, dict)] if isinstance(found, list) else []
