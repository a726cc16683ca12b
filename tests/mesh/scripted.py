"""A coordinator that sends what a test says, and keeps what it is given."""

import asyncio
import datetime as dt
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from wgpy.mesh.ledger import Ledger, RecordRejected
from wgpy.mesh.records import Node, decode
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.wire import Delta, Greeting, check_proof, encode_line, read_signed
from wgpy.node.coordinator_client import key_hash

SEEN = "203.0.113.7"
REFUSAL = "it is not to be"


@dataclass(slots=True)
class ScriptedCoordinator:
    """ledger: what it has; denies: whether it knows nobody; refuses: whether it takes no record.

    given: all records that came in; followers: revisions from which nodes followed, in order.
    """

    ledger: Ledger
    url: str = ""
    key_hash: bytes = b""
    revision: int = 1
    denies: bool = False
    refuses: bool = False
    given: list[Signed] = field(default_factory=list)
    followed: list[int] = field(default_factory=list)
    _followers: list[asyncio.StreamWriter] = field(default_factory=list)
    _connections: list[h11.Connection] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, number: int) -> None:
        """Wait until it was followed so many times."""
        while len(self.followed) < number:
            self._changed.clear()
            await self._changed.wait()

    async def until_given(self, signed: Signed | None = None) -> None:
        """Wait until a record came in."""
        while signed not in self.given if signed else not self.given:
            self._changed.clear()
            await self._changed.wait()

    async def changed(self) -> None:
        """Wait until it is followed anew, or records came in."""
        self._changed.clear()
        await self._changed.wait()

    def send(self, *records: Signed) -> None:
        """Tell every follower something new, whatever it is."""
        self.revision += 1
        for signed in records:
            self._keep(signed)
        self.say(encode_line(Delta(self.revision, records)))

    def say(self, line: bytes) -> None:
        """Tell every follower something, be it sense or not."""
        for http, writer in zip(self._connections, self._followers, strict=True):
            writer.write(http.send(h11.Data(data=line)) or b"")

    def hang_up(self) -> None:
        """End every connection of a follower."""
        for writer in self._followers:
            writer.close()
        self._followers.clear()
        self._connections.clear()

    def _keep(self, signed: Signed) -> str:
        try:
            return self.ledger.add(signed).verdict.value
        except RecordRejected:
            return "refused"

    # -- HTTP ------------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER)
        try:
            while True:
                request, body = await _receive(http, reader)
                target = request.target.decode()
                if target.startswith("/v1/follow"):
                    await self._follow(http, writer, request)
                    return
                answer = self._hello() if target == "/v1/hello" else self._take(json.loads(body))
                _answer(http, writer, 200, answer)
                http.start_next_cycle()
        except (OSError, EOFError, h11.ProtocolError):
            writer.close()
        except asyncio.CancelledError:  # the loop ends; Python 3.11 reports a task that says so as a failure
            writer.transport.abort()

    def _hello(self) -> dict[str, str]:
        return {"network": str(self.ledger.key), "challenge": "challenge"}

    def _take(self, body: Any) -> dict[str, Any]:
        records = [read_signed(found) for found in body["records"]]
        self.given += records
        self._changed.set()
        if self.refuses:
            return {"results": [{"verdict": "refused", "reason": REFUSAL} for _ in records]}
        return {"results": [{"verdict": self._keep(signed), "reason": ""} for signed in records]}

    async def _follow(self, http: h11.Connection, writer: asyncio.StreamWriter, request: h11.Request) -> None:
        proof = dict(request.headers)[b"authorization"].decode()
        identity, _ = check_proof(proof, self.ledger.network)
        if self.denies:
            _answer(http, writer, 403, {"detail": "no member of this network"})
            return
        since = int(request.target.decode().partition("since=")[2])
        greeting = Greeting(self.ledger.state_digest(), self._own(identity), SEEN)
        received = Delta(self.revision, tuple(self.ledger) if since < self.revision else ())
        writer.write(
            http.send(h11.Response(status_code=200, headers=[("Transfer-Encoding", "chunked")])) or b""
        )
        for line in (greeting, received):
            writer.write(http.send(h11.Data(data=encode_line(line))) or b"")
        self._followers.append(writer)
        self._connections.append(http)
        self.followed.append(since)
        self._changed.set()

    def _own(self, identity: VerifyKey) -> bytes:
        for signed in self.ledger:
            record = decode(signed.body)
            if isinstance(record, Node) and record.signer == identity:
                return signed.digest
        return b""


@asynccontextmanager
async def scripted_coordinator(
    records: Sequence[Signed], network: VerifyKey, folder: Path, address: str = "127.0.0.1"
) -> AsyncIterator[ScriptedCoordinator]:
    """Serve on a free port. folder: for its key."""
    coordinator = ScriptedCoordinator(Ledger(network))
    for signed in records:
        coordinator.ledger.add(signed)
    context, coordinator.key_hash = tls_identity(folder)
    server = await asyncio.start_server(coordinator.serve, address, 0, ssl=context)
    coordinator.url = f"https://{address}:{server.sockets[0].getsockname()[1]}"
    try:
        yield coordinator
    finally:
        coordinator.hang_up()
        server.close()


def tls_identity(folder: Path) -> tuple[ssl.SSLContext, bytes]:
    """Return what a coordinator serves with, and the hash of its key. folder: for the key."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "teller")])
    begin = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin + dt.timedelta(days=36500))
    ).sign(key, None)
    file = folder / "teller.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, key_hash(certificate.public_bytes(Encoding.DER))


def _answer(http: h11.Connection, writer: asyncio.StreamWriter, status: int, answer: Any) -> None:
    content = json.dumps(answer).encode()
    head = h11.Response(status_code=status, headers=[("Content-Length", str(len(content)))])
    for event in (head, h11.Data(data=content), h11.EndOfMessage()):
        writer.write(http.send(event) or b"")


async def _receive(http: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request, bytes]:
    """Raises EOFError."""
    head, body = None, b""
    while not isinstance(event := http.next_event(), h11.EndOfMessage):
        match event:
            case h11.NEED_DATA:
                http.receive_data(await reader.read(1 << 16))
            case h11.Request():
                head = event
            case h11.Data():
                body += bytes(event.data)
            case _:
                raise EOFError("the connection was closed")
    assert head is not None
    return head, body
