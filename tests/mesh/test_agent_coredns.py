"""A gateway has the CoreDNS of its cluster ask the mesh, and changes nothing else there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.mesh.coordinator import in_a_loop
from tests.mesh.kubernetes_api import FakeApi
from wgpy.kubernetes.corefile import changed, stub
from wgpy.node.agent_client import AgentError
from wgpy.node.kubernetes import ApiOptions, KubernetesApi
from wgpyd.agent.coredns import CoreDns

COREFILE = ".:53 {\n    errors\n    kubernetes cluster.local\n}\n"
CUSTOM = f"{COREFILE}import /etc/coredns/custom/*.server\n"
SERVERS = [ip_address("100.80.3.4"), ip_address("100.80.3.5")]
BLOCK = stub("prod.mesh", SERVERS)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[tuple[FakeApi, CoreDns]]:
    api = FakeApi(folder)
    async with api.serve():
        options = ApiOptions(api.url, str(api.token_file), str(api.ca_file))
        yield api, CoreDns(KubernetesApi(options))


@in_a_loop
async def test_a_block_is_added_to_its_settings_and_taken_back(tmp_path: Path) -> None:
    async with scene(tmp_path) as (api, dns):
        api.set_config_map("coredns", Corefile=COREFILE, NodeHosts="192.0.2.1 n1\n")

        assert await dns.change("prod.mesh", SERVERS) == "coredns"

        added = {"Corefile": changed(COREFILE, "prod.mesh", BLOCK), "NodeHosts": "192.0.2.1 n1\n"}
        assert api.texts("coredns") == added
        revision = api.revision
        await dns.change("prod.mesh", SERVERS)
        assert api.revision == revision  # there is nothing to change
        await dns.change("prod.mesh", [])
        assert api.texts("coredns") == {**added, "Corefile": COREFILE}


@in_a_loop
async def test_where_an_operator_has_a_config_map_of_his_own_the_other_one_stays(tmp_path: Path) -> None:
    async with scene(tmp_path) as (api, dns):
        api.set_config_map("coredns", Corefile=CUSTOM)
        api.set_config_map("coredns-custom", **{"test.server": "example.org {\n}\n"})

        assert await dns.change("prod.mesh", SERVERS) == "coredns-custom"

        own = {"prod.mesh.server": changed("", "prod.mesh", BLOCK)}
        assert api.texts("coredns-custom") == {"test.server": "example.org {\n}\n", **own}
        assert api.texts("coredns") == {"Corefile": CUSTOM}
        await dns.change("prod.mesh", [])
        assert api.texts("coredns-custom") == {"test.server": "example.org {\n}\n"}


@in_a_loop
async def test_settings_that_import_an_operators_since_keep_no_block_of_before(tmp_path: Path) -> None:
    """CoreDNS does not start with two blocks for the same zone."""
    async with scene(tmp_path) as (api, dns):
        api.set_config_map("coredns", Corefile=changed(CUSTOM, "prod.mesh", BLOCK))
        api.set_config_map("coredns-custom")

        await dns.change("prod.mesh", SERVERS)

        assert api.texts("coredns") == {"Corefile": CUSTOM}
        assert api.texts("coredns-custom") == {"prod.mesh.server": changed("", "prod.mesh", BLOCK)}


@in_a_loop
async def test_a_block_that_an_operator_has_beside_is_not_doubled(tmp_path: Path) -> None:
    async with scene(tmp_path) as (api, dns):
        texts = {"mesh.server": "prod.mesh:53 {\n    forward . 100.80.3.4\n}\n"}
        api.set_config_map("coredns", Corefile=CUSTOM)
        api.set_config_map("coredns-custom", **texts)

        with pytest.raises(AgentError, match=r"coredns-custom in kube-system has a server block for prod"):
            await dns.change("prod.mesh", SERVERS)

        assert api.texts("coredns-custom") == texts
        await dns.change("prod.mesh", [])
        assert api.texts("coredns-custom") == texts


@in_a_loop
async def test_what_cannot_be_changed_is_said_with_what_to_do(tmp_path: Path) -> None:
    async with scene(tmp_path) as (api, dns):
        with pytest.raises(AgentError, match="ConfigMap coredns in kube-system: there is none"):
            await dns.change("prod.mesh", SERVERS)
        api.set_config_map("coredns", Corefile=f"{COREFILE}prod.mesh {{\n}}\n")
        with pytest.raises(AgentError, match=r"has a server block for prod\.mesh that is not wgpy's"):
            await dns.change("prod.mesh", SERVERS)
        api.set_config_map("coredns", Corefile=COREFILE)
        api.conflict = True
        with pytest.raises(AgentError, match="at the same moment: try again"):
            await dns.change("prod.mesh", SERVERS)
        api.tokens.clear()
        with pytest.raises(AgentError, match="does not know this token"):
            await dns.change("prod.mesh", SERVERS)
        api.instead = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"
        with pytest.raises(AgentError, match="answer is none"):
            await dns.change("prod.mesh", SERVERS)

        assert api.texts("coredns") == {"Corefile": COREFILE}
