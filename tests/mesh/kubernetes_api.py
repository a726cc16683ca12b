"""An API server of Kubernetes that says what a test wants, by TLS on a loopback port.

It has lists and watches of collections, and ConfigMaps of kube-system one by one, which can be replaced.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.mesh.certificates import self_signed

NODES = "/api/v1/nodes"
SERVICE_RANGES = "/apis/networking.k8s.io/v1/servicecidrs"
CONFIG_MAPS = "/api/v1/namespaces/kube-system/configmaps"
TOKEN = "a token"


@dataclass(slots=True)
class FakeApi:
    """objects: by path and name; tokens: those that it knows; targets, tokens_seen: of each request.

    conflict: whether others change each ConfigMap just before who replaces it; instead: the bytes of every
    answer, if not empty.
    """

    folder: Path
    port: int = 0
    revision: int = 100
    objects: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {NODES: {}, SERVICE_RANGES: {}, CONFIG_MAPS: {}}
    )
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    targets: list[str] = field(default_factory=list)
    tokens_seen: list[str] = field(default_factory=list)
    conflict: bool = False
    instead: bytes = b""
    _connections: set[asyncio.StreamWriter] = field(default_factory=set)
    _watchers: dict[asyncio.StreamWriter, tuple[str, str]] = field(default_factory=dict)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    # -- What is in the cluster -------------------------------------------------------------------

    def set_node(self, name: str, *ranges: str, **status: Any) -> None:
        spec = {"podCIDR": ranges[0], "podCIDRs": list(ranges)} if ranges else {}
        self.set(NODES, {"metadata": {"name": name}, "spec": spec, "status": status})

    def set_service_ranges(self, *ranges: str) -> None:
        self.set(SERVICE_RANGES, {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": list(ranges)}})

    def set_config_map(self, name: str, **texts: str) -> None:
        self.set(CONFIG_MAPS, {"metadata": {"name": name}, "data": texts})

    def texts(self, name: str) -> dict[str, str]:
        """Return what a ConfigMap has."""
        return dict(self.objects[CONFIG_MAPS][name]["data"])

    def set(self, path: str, found: dict[str, Any]) -> None:
        name = found["metadata"]["name"]
        kind = "MODIFIED" if name in self.objects[path] else "ADDED"
        self.objects[path][name] = self._revised(found)
        self._tell(path, kind, found)

    def delete(self, path: str, name: str) -> None:
        found = self._revised(self.objects[path].pop(name))
        self._tell(path, "DELETED", found)

    def _revised(self, found: dict[str, Any]) -> dict[str, Any]:
        self.revision += 1
        found["metadata"]["resourceVersion"] = str(self.revision)
        return found

    def _tell(self, path: str, kind: str, found: dict[str, Any]) -> None:
        name = found["metadata"]["name"]
        for writer, (watched, selected) in self._watchers.items():
            if watched == path and selected in ("", name):
                self.say(json.dumps({"type": kind, "object": found}).encode() + b"\n", writer)

    def say(self, data: bytes, to: asyncio.StreamWriter | None = None) -> None:
        """Tell whoever watches something, be it sense or not."""
        for writer in [to] if to else list(self._watchers):
            writer.write(data)

    @property
    def is_watched(self) -> bool:
        return bool(self._watchers)

    def hang_up(self) -> None:
        for writer in list(self._connections):
            writer.transport.abort()

    # -- Requests ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    async def start(self) -> None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if not self.ca_file.exists():
            certificate, key = self_signed("127.0.0.1")
            self.ca_file.write_bytes(certificate)
            (self.folder / "tls.key").write_bytes(key)
            self.token_file.write_text(f"{TOKEN}\n")
        tls.load_cert_chain(self.ca_file, self.folder / "tls.key")
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """As a server that is killed: what was connected is cut, nobody connects."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.hang_up()
        await asyncio.sleep(0)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            await self._respond(head, reader, writer)
        self._watchers.pop(writer, None)
        self._connections.discard(writer)
        writer.transport.abort()

    async def _respond(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = head.split()[1]
        bearer = "Authorization: Bearer "
        tokens = (line[len(bearer) :] for line in head.split("\r\n") if line.startswith(bearer))
        token = next(tokens, "")
        self.targets.append(target)
        self.tokens_seen.append(token)
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        selected = query.get("fieldSelector", "").removeprefix("metadata.name=")
        if self.instead:
            writer.write(self.instead)
        elif token not in self.tokens:
            writer.write(_head("401 Unauthorized") + b'{"kind":"Status"}')
        elif parts.path.startswith(f"{CONFIG_MAPS}/"):
            await self._config_map(head, parts.path.rpartition("/")[2], reader, writer)
        elif parts.path not in self.objects:
            writer.write(_head("404 Not Found") + b'{"kind":"Status"}')
        elif "watch" in query:
            await self._watch(parts.path, selected, int(query["resourceVersion"]), reader, writer)
        else:
            found = [one for name, one in self.objects[parts.path].items() if selected in ("", name)]
            metadata = {"resourceVersion": str(self.revision)}
            writer.write(_head() + json.dumps({"items": found, "metadata": metadata}).encode())
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        writer.close()

    async def _config_map(
        self, head: str, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        found = self.objects[CONFIG_MAPS].get(name)
        if found is None:
            writer.write(_head("404 Not Found"))
            return
        if head.startswith("PUT"):
            length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length:"))
            put = json.loads(await reader.readexactly(int(length.split()[1])))
            if self.conflict or put["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
                writer.write(_head("409 Conflict"))
                return
            self.set(CONFIG_MAPS, put)
        writer.write(_head() + json.dumps(self.objects[CONFIG_MAPS][name]).encode())

    async def _watch(
        self, path: str, selected: str, since: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(_head())
        for name, found in self.objects[path].items():
            if selected in ("", name) and int(found["metadata"]["resourceVersion"]) > since:
                writer.write(json.dumps({"type": "MODIFIED", "object": found}).encode() + b"\n")
        self._watchers[writer] = (path, selected)
        await reader.read()


def _head(status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n".encode()
