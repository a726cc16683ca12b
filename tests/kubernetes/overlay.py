"""An overlay of the manifests, as KUBERNETES.md has an operator write it."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BASE = Path(__file__).parents[2] / "daemon/deploy/kubernetes"
NAMESPACE = "wgpy"


def rbac_rules() -> list[dict[str, list[str]]]:
    """Return the rules of the ClusterRole, whose lists are in one line each."""
    lists = re.findall(r"(apiGroups|resources|verbs): \[(.*)\]", (BASE / "rbac.yaml").read_text())
    values = [(key, [one.strip(' "') for one in text.split(",")]) for key, text in lists]
    return [dict(values[at : at + 3]) for at in range(0, len(values), 3)]


def write_overlay(
    folder: Path, *, network: str, api: str, token: str, image: str,
    components: Sequence[str] = (), patches: Sequence[Any] = (),
) -> Path:  # fmt: skip
    """Write it and return its folder.

    image: NAME:TAG; components: folders of the base; patches: of the DaemonSet, as JSON patches.
    """
    folder.mkdir(exist_ok=True)
    base = os.path.relpath(BASE, folder.resolve())
    (folder / "token").write_text(token)
    name, _, tag = image.rpartition(":")
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": [base],
        "components": [f"{base}/{name}" for name in components],
        "secretGenerator": [{"name": "wgpy-token", "files": ["token"]}],
        "images": [{"name": "wgpy", "newName": name, "newTag": tag}],
        "patches": [
            {"patch": json.dumps(_settings(network, api))},
            *({"target": {"kind": "DaemonSet"}, "patch": json.dumps([patch])} for patch in patches),
        ],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(document))
    return folder


def _settings(network: str, api: str) -> Any:
    """Return the patch that has them."""
    name = {"name": "NETWORK", "value": network}
    pod = {
        "initContainers": [{"name": "join", "env": [name]}],
        "containers": [{"name": "wgpyd", "env": [name, {"name": "KUBE_API", "value": api}]}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "wgpyd"},
        "spec": {"template": {"spec": pod}},
    }
