"""A control plane of Kubernetes: etcd, API server, controllers; and what tests do to it.

Tests of what only calls the API need no more than `ControlPlane.local`: no root, no namespaces, three
seconds. The only controllers there give Nodes their pod ranges and service accounts their tokens; its Nodes
are objects that tests make.
"""

import json
import random
import shutil
import signal
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.integration.hosts import eventually
from tests.kubernetes import components
from tests.kubernetes.client import ApiError, Client
from tests.kubernetes.components import Launch, LocalProcess, Process
from tests.kubernetes.pki import Authority

NODES = "/api/v1/nodes"
_NAMESPACES = "/api/v1/namespaces"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_WITHIN = 120  # seconds, for what takes three on a machine at rest
_EVERY = 0.05  # seconds: who asks an API server more often while it starts keeps it from that
_FIXED_PORTS = range(10000, 32000)  # the kernel gives none of these to who asks for any
_FEW_CONTROLLERS = "node-ipam-controller,serviceaccount-controller,serviceaccount-token-controller"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a control plane runs.

    start: starts a component; connect: makes a connection to an address and port there; nodes: whether there
    are hosts for nodes, and not only Node objects.
    """

    start: Launch
    connect: Callable[[tuple[str, int]], socket.socket]
    nodes: bool


@dataclass(frozen=True, slots=True)
class Ranges:
    """What a cluster takes addresses from, one range a family."""

    pods: tuple[str, str] = ("10.244.0.0/16", "fd77:244::/56")
    services: tuple[str, str] = ("10.96.0.0/16", "fd77:96::/112")
    first_service: str = "10.96.0.1"  # the API server's


@dataclass(frozen=True, slots=True)
class Account:
    """A service account. token: what proves to the API server that a request is its."""

    namespace: str
    name: str
    token: str


@dataclass(slots=True)
class ControlPlane:
    """The processes, their folder, and ports that nobody else uses.

    address: of the API server, for all who call it; "" until that is to start.
    """

    folder: Path
    place: Place
    ranges: Ranges
    port: int
    etcd_port: int
    peer_port: int
    authority: Authority
    address: str = ""
    running: dict[str, Process] = field(default_factory=dict)
    snapshots: int = 0

    @classmethod
    def local(cls, folder: Path) -> "ControlPlane":
        """Start one on the loopback interface."""
        place = Place(
            lambda name, *command: LocalProcess.start(folder / f"{name}.log", *command),
            lambda address: socket.create_connection(address, _WITHIN),
            nodes=False,
        )
        plane = cls.boot_etcd(folder, place, Ranges(), _unused_ports(3))
        plane.boot_api("127.0.0.1")
        plane.complete()
        return plane

    @classmethod
    def boot_etcd(cls, folder: Path, place: Place, ranges: Ranges, ports: Sequence[int]) -> "ControlPlane":
        """Start etcd, which needs no address."""
        authority = Authority.create(folder / "pki")
        plane = cls(folder, place, ranges, ports[0], ports[1], ports[2], authority)
        plane.start_etcd()
        return plane

    def boot_api(self, address: str) -> None:
        """Start the API server for the first time, and return when it answers its administrator and kubelets.

        It is ready some time later, when it has made the roles of all others.
        """
        self.address = address
        self._issue_certificates()
        self._start("kube-apiserver", *self._api_server_flags())
        eventually(self._answers, "the API server answers", within=_WITHIN)

    def complete(self) -> None:
        """Return when the API server is ready and Nodes get their ranges; have pods get nodes, too."""
        self._await_api()
        if self.place.nodes:
            self.start_scheduler()
        self.start_controllers()

    # -- Who calls it ----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The certificate that the API server's is to be verified by."""
        return self.authority.file

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the administrator."""
        return self.authority.folder / "admin.kubeconfig"

    @property
    def kubeconfig_of_proxies(self) -> Path:
        return self.authority.folder / "proxy.kubeconfig"

    @property
    def admin(self) -> Client:
        return self._client_of("admin")

    def kubelet(self, name: str) -> Client:
        """Return a client that is the kubelet of a Node of this name, whether there is one or not."""
        self.authority.issue(name, f"system:node:{name}", "system:nodes")
        return self._client_of(name)

    def _client_of(self, name: str) -> Client:
        """Return who has a certificate that was issued."""
        context = ssl.create_default_context(cafile=self.ca_file)
        folder = self.authority.folder
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
        return Client(self._connect, context, self.address)

    def client(self, account: Account) -> Client:
        """Return a client that a service account's token stands for."""
        context = ssl.create_default_context(cafile=self.ca_file)
        return Client(self._connect, context, self.address, account.token)

    def make_account(self, rules: Sequence[Mapping[str, Sequence[str]]], prefix: str = "test") -> Account:
        """Make a service account in a namespace of its own. rules: of its ClusterRole."""
        named = {"metadata": {"generateName": f"{prefix}-"}}
        namespace = self.admin.create(_NAMESPACES, named)["metadata"]["name"]
        self.admin.create(f"{_NAMESPACES}/{namespace}/serviceaccounts", {"metadata": {"name": prefix}})
        self.admin.create(f"{_RBAC}/clusterroles", {"metadata": {"name": namespace}, "rules": list(rules)})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace}
        subject = {"kind": "ServiceAccount", "name": prefix, "namespace": namespace}
        binding = {"metadata": {"name": namespace}, "roleRef": role, "subjects": [subject]}
        self.admin.create(f"{_RBAC}/clusterrolebindings", binding)
        return Account(namespace, prefix, self.new_token(namespace, prefix))

    def new_token(self, namespace: str, name: str, seconds: int = 3600) -> str:
        """Return one more token of a service account. seconds: it is valid, at least 600."""
        path = f"{_NAMESPACES}/{namespace}/serviceaccounts/{name}/token"
        answer = self.admin.create(path, {"spec": {"expirationSeconds": seconds}})
        return str(answer["status"]["token"])

    # -- Nodes that are objects only -------------------------------------------------------------

    def make_node(self, name: str, *pod_ranges: str) -> Any:
        """Make a Node. pod_ranges: one a family; without them a controller gives it some, soon.

        With ranges outside the cluster's, the controllers do not start any more.
        """
        spec = {"podCIDR": pod_ranges[0], "podCIDRs": list(pod_ranges)} if pod_ranges else {}
        return self.admin.create(NODES, {"metadata": {"name": name}, "spec": spec})

    def delete_node(self, name: str) -> None:
        self.admin.delete(f"{NODES}/{name}")

    def pod_ranges(self, name: str) -> list[str]:
        """Return a Node's pod ranges, which it may not have yet."""
        spec = self.admin.get(f"{NODES}/{name}")["spec"]
        return list(spec.get("podCIDRs", []))

    def wait_for_pod_ranges(self, name: str) -> list[str]:
        """Return a Node's pod ranges as soon as it has them."""
        eventually(lambda: self._has_pod_ranges(name), f"{name} has pod ranges", within=_WITHIN)
        return self.pod_ranges(name)

    def _has_pod_ranges(self, name: str) -> bool:
        self._assert_running("kube-controller-manager")
        return bool(self.pod_ranges(name))

    # -- Life and death --------------------------------------------------------------------------

    def start_api(self) -> None:
        """Start the API server, and return when it is ready."""
        self._start("kube-apiserver", *self._api_server_flags())
        self._await_api()

    def stop_api(self) -> None:
        """Kill the API server: what was connected is cut, nobody connects."""
        components.end(self.running["kube-apiserver"])

    def restart_api(self) -> None:
        self.stop_api()
        self.start_api()

    def freeze_api(self) -> None:
        """Have the API server say nothing more, with all connections open and new ones made."""
        self.running["kube-apiserver"].kill(signal.SIGSTOP)

    def thaw_api(self) -> None:
        self.running["kube-apiserver"].kill(signal.SIGCONT)

    def is_ready(self) -> bool:
        return self._is_ok("/readyz")

    def start_etcd(self) -> None:
        self._start("etcd", *self._etcd_flags())
        eventually(self._etcd_is_ready, "etcd is ready", within=_WITHIN)

    def start_controllers(self) -> None:
        """Start the controllers, and return when a Node gets its ranges.

        They end by themselves if the API server is not healthy within their first ten seconds.
        """
        self._start("kube-controller-manager", *self._controller_flags())
        name = f"first-{uuid4().hex[:8]}"
        self.make_node(name)
        self.wait_for_pod_ranges(name)
        self.delete_node(name)

    def start_scheduler(self) -> None:
        """Start what chooses a node for each pod."""
        kubeconfig = self.authority.folder / "scheduler.kubeconfig"
        self._start("kube-scheduler", f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0")

    def stop_controllers(self) -> None:
        """Kill the controllers: Nodes get no ranges."""
        components.end(self.running["kube-controller-manager"])

    def compact(self) -> None:
        """Forget all versions but the newest: to watch after an older one is 410, Gone."""
        revision = self._ask_etcd("/v3/kv/range", {"key": "AA=="})["header"]["revision"]
        self._ask_etcd("/v3/kv/compaction", {"revision": revision, "physical": True})
        self.restart_api()  # it also remembers versions

    def snapshot(self) -> Path:
        """Return a copy of all that is in the cluster now."""
        self.snapshots += 1
        copy = self.folder / f"snapshot-{self.snapshots}"
        self.running["etcd"].kill(signal.SIGSTOP)
        shutil.copytree(self._data, copy)
        self.running["etcd"].kill(signal.SIGCONT)
        return copy

    def restore(self, snapshot: Path) -> None:
        """Go back to a snapshot, as to a backup: versions count on from it, as if nothing had followed.

        The rest starts anew, as Kubernetes advises, who then has kubelets started anew, too: a watch from a
        later version hears nothing.
        """
        for process in reversed(self.running.values()):
            components.end(process)
        shutil.rmtree(self._data)
        shutil.copytree(snapshot, self._data)
        self.start_etcd()
        self.start_api()
        self.start_controllers()
        if "kube-scheduler" in self.running:
            self.start_scheduler()

    def end(self) -> None:
        for process in reversed(self.running.values()):
            components.end(process)
        for data in (self._data, *self.folder.glob("snapshot-*")):
            shutil.rmtree(data, ignore_errors=True)  # 130 MB each

    # -- Its parts -------------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        return self.folder / "etcd"

    def _connect(self) -> socket.socket:
        return self.place.connect((self.address, self.port))

    def _start(self, name: str, *flags: str) -> None:
        self.running[name] = self.place.start(name, str(components.program()), name, *flags)

    def _await_api(self) -> None:
        eventually(self.is_ready, "the API server is ready", within=_WITHIN, every=_EVERY)

    def _answers(self) -> bool:
        return self._is_ok("/version")

    def _is_ok(self, path: str) -> bool:
        """Say whether the administrator gets something."""
        self._assert_running("etcd", "kube-apiserver")
        try:
            return bool(self.admin.get(path))
        except (OSError, HTTPException, ApiError):
            return False

    def _assert_running(self, *names: str) -> None:
        for name in names:
            assert self.running[name].is_running(), f"{name} ended: see its log in {self.folder}"

    def _issue_certificates(self) -> None:
        issue = self.authority.issue
        names = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
        issue("apiserver", "kube-apiserver", "", *names, self.address, self.ranges.first_service)
        issue("admin", "admin", "system:masters")
        issue("kubelet-client", "apiserver-kubelet-client", "system:masters")
        issue("controllers", "system:kube-controller-manager")
        issue("scheduler", "system:kube-scheduler")
        issue("proxy", "system:kube-proxy")
        self.authority.issue_signing_key("accounts")
        for name in ("admin", "controllers", "scheduler", "proxy"):
            self.authority.kubeconfig(name, self.url)

    def _etcd_flags(self) -> list[str]:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self.etcd_port, self.peer_port))
        return [
            f"--data-dir={self._data}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            *("--heartbeat-interval=50", "--election-timeout=250"),  # it elects itself, a second sooner
        ]

    def _api_server_flags(self) -> list[str]:
        pki = self.authority.folder
        return [
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            f"--service-cluster-ip-range={','.join(self.ranges.services)}",
            f"--secure-port={self.port}",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki}/accounts.pub",
            f"--service-account-signing-key-file={pki}/accounts.key",
            *self._api_server_address(pki),
        ]

    def _api_server_address(self, pki: Path) -> list[str]:
        if not self.place.nodes:  # then nobody calls it by its service address
            unused = ["--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none"]
            return [f"--bind-address={self.address}", *unused]
        return [
            f"--advertise-address={self.address}",
            f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _controller_flags(self) -> list[str]:
        pki = self.authority.folder
        return [
            f"--kubeconfig={pki}/controllers.kubeconfig",
            "--leader-elect=false",
            "--use-service-account-credentials",
            "--kube-api-qps=200",
            "--kube-api-burst=400",  # with the default of 20 pod ranges come seconds later
            "--allocate-node-cidrs",
            f"--cluster-cidr={','.join(self.ranges.pods)}",
            f"--service-cluster-ip-range={','.join(self.ranges.services)}",
            "--node-cidr-mask-size-ipv4=24",
            "--node-cidr-mask-size-ipv6=64",
            f"--root-ca-file={pki}/ca.crt",
            f"--service-account-private-key-file={pki}/accounts.key",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            "--secure-port=0",
            "--node-monitor-grace-period=25s",
            *([] if self.place.nodes else [f"--controllers={_FEW_CONTROLLERS}"]),
        ]

    def _etcd_is_ready(self) -> bool:
        self._assert_running("etcd")
        with suppress(OSError, HTTPException):
            return "health" in self._ask_etcd("/health")
        return False

    def _ask_etcd(self, path: str, document: object = None) -> Any:
        connection = HTTPConnection("127.0.0.1")
        connection.sock = self.place.connect(("127.0.0.1", self.etcd_port))
        try:
            connection.request("GET" if document is None else "POST", path, json.dumps(document))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def _unused_ports(count: int) -> list[int]:
    """Return TCP ports of the loopback interface that stay as they are while nobody listens there."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().choice(_FIXED_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found
