"""A host of the lab as a node of Kubernetes: containerd, kubelet and kube-proxy on it.

A host has its own /run, /var/lib and process ids already. What it lacks: its part of the cgroups; the
kernel's settings as kubelet wants them, of which it sees copies, so that nothing of this machine is changed;
and mounts that pods can share.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration import cgroups
from tests.integration.hosts import Host, HostProcess, eventually
from tests.integration.meshlab import Node
from tests.kubernetes import clusterdns, components
from tests.kubernetes.controlplane import ControlPlane
from tests.kubernetes.images import IMAGE

_CONTAINERD = "/run/containerd/containerd.sock"
_NETWORKS = "/var/lib/cni/net.d"
_NETWORK_TEMPLATE = "/var/lib/cni.template"
_FLANNEL_SUBNET = "/run/flannel/subnet.env"
VXLAN_HEADERS = 50  # bytes, over IPv4; flannel leaves no more also for its second VXLAN, over IPv6

# What kubelet would set, and with protectKernelDefaults only checks.
_KERNEL_SETTINGS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}
_SETUP = """
set -e
{cgroups}
mount -t tmpfs tmpfs /var/log
mkdir -p /run/settings {networks}
{settings}
mount --make-rshared /
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
"""
# What neither processes nor the disk hold: mounts, files of /run, links but its card, packet filters.
_CUT = """
grep -oE ' /(run|var/lib)/[^ ]+ ' /proc/mounts | grep -vE ' /run/settings' | sort -r | xargs -r umount -l
rm -rf /run/containerd /run/netns /run/wgpyd /run/wireguard /run/flannel
mkdir /run/netns
for link in $(ls /sys/class/net); do
    case $link in lo | eth0) ;; *) ip link delete $link 2> /dev/null ;; esac
done
nft flush ruleset
"""


@dataclass(slots=True)
class Worker:
    """A host, which may be a node of the mesh, that is to be a node of Kubernetes under the same name.

    addresses: by which Kubernetes knows it, one a family; mtu: of its pods; cgroup: its own in each
    hierarchy; makes_network: whether containerd joins its pods to a bridge, and not the mesh; ways: its
    addresses in a network with others, by which these reach its pods.
    """

    node: Node
    mtu: int = 0
    addresses: tuple[str, str] = ("", "")
    makes_network: bool = False
    ways: tuple[str, ...] = ()
    running: dict[str, HostProcess] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def host(self) -> Host:
        return self.node.host

    @property
    def cgroup(self) -> str:
        return f"{cgroups.own()}/{self.name}"

    def read_addresses(self) -> None:
        """Take the addresses and the MTU of the mesh."""
        (card,) = json.loads(self.host.run("ip", "-json", "link", "show", "dev", "mesh0"))
        self.mtu, self.addresses = int(card["mtu"]), (self.node.address(4), self.node.address(6))

    def power_on(self, image: Path) -> None:
        """Have the host be ready for kubelet. image: of all pods."""
        self.prepare()
        self.start_containerd()
        self.import_image(image)

    def prepare(self) -> None:
        """Make the host ready for containerd, once after it has been powered on."""
        cgroups.make(self.cgroup)
        settings = "\n".join(
            f"echo {value} > /run/settings/{number}; mount --bind /run/settings/{number} /proc/sys/{name}"
            for number, (name, value) in enumerate(_KERNEL_SETTINGS.items())
        )
        setup = _SETUP.format(cgroups="\n".join(cgroups.mounts()), settings=settings, networks=_NETWORKS)
        self.host.run("sh", "-c", setup)

    def start_containerd(self) -> None:
        """Start it, and return when it is ready."""
        settings = _containerd_settings(_NETWORK_TEMPLATE if self.makes_network else "")
        self.host.write("/var/lib/containerd.toml", settings)
        path = f"PATH={components.runtime('usr/bin')}:{components.runtime('usr/sbin')}:{os.environ['PATH']}"
        program = str(components.runtime("usr/bin/containerd"))
        self.running["containerd"] = self.host.start(
            "env", path, program, "--config", "/var/lib/containerd.toml"
        )
        eventually(self.host.path(_CONTAINERD).exists, f"{self.name}: containerd is ready")

    def import_image(self, image: Path) -> None:
        """Give containerd the image of all pods."""
        self.host.run(str(components.runtime("usr/bin/ctr")), "-n", "k8s.io", "images", "import", str(image))

    def follow(self, plane: ControlPlane, token: str, daemon: str = "") -> None:
        """Have the mesh announce the ranges that Kubernetes gives this node, and join pods to them.

        daemon: as for `Node.serve`.
        """
        self._call(plane, token, "--kubernetes", f"--cni={_NETWORKS}/10-wgpy.conflist", daemon=daemon)

    def be_gateway(self, plane: ControlPlane, token: str) -> None:
        """Have the mesh's daemon know the ranges of the whole cluster, and announce none as this node's."""
        self._call(plane, token, "--kubernetes=gateway")

    def _call(self, plane: ControlPlane, token: str, *options: str, daemon: str = "") -> None:
        """Start the mesh's daemon again, as one that calls the API."""
        self.node.daemon_options = (
            *options,
            f"--node-name={self.name}",
            f"--kube-api={plane.url}",
            f"--kube-ca={plane.ca_file}",
            f"--kube-token={self.host.write('/var/lib/kubernetes.token', token)}",
        )
        self.node.kill()
        self.node.start(daemon)

    def start_kubelet(self, plane: ControlPlane) -> None:
        plane.authority.issue(self.name, f"system:node:{self.name}", "system:nodes")
        kubeconfig = plane.authority.kubeconfig(self.name, plane.url)
        settings = json.dumps(_kubelet_settings(self.cgroup, plane.ca_file))
        self.host.write(_NETWORK_TEMPLATE, _network_template(self.mtu))  # read once a range is known
        self._start(
            "kubelet",
            f"--config={self.host.write('/var/lib/kubelet.json', settings)}",
            f"--kubeconfig={kubeconfig}",
            f"--node-ip={','.join(self.addresses)}",
            f"--hostname-override={self.name}",
        )

    def start_proxy(self, plane: ControlPlane) -> None:
        settings = json.dumps(_proxy_settings(self.name, plane.ranges.pods, plane.kubeconfig_of_proxies))
        self._start("kube-proxy", f"--config={self.host.write('/var/lib/proxy.json', settings)}")

    def start_flannel(self, plane: ControlPlane) -> None:
        """Start it, once the node has its pod ranges, and return when pods can reach each other by it."""
        plane.wait_for_pod_ranges(self.name)
        settings = self.host.write("/var/lib/flannel.json", json.dumps(_flannel_settings(plane.ranges.pods)))
        self.running["flannel"] = self.host.start(
            *("env", f"NODE_NAME={self.name}", str(components.flannel()), "--iface=mesh0"),
            *(f"--kubeconfig-file={plane.kubeconfig}", f"--net-config-path={settings}"),
            f"--subnet-file={_FLANNEL_SUBNET}",
        )
        eventually(self.host.path(_FLANNEL_SUBNET).exists, f"{self.name}: flannel is ready", within=60)

    def flannel_subnet(self) -> dict[str, str]:
        """Return what flannel tells its CNI plugin."""
        lines = self.host.path(_FLANNEL_SUBNET).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def stop(self, name: str) -> None:
        """Kill one of its components."""
        components.end(self.running.pop(name))

    def cut_power(self) -> None:
        """Lose everything at once but what is on the disk, as by a power cut."""
        self.host.attempt("sh", "-c", "kill -9 -1")  # all but itself and the first process
        eventually(lambda: len(self.host.processes("")) == 1, f"{self.name} is off")
        self.host.run("sh", "-c", _CUT)
        self.running.clear()
        cgroups.remove(self.cgroup)

    def switch_on(self, plane: ControlPlane) -> None:
        """Start what the system starts at boot, the mesh before kubelet, and wait for no more than that."""
        cgroups.make(self.cgroup)
        self.node.start()
        self.start_containerd()
        self.start_kubelet(plane)
        self.start_proxy(plane)

    def _start(self, name: str, *flags: str) -> None:
        self.running[name] = self.host.start(str(components.program()), name, *flags)


