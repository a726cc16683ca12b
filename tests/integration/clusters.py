"""What a Kubernetes cluster makes of its nodes: pods, a network of pods, a service. Only the kernel does it.

one node of a cluster                      10.42.N.0/24 are its pods, and fd00:42:0:N::/64 in a dual stack
pod N.10  pod N.11                         namespaces of their own, eth0
   └────┬────┘
      cni0      10.42.N.1                  a bridge
        │
    flannel.1   10.42.N.0                  VXLAN, or nothing of the kind where pods are routed as they are
        │
      mesh0                                what the cluster knows as the node's address
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations, product
from pathlib import Path

from tests.integration.hosts import Host, Lab, Result, add_addresses, connect, eventually

PODS, PODS6 = "10.42.0.0/16", "fd00:42::/56"
SERVICE, SERVICE6 = "10.43.0.10", "fd00:43::10"
PORT = "80"
VXLAN_HEADERS = 50  # bytes: Ethernet within, IPv4, UDP, VXLAN
_IP_AND_ICMP = {4: 28, 6: 48}  # bytes
_PODS_PER_NODE = 2
_WEBPODS = (sys.executable, "-I", "-S", str(Path(__file__).with_name("webpods.py")))


@dataclass(frozen=True, slots=True)
class Pod:
    """A namespace behind a node's bridge. address6: "" in a cluster without IPv6."""

    host: Host
    address: str
    address6: str = ""

    def at(self, version: int) -> str:
        """Return its address of a version of IP."""
        return self.address if version == 4 else self.address6

    def ping(self, other: "Pod", size: int, within: int = 3) -> Result:
        """Ping another by a packet of so many bytes, which nobody may fragment. within: seconds."""
        headers = _IP_AND_ICMP[6 if ":" in other.address else 4]
        once = ("-n", "-c", "1", "-W", str(within), "-M", "do", "-s", str(size - headers))
        return self.host.attempt("ping", *once, other.address)

    def reaches(self, other: "Pod", size: int, within: int = 3) -> bool:
        return self.ping(other, size, within).status == 0


@dataclass(slots=True)
class Worker:
    """A node of a cluster. address: that the cluster knows it by; interface: which has that address."""

    host: Host
    number: int
    address: str
    interface: str
    pods: list[Pod] = field(default_factory=list)

    @property
    def range(self) -> str:
        return f"10.42.{self.number}.0/24"

    @property
    def range6(self) -> str:
        return f"fd00:42:0:{self.number}::/64"

    @property
    def mac(self) -> str:
        """Of its end of the VXLAN."""
        return f"02:42:00:00:00:{self.number:02x}"


@dataclass(slots=True)
class Cluster:
    """Nodes with pods. mtu: of the pods; is_dual: whether they have IPv6, too."""

    workers: Sequence[Worker]
    mtu: int
    is_dual: bool = False

    @classmethod
    def routed(cls, lab: Lab, workers: Sequence[Worker], *, is_dual: bool = False) -> "Cluster":
        """Pods whose packets travel as they are: whoever owns the interface routes their ranges."""
        cluster = cls(workers, _mtu(workers), is_dual)
        cluster._run_pods(lab)
        return cluster

    @classmethod
    def encapsulated(cls, lab: Lab, workers: Sequence[Worker]) -> "Cluster":
        """Pods whose packets travel in VXLAN between the nodes' addresses, as flannel has it."""
        cluster = cls(workers, _mtu(workers) - VXLAN_HEADERS)
        for worker in workers:
            cluster._encapsulate(worker)
        cluster._run_pods(lab)
        return cluster

    @property
    def pods(self) -> list[Pod]:
        return [pod for worker in self.workers for pod in worker.pods]

    def pairs(self) -> Iterator[tuple[Pod, Pod]]:
        """Give every pod with every pod of another node."""
        for one, other in permutations(self.workers, 2):
            for pod in one.pods:
                for target in other.pods:
                    yield pod, target

    def serve(self) -> set[str]:
        """Make one pod of each node a service, which every node translates; their names."""
        backends = [worker.pods[0] for worker in self.workers]
        versions = (4, 6) if self.is_dual else (4,)
        for pod, version in product(backends, versions):
            pod.host.start(*_WEBPODS, "serve", pod.at(version), PORT, pod.host.name)
        for worker in self.workers:
            rules = "".join(_translation(worker, backends, version) for version in versions)
            worker.host.run("nft", "-f", worker.host.write("/run/service.nft", rules))
        for pod in backends:
            served = f"{pod.host.name} serves"
            eventually(lambda pod=pod: _listens(pod, count=len(versions)), served)  # type: ignore[misc]
        return {pod.host.name for pod in backends}

    def _run_pods(self, lab: Lab) -> None:
        for worker in self.workers:
            worker.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
            worker.host.run("ip", "link", "add", "cni0", "mtu", str(self.mtu), "type", "bridge")
            add_addresses(worker.host, "cni0", f"10.42.{worker.number}.1/24")
            if self.is_dual:
                worker.host.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
                add_addresses(worker.host, "cni0", f"fd00:42:0:{worker.number}::1/64")
            worker.host.run("ip", "link", "set", "cni0", "up")
            for last in range(10, 10 + _PODS_PER_NODE):
                worker.pods.append(self._pod(lab, worker, last))

    def _pod(self, lab: Lab, worker: Worker, last: int) -> Pod:
        host = lab.host(f"{worker.host.name}-pod{last}")
        connect(worker.host, f"veth{last}", host, "eth0")
        for machine, card in ((worker.host, f"veth{last}"), (host, "eth0")):
            machine.run("ip", "link", "set", card, "mtu", str(self.mtu))
        worker.host.run("ip", "link", "set", f"veth{last}", "master", "cni0")
        # As kubelet does: a pod that asks the service may itself be whom that chooses.
        worker.host.run("bridge", "link", "set", "dev", f"veth{last}", "hairpin", "on")
        address = f"10.42.{worker.number}.{last}"
        add_addresses(host, "eth0", f"{address}/24")
        host.run("ip", "route", "add", "default", "via", f"10.42.{worker.number}.1")
        return Pod(host, address, self._address6(worker, host, last) if self.is_dual else "")

    @staticmethod
    def _address6(worker: Worker, host: Host, last: int) -> str:
        """Give a pod its address and its route."""
        address = f"fd00:42:0:{worker.number}::{last}"
        add_addresses(host, "eth0", f"{address}/64")
        host.run("ip", "route", "add", "default", "via", f"fd00:42:0:{worker.number}::1")
        return address

    def _encapsulate(self, worker: Worker) -> None:
        """Do as flannel does: it learns nothing from packets, but is told of each node."""
        run = worker.host.run
        run(
            *("ip", "link", "add", "flannel.1", "address", worker.mac, "mtu", str(self.mtu), "type", "vxlan"),
            *("id", "1", "dstport", "8472", "local", worker.address, "dev", worker.interface, "nolearning"),
        )
        add_addresses(worker.host, "flannel.1", f"10.42.{worker.number}.0/32")
        run("ip", "link", "set", "flannel.1", "up")
        for other in self.workers:
            if other is not worker:
                end = f"10.42.{other.number}.0"
                run("bridge", "fdb", "append", other.mac, "dev", "flannel.1", "dst", other.address)
                run("ip", "neighbour", "add", end, "lladdr", other.mac, "dev", "flannel.1")
                run("ip", "route", "add", other.range, "via", end, "dev", "flannel.1", "onlink")


