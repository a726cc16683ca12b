"""The client of a coordinator, for nodes and the administrator's commands: HTTP over TLS to a known key.

Invariant: no answer is trusted. The coordinator's key is verified so that no third party reads or withholds
records; the records that it sends are signed, and their reader verifies them.
"""

import asyncio
import hashlib
import hmac
import json
import os
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from errno import errorcode
from http import HTTPStatus
from ipaddress import IPv4Address
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from wgpy.address import HostPort, parse_global_prefix
from wgpy.contract.errors import WgpyError
from wgpy.mesh import codec
from wgpy.mesh.clock import written
from wgpy.mesh.invitation import BY_NAME
from wgpy.mesh.mapping import Proposal, WantedSite
from wgpy.mesh.records import network_id
from wgpy.mesh.signing import Signed, SigningKey, VerifyKey
from wgpy.mesh.wire import (
    Delta,
    Greeting,
    LineReader,
    proof,
    read_signed,
    write_signed,
)
from wgpy.node.certificate import public_key_info
from wgpy.node.connection import connect
from wgpy.node.datagram_stream import DatagramStream
from wgpy.node.http import BROKEN, Client, HttpError
from wgpy.node.text import printable
from wgpy.node.underlay import MARK

DEFAULT_PORT: Final = 51820  # TCP, beside WireGuard's UDP
DATAGRAMS: Final = "wgpy-datagrams"  # what a connection is upgraded to
PATIENCE: Final = 120.0  # seconds, with a busy coordinator
_TIMEOUT: Final = 10.0  # seconds, for everything but news and answers
_LONGEST_ANSWER: Final = 60.0  # seconds, by a coordinator so busy that it does not say so
# Bytes of an answer, by what it can need. An agent asks for the first two alone.
_MAX_HELLO: Final = 1 << 12
_MAX_OUTCOMES: Final = 1 << 18  # as many as records in a line, a sentence each
_MAX_PROPOSAL: Final = 1 << 16  # as many prefixes as a record has
_MAX_LIST: Final = 1 << 25  # all records, the health of all nodes, or the audit log, for commands
_MAX_SENTENCE: Final = 1 << 14  # characters of one in the audit log: a token may have many routes
_BY_CLOCK: Final = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_LINE_TIMEOUT: Final = 60.0  # seconds, for a line to arrive
_MAX_CHALLENGE: Final = 200  # characters

_T = TypeVar("_T")


class CoordinatorError(WgpyError):
    """A request to a coordinator failed; one sentence."""


class Unreachable(CoordinatorError):
    """The coordinator did not answer, or broke off; later it may answer."""


class Busy(Unreachable):
    """The coordinator refuses what comes too fast. seconds: after which it is to be asked again."""

    def __init__(self, sentence: str, seconds: int) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class Denied(CoordinatorError):
    """The coordinator refused the request, with its reason."""


@dataclass(frozen=True, slots=True)
class Address:
    """The URL of a coordinator, and how its key is verified.

    key_hash: as in an invitation; near: a URL on this host that is tried first, "" if there is none; mark: of
    the connection, so that it keeps to the underlay; proxy: URL of the HTTP proxy where the environment names
    none, "" for none.
    """

    url: str
    key_hash: bytes
    near: str = ""
    mark: int = MARK
    proxy: str = ""

    @property
    def shown(self) -> str:
        """The URL for people, with its port."""
        return with_port(self.url)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A coordinator's answer to a record. verdict: new, known, old or refused; reason: why refused."""

    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a host needs in order to join.

    records: those for every node; addresses, names: that are taken; seen: the address that the request came
    from.
    """

    records: tuple[Signed, ...]
    addresses: frozenset[IPv4Address]
    names: frozenset[str]
    seen: str


@dataclass(frozen=True, slots=True)
class Health:
    """A node's connection to its coordinator.

    heard: the last time, Unix seconds, 0 for never; cloned: whether several hosts with the identity are
    connected.
    """

    identity: VerifyKey
    connected: bool
    heard: int
    seen: str
    cloned: bool


def with_port(url: str) -> str:
    """Return a coordinator's URL with its port, which it need not have."""
    return url if urlsplit(url).port else f"{url}:{DEFAULT_PORT}"


