"""An API server of Kubernetes with one Node, on the loopback interface of a host; runs on hosts.

kubernetesapi.py FOLDER PORT NODE RANGE      the folder gets the token and the CA
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.mesh.kubernetes_api import FakeApi


async def main(folder: str, port: str, node: str, pods: str) -> None:
    api = FakeApi(Path(folder), int(port))
    api.set_node(node, pods)
    api.set_service_ranges("10.96.0.0/16")
    api.set_config_map("coredns", Corefile=".:53 {\n    kubernetes cluster.local\n}\n")
    async with api.serve():
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
