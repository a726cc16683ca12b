"""The subjects of `wgpy doctor`. The module of each is imported when it runs."""

from typing import Final

from wgpy.cli.command import Command
from wgpy.cli.mesh.arguments import SHOWING, run_by

DOCTOR: Final = Command(
    "doctor",
    None,
    "Check what other programs on this host must be told to work with wgpy.",
    "It changes nothing. What is wrong is named with the right setting, and makes the exit status 1.",
    commands=(
        Command(
            "kubernetes",
            run_by("kubernetes:examine_kubernetes", "wgpy.cli.doctor"),
            "Check kubelet, kube-proxy, the CNI and the host of a node of a cluster over a mesh.",
            """\
Run it on each node of the cluster, once its pods run:
  sudo wgpy doctor kubernetes
  sudo wgpy doctor kubernetes --json
`unknown` is what this host does not show, or has nothing to check of.""",
            SHOWING,
        ),
    ),
)