class Coordinator:
    """One connection, one request at a time. Use `async with Coordinator(…) as coordinator`.

    ahead: seconds by which this host's clock is ahead of the coordinator's; None if an older one tells none.
    """

    def __init__(
        self, address: Address, network: VerifyKey, key: SigningKey | None = None,
        clock: Callable[[], float] = time.monotonic, patience: float = PATIENCE,
    ) -> None:  # fmt: skip
        """key: authenticates the requests: a node's identity, a token, or the network's key.

        clock: seconds; patience: how long a request waits for a busy coordinator, whether that says so or
        not, in seconds; for each answer it is at least 10 and at most 60.
        """
        self._clock = clock
        self._patience = patience
        self._answer_timeout = min(max(patience, _TIMEOUT), _LONGEST_ANSWER)
        self._given = self._address = address
        self._network = network
        self._key = key
        self._authorization = ""
        self.ahead: int | None = None

    async def __aenter__(self) -> Self:
        """Raises Unreachable or Denied."""
        return await self._patiently(self._connect)

    async def _patiently(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Attempt again when a busy coordinator says, as long as patience lasts. Raises CoordinatorError."""
        end = self._clock() + self._patience
        while True:
            try:
                return await attempt()
            except Busy as busy:
                pause = busy.seconds + random.uniform(0, 1)  # others wait for the same moment
                if self._clock() + pause > end:
                    raise
                await asyncio.sleep(pause)

    async def _connect(self) -> Self:
        """Raises Unreachable or Denied."""
        address = self._given
        if address.near:
            with suppress(Unreachable):
                return await self._connected(replace(address, url=address.near))
        return await self._connected(address)

    async def _connected(self, address: Address) -> Self:
        """Raises Unreachable or Denied."""
        self._address = address
        parts = urlsplit(self._address.url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORT
        try:
            async with asyncio.timeout(_TIMEOUT):
                self._reader, self._writer = await connect(
                    HostPort(host, port), _tls(address), address.mark, address.proxy
                )
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"{self._address.shown} does not answer: {_why(error)}") from None
        self._client = Client(self._reader, self._writer, parts.netloc)
        try:
            _check_key(self._writer.get_extra_info("ssl_object"), self._address)
            await self._greet()
        except BaseException:
            self._writer.transport.abort()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Without TLS's farewell: answers tell where they end, and it would go on reading what still comes.
        self._writer.transport.abort()

    async def submit(self, records: Sequence[Signed]) -> list[Outcome]:
        """Submit records; once this returns, those that are new are stored.

        Raises CoordinatorError.
        """
        return await self._ask(
            "POST",
            "/v1/records",
            _read_outcomes,
            _MAX_OUTCOMES,
            {"records": list(map(write_signed, records))},
        )

    async def welcome(self) -> Welcome:
        """Ask with a token as key. Raises CoordinatorError."""
        return await self._ask("GET", "/v1/welcome", _read_welcome, _MAX_LIST)

    async def records(self) -> list[Signed]:
        """Ask for the records that concern the key: the network's, all. Raises CoordinatorError."""
        return await self._ask("GET", "/v1/records", _read_records, _MAX_LIST)

    async def nodes(self) -> list[Health]:
        """Raises CoordinatorError."""
        return await self._ask(
            "GET", "/v1/nodes", lambda found: list(map(_read_health, found["nodes"])), _MAX_LIST
        )

    async def propose_site(self, wanted: WantedSite) -> tuple[Proposal, int]:
        """Ask what this node may announce; return also the coordinator's time. Raises CoordinatorError."""
        body = {
            "name": wanted.name,
            "prefixes": list(map(str, wanted.prefixes)),
            "face": wanted.face,
        }
        return await self._ask("POST", "/v1/site-proposals", _read_proposal, _MAX_PROPOSAL, body)

    async def audit(self) -> list[dict[str, Any]]:
        """Ask with the network's key for the audit log, the newest entry last. Raises CoordinatorError."""
        return await self._ask(
            "GET", "/v1/audit", lambda found: list(map(_read_audit_entry, found["entries"])), _MAX_LIST
        )

    async def follow(self, since: int) -> AsyncIterator[Greeting | Delta]:
        """Give a greeting, then new records, until the connection ends. Raises CoordinatorError."""
        lines, began, ended = LineReader(), self._clock(), 0
        async for data in self._exchange("GET", f"/v1/follow?since={since}", None):
            if not lines.is_within_a_line or lines.ended > ended:
                began, ended = self._clock(), lines.ended
            elif self._clock() > began + _LINE_TIMEOUT:
                raise Unreachable(f"{self._address.shown} sends a line too slowly")
            try:
                for line in lines.feed(data):
                    if isinstance(line, Greeting | Delta):
                        yield line
            except ValueError as error:
                raise Unreachable(f"{self._address.shown} cannot be understood: {error}") from None
        raise Unreachable(f"{self._address.shown} ended the connection")

    async def datagrams(self) -> DatagramStream:
        """Carry datagrams to the relay beside the coordinator from now on. Raises CoordinatorError."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                came = await self._client.upgrade(
                    "/v1/datagrams", DATAGRAMS, authorization=self._authorization
                )
        except (HttpError, *BROKEN, TimeoutError) as error:
            raise self._failure(error) from None
        return DatagramStream(self._reader, self._writer, came)

    # -- HTTP ------------------------------------------------------------------------------------

    async def _greet(self) -> None:
        """Check the network's key, and prepare the proof of ours."""
        network, challenge, told = await self._ask_once("GET", "/v1/hello", _read_hello, _MAX_HELLO)
        self.ahead = None if told is None else int(time.time()) - told
        if network != str(self._network):
            raise Denied(f"{self._address.shown} serves another network")
        if self._key is not None:
            self._authorization = proof(self._key, network_id(self._network), challenge)

    async def _ask(
        self, method: str, target: str, read: Callable[[Any], _T], limit: int, body: Any = None
    ) -> _T:
        """As `_ask_once`, and wait for a busy coordinator. Raises CoordinatorError."""

        async def attempt() -> _T:
            if not self._client.is_ready:  # what is refused at once ends the connection
                self._writer.transport.abort()
                await self._connect()
            return await self._ask_once(method, target, read, limit, body)

        return await self._patiently(attempt)

    async def _ask_once(
        self, method: str, target: str, read: Callable[[Any], _T], limit: int, body: Any = None
    ) -> _T:
        """Return what `read` makes of the answer. limit: bytes of it. Raises CoordinatorError."""
        answer = bytearray()
        try:
            async with asyncio.timeout(self._answer_timeout):
                async for data in self._exchange(method, target, limit, body):
                    answer += data
        except TimeoutError:
            waited = f"{self._answer_timeout:.0f} s"
            raise Unreachable(f"{self._address.shown} did not answer within {waited}") from None
        try:
            return read(json.loads(answer))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise Unreachable(f"{self._address.shown} is no coordinator, or not of this version") from None

    async def _exchange(
        self, method: str, target: str, limit: int | None, body: Any = None
    ) -> AsyncIterator[bytes]:
        """Give the answer in pieces. limit: bytes of it. Raises CoordinatorError."""
        try:
            async for data in self._client.request(
                method, target, authorization=self._authorization, body=body, limit=limit
            ):
                yield data
        except (HttpError, *BROKEN) as error:
            raise self._failure(error) from None

    def _failure(self, error: BaseException) -> CoordinatorError:
        """Return what is raised instead of one of HttpError and BROKEN."""
        if not isinstance(error, HttpError):
            return Unreachable(f"{self._address.shown} broke off: {_why(error)}")
        if error.status == HTTPStatus.NOT_FOUND:
            return Denied(f"{self._address.shown} is of an older version: update it first")
        sentence = error.reason or f"{self._address.shown} answers {error.status}"
        if error.status != HTTPStatus.TOO_MANY_REQUESTS:
            return Denied(sentence)
        return Busy(sentence, error.retry_after) if error.retry_after else Unreachable(sentence)


def _read_hello(found: Any) -> tuple[str, str, int | None]:
    """Return the network's key, the challenge, and the time, which an older coordinator does not tell.

    Raises ValueError, as others do, for what is none.
    """
    network, told = str(found["network"]), found.get("time")
    return network, _read_challenge(found["challenge"]), None if told is None else codec.NUMBER.read(told)


def _read_challenge(found: Any) -> str:
    if not (isinstance(found, str) and found.isascii() and found.isprintable()):
        raise ValueError("that is no challenge")
    if not 0 < len(found) <= _MAX_CHALLENGE:
        raise ValueError("that is no challenge")
    return found


def _read_records(found: Any) -> list[Signed]:
    return list(map(read_signed, found["records"]))


def _read_outcomes(found: Any) -> list[Outcome]:
    return [Outcome(str(result["verdict"]), printable(str(result["reason"]))) for result in found["results"]]


def _read_welcome(found: Any) -> Welcome:
    records = tuple(map(read_signed, found["records"]))
    addresses = frozenset(map(IPv4Address, found["addresses"]))
    return Welcome(records, addresses, frozenset(map(str, found["names"])), str(found["seen"]))


def _read_health(found: Any) -> Health:
    identity = VerifyKey.from_base64(found["identity"])
    cloned = bool(found.get("cloned"))  # a coordinator of an earlier version does not say
    seen = printable(str(found["seen"]))
    return Health(identity, bool(found["connected"]), int(found["heard"]), seen, cloned)


def _read_proposal(found: Any) -> tuple[Proposal, int]:
    mapped = tuple(map(parse_global_prefix, found["mapped"]))
    return Proposal(mapped, printable(str(found["reason"]))), codec.NUMBER.read(found["time"])


def _read_audit_entry(found: Any) -> dict[str, Any]:
    texts = {name: printable(str(found[name]), _MAX_SENTENCE) for name in ("who", "what", "from")}
    return {"time": codec.NUMBER.read(found["time"]), **texts}


def key_hash(certificate: bytes) -> bytes:
    """Return the BLAKE2s of a coordinator's public key, as in an invitation. certificate: DER.

    Raises ValueError. Who has no other use for cryptography saves its import, and 5 MiB.
    """
    return hashlib.blake2s(public_key_info(certificate)).digest()


def _tls(address: Address) -> ssl.SSLContext:
    """A certificate is verified by name and authority, or not at all: then its key is, see `_check_key`."""
    if address.key_hash == BY_NAME:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # authorities are a megabyte, and not needed
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _check_key(tls: ssl.SSLObject, address: Address) -> None:
    """Raises Denied."""
    if address.key_hash == BY_NAME:
        return
    try:
        found = key_hash(tls.getpeercert(binary_form=True) or b"")
    except ValueError:
        found = b""
    if not hmac.compare_digest(found, address.key_hash):
        raise Denied(f"{address.shown} has another key than the token has: another host answers there")


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came within {_TIMEOUT:.0f} s"
    number = error.errno if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    if number is not None and number in errorcode:
        return os.strerror(number)  # asyncio's own text repeats the address
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _BY_CLOCK:
        return f"{error.verify_message}, and this host's clock says {written(int(time.time()))}"
    return getattr(error, "strerror", None) or str(error)
