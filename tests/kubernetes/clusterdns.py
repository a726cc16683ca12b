"""The DNS of a cluster: CoreDNS, with what kubeadm gives it."""

from typing import TYPE_CHECKING

from tests.kubernetes import components
from tests.kubernetes.images import IMAGE, host_folders

if TYPE_CHECKING:
    from tests.kubernetes.client import Client

ADDRESS = "10.96.0.10"  # of the service: the tenth of their range
_SYSTEM = "kube-system"
_NAMESPACE = f"/api/v1/namespaces/{_SYSTEM}"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_LABELS = {"k8s-app": "kube-dns"}
_READ = ["list", "watch"]
_COREFILE = """\
.:53 {
    errors
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    cache 30
    reload
    loadbalance
}
"""


def make_settings(admin: "Client") -> None:
    """Make its ConfigMap, and its rights."""
    config_map = {"metadata": {"name": "coredns"}, "data": {"Corefile": _COREFILE}}
    admin.create(f"{_NAMESPACE}/configmaps", config_map)
    admin.create(f"{_NAMESPACE}/serviceaccounts", {"metadata": {"name": "coredns"}})
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": _READ},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": _READ},
    ]
    admin.create(f"{_RBAC}/clusterroles", {"metadata": {"name": "system:coredns"}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"}
    subject = {"kind": "ServiceAccount", "name": "coredns", "namespace": _SYSTEM}
    binding = {"metadata": {"name": "system:coredns"}, "roleRef": role, "subjects": [subject]}
    admin.create(f"{_RBAC}/clusterrolebindings", binding)


def start(admin: "Client") -> None:
    """Run it, as a service; it is not waited for."""
    admin.create(f"/apis/apps/v1/namespaces/{_SYSTEM}/deployments", _deployment())
    ports = [{"name": f"dns-{name}".lower(), "port": 53, "protocol": name} for name in ("UDP", "TCP")]
    spec = {"selector": _LABELS, "clusterIP": ADDRESS, "ports": ports}
    admin.create(f"{_NAMESPACE}/services", {"metadata": {"name": "kube-dns"}, "spec": spec})


def is_ready(admin: "Client") -> bool:
    found = admin.get(f"/apis/apps/v1/namespaces/{_SYSTEM}/deployments/coredns")
    return bool(found["status"].get("readyReplicas"))


def _deployment() -> object:
    program = components.program()
    volumes, mounts = host_folders(program.parent)
    container = {
        "name": "coredns",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": [str(program), "coredns", "-conf", "/etc/coredns/Corefile"],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "volumeMounts": [*mounts, {"name": "settings", "mountPath": "/etc/coredns"}],
    }
    pod = {
        "serviceAccountName": "coredns",
        "terminationGracePeriodSeconds": 0,
        "tolerations": [{"operator": "Exists"}],
        "dnsPolicy": "Default",
        "volumes": [*volumes, {"name": "settings", "configMap": {"name": "coredns"}}],
        "containers": [container],
    }
    template = {"metadata": {"labels": _LABELS}, "spec": pod}
    return {
        "metadata": {"name": "coredns"},
        "spec": {"replicas": 1, "selector": {"matchLabels": _LABELS}, "template": template},
    }