# -- Settings ----------------------------------------------------------------------------------------


def _containerd_settings(network_template: str) -> str:
    """Return them. Root of a container has no CAP_SYS_RESOURCE, so no pod can get a better OOM score."""
    return f"""
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "{_CONTAINERD}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = "{components.runtime("usr/sbin/runc")}"
  SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{components.runtime("usr/lib/cni")}"
  conf_dir = "{_NETWORKS}"
  conf_template = "{network_template}"
"""


def _network_template(mtu: int) -> str:
    """Return what containerd makes the pods' network of, as soon as the node has its pod ranges."""
    ranges = '{{range $i, $range := .PodCIDRRanges}}{{if $i}},{{end}}[{"subnet":"{{$range}}"}]{{end}}'
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isDefaultGateway": True,
        "forceAddress": True,
        "hairpinMode": True,
        "mtu": mtu,
        "ipam": {"type": "host-local", "ranges": "RANGES"},
    }
    document = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}
    return json.dumps(document).replace('"RANGES"', f"[{ranges}]")


def _kubelet_settings(cgroup: str, ca_file: Path) -> object:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(ca_file)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{_CONTAINERD}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "protectKernelDefaults": True,
        "makeIPTablesUtilChains": False,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "oomScoreAdj": 0,
        "maxOpenFiles": 20000,
        "maxPods": 20,
        "resolvConf": "/etc/resolv.conf",
        "clusterDNS": [clusterdns.ADDRESS],
        "clusterDomain": "cluster.local",
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 20,
        "syncFrequency": "10s",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def _flannel_settings(pods: tuple[str, str]) -> object:
    return {
        "Network": pods[0],
        "IPv6Network": pods[1],
        "EnableIPv6": True,
        "EnableNFTables": True,
        "Backend": {"Type": "vxlan"},
    }


def _proxy_settings(name: str, pods: tuple[str, str], kubeconfig: Path) -> object:
    """Return them. Without clusterCIDR a host's own calls of a service have a source that nobody answers."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "hostnameOverride": name,
        "clusterCIDR": ",".join(pods),
        "oomScoreAdj": 0,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": {"maxPerCore": 0, "min": 0},
    }
