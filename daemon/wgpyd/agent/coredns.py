"""Has the CoreDNS of a cluster ask the mesh for the mesh's names, by a block in the settings of CoreDNS.

Invariant: of what others have written nothing changes, also if they write at the same moment. No right is
needed but to read and update two ConfigMaps by their names.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from wgpy.address import Address
from wgpy.kubernetes.corefile import changed, imports_servers, stub
from wgpy.node.agent_client import AgentError
from wgpy.node.kubernetes import KubernetesApi, KubernetesError

_CONFIG_MAPS: Final = "/api/v1/namespaces/kube-system/configmaps/"
_NAME: Final = "coredns"
_KEY: Final = "Corefile"
_OPERATORS: Final = "coredns-custom"  # of which CoreDNS imports such texts, if it does
_IMPORTED: Final = ".server"
_TIME: Final = 20.0  # seconds, for a request
_MAX_ANSWER: Final = 1 << 22  # bytes: etcd takes objects up to 1.5 MiB
_BROKEN: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
_BY_STATUS: Final = {
    403: (
        "the service account may not change it (403): `kubectl apply -f "
        "daemon/deploy/kubernetes/coredns.yaml` lets it"
    ),
    404: "there is none (404): if the cluster has it elsewhere, have it ask by hand",
    409: "somebody else changed it at the same moment: try again",
}


@dataclass(frozen=True, slots=True)
class _Settings:
    """A ConfigMap, and which of its texts has, or is to have, the block."""

    name: str
    key: str
    document: dict[str, Any]

    @property
    def text(self) -> str:
        return str(self._data.get(self.key, ""))

    @property
    def texts_beside(self) -> tuple[str, ...]:
        """The others that CoreDNS reads, if this is an operator's."""
        beside = (name for name in self._data if name != self.key and name.endswith(_IMPORTED))
        return tuple(str(self._data[name]) for name in beside)

    @property
    def _data(self) -> dict[str, Any]:
        return self.document.get("data") or {}

    def with_text(self, text: str) -> dict[str, Any]:
        data = {name: one for name, one in self._data.items() if name != self.key}
        return {**self.document, "data": {**data, self.key: text} if text else data}


class CoreDns:
    """Of the cluster that a node follows."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    async def change(self, domain: str, servers: Iterable[Address]) -> str:
        """Have it ask these about a domain, nobody if there are none; return the ConfigMap's name.

        Raises AgentError.
        """
        block = stub(domain, found) if (found := tuple(servers)) else ""
        settings = await self._read(_NAME, _KEY)
        if imports_servers(settings.text):
            before, settings = settings, await self._read(_OPERATORS, f"{domain}{_IMPORTED}")
            self._changed(before, domain, block)
            await self._write(before, domain, "")  # what is there since they imported nothing
        await self._write(settings, domain, block)
        return settings.name

    async def _write(self, settings: _Settings, domain: str, block: str) -> None:
        """Raises AgentError."""
        if (text := self._changed(settings, domain, block)) != settings.text:
            await self._ask("PUT", settings.name, settings.with_text(text))

    @staticmethod
    def _changed(settings: _Settings, domain: str, block: str) -> str:
        """Raises AgentError."""
        try:
            for beside in settings.texts_beside:
                changed(beside, domain, block)
            return changed(settings.text, domain, block)
        except ValueError as error:
            raise AgentError(
                f"the ConfigMap {settings.name} in kube-system has {error} that is not wgpy's: take it out"
            ) from None

    async def _read(self, name: str, key: str) -> _Settings:
        """Raises AgentError."""
        return _Settings(name, key, await self._ask("GET", name))

    async def _ask(self, method: str, name: str, body: object = None) -> dict[str, Any]:
        """Raises AgentError."""
        where = f"the ConfigMap {name} in kube-system"
        request = self._api.request(method, _CONFIG_MAPS + name, _TIME, body=body, limit=_MAX_ANSWER)
        try:
            found = json.loads(b"".join([piece async for piece in request]))
            if not isinstance(found.get("data") or {}, dict):
                raise ValueError("no texts")
        except KubernetesError as error:
            raise AgentError(f"{where}: {_BY_STATUS.get(error.status, error)}") from None
        except _BROKEN:
            raise AgentError(f"{where}: the API server's answer is none") from None
        return dict(found)