def throughput(sender: Pod, receiver: Pod, seconds: int = 1) -> float:
    """Return Mbit/s of one TCP connection."""
    receiver.host.start("iperf3", "-s", "-1", "-p", "5201")
    eventually(lambda: _listens(receiver, "5201"), "iperf3 listens")
    report = sender.host.run("iperf3", "-c", receiver.address, "-p", "5201", "-t", str(seconds), "-J")
    return float(json.loads(report)["end"]["sum_received"]["bits_per_second"]) / 1e6


def ask_service(host: Host, count: int, service: str = SERVICE) -> set[str]:
    """Connect to the service until so many pods have answered; their names."""
    return set(host.run(*_WEBPODS, "ask", service, PORT, str(count), timeout=60).split())


def _mtu(workers: Sequence[Worker]) -> int:
    """Return the one that all interfaces have."""
    (mtu,) = {
        link["mtu"]
        for worker in workers
        for link in json.loads(worker.host.run("ip", "-json", "link", "show", "dev", worker.interface))
    }
    return int(mtu)


def _listens(pod: Pod, port: str = PORT, count: int = 1) -> bool:
    """Return whether a pod does at so many addresses."""
    return len(pod.host.run("ss", "-Hltn", f"sport = :{port}").splitlines()) >= count


def _translation(worker: Worker, backends: Sequence[Pod], version: int) -> str:
    """Say it as kube-proxy does: a random pod, whoever asks, and answers that come back by this node."""
    ip, service, pods, own = (
        ("ip", SERVICE, PODS, worker.range) if version == 4 else ("ip6", SERVICE6, PODS6, worker.range6)
    )
    choice = ", ".join(f"{index} : {pod.at(version)}" for index, pod in enumerate(backends))
    target = f"numgen random mod {len(backends)} map {{ {choice} }}"
    rule = f"{ip} daddr {service} tcp dport {PORT} dnat to {target}"
    # Pods of one node answer each other across the bridge, past this table, unless the node asks for them.
    return f"""
table {ip} service {{
    chain forwarded {{
        type nat hook prerouting priority dstnat
        {rule}
    }}
    chain own {{
        type nat hook output priority -100
        {rule}
    }}
    chain leaving {{
        type nat hook postrouting priority srcnat
        ct status dnat {ip} saddr {own} {ip} daddr {own} masquerade
        ct status dnat {ip} saddr != {pods} masquerade
    }}
    chain silent {{ # redirects of a pod that the service sent back across its bridge say what no pod sent
        type filter hook output priority 0
        icmpv6 type nd-redirect drop
    }}
}}
"""


# -- Fragments ------------------------------------------------------------------------------------


def watch_for_fragments(host: Host, card: str) -> None:
    """Count what passes a network card, and the fragments in it."""
    both = "\n".join(
        f"""
    chain {hook} {{
        type filter hook {hook} device {card} priority 0
        counter name passed
        ip frag-off & 0x3fff != 0 counter name fragments
        exthdr frag exists counter name fragments
    }}"""
        for hook in ("ingress", "egress")
    )
    table = f"table netdev watch_{card} {{\n    counter passed {{}}\n    counter fragments {{}}{both}\n}}\n"
    host.run("nft", "-f", host.write("/run/watch.nft", table))


def seen_on_wire(host: Host, card: str) -> tuple[int, int]:
    """Return how many packets have passed a card that is watched, and how many fragments of packets."""
    found = json.loads(host.run("nft", "-j", "list", "counters", "table", "netdev", f"watch_{card}"))
    counters = {item["counter"]["name"]: item["counter"] for item in found["nftables"] if "counter" in item}
    return counters["passed"]["packets"], counters["fragments"]["packets"]
