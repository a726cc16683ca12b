"""The HTTPS API, described by OpenAPI at /openapi.json.

Records are signed, so anybody may submit one. Every other request but `hello` is authenticated by a key.
"""

import logging
import os
import time
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import APIKeyHeader
from starlette.types import Receive, Scope, Send

from wgpy.address import parse_global_prefix
from wgpy.mesh import mapping
from wgpy.mesh.codec import MAX_NUMBER
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.wire import read_signed, write_signed
from wgpy.node.coordinator_client import DATAGRAMS

from .auth import Client, Role, authenticate, authorize
from .challenges import Challenges
from .datagrams import DatagramStreams, MemberStream
from .errors import Denial, StoreError
from .limits import MAX_LISTED, MAX_SUBSCRIPTIONS
from .models import (
    Audit,
    AuditLine,
    Hello,
    NodeHealth,
    Nodes,
    Records,
    Result,
    Results,
    SignedRecord,
    SiteProposal,
    Submission,
    Trouble,
    WantedSite,
    Welcome,
)
from .presence_table import Seen
from .service import Service
from .snapshot import Snapshot
from .turns import Rank

_LOG = logging.getLogger("wgmesh")

_DESCRIPTION: Final = """\
Stores the signed records of one network and sends each node the records that concern it.

`Authorization: wgpy KEY CHALLENGE SIGNATURE` authenticates a client: KEY and SIGNATURE in base64, CHALLENGE
from `/v1/hello`; what is signed is `wgpy request 1`, the 16 bytes of the network's id, and the challenge."""
_PROOF: Final = APIKeyHeader(
    name="Authorization", scheme_name="proof", auto_error=False, description="wgpy KEY CHALLENGE SIGNATURE"
)
_MEMBERS_A_RECORD: Final = 2  # a name and an address take less than half as long to list as a record does
_LINES: Final = "application/jsonl"
_FOLLOW: Final = {
    "content": {
        _LINES: {"example": '{"standing":{"sequence":7,"digest":"…"},"own":"…","seen":"198.51.100.7"}'}
    },
    "description": "Lines of JSON: a greeting, then `{revision, records}` as records are stored. The answer "
    "ends when the node is no longer a member.",
}

_ROUTER: Final = APIRouter(
    prefix="/v1", responses={422: {"model": Trouble, "description": "The request is malformed."}}
)
_DENIALS: Final[dict[int | str, dict[str, object]]] = {
    401: {"model": Trouble, "description": "The request is not authenticated."},
    403: {"model": Trouble, "description": "The key is unknown here, or is not authorized for this request."},
}


def make_app(service: Service, streams: DatagramStreams) -> FastAPI:
    app = FastAPI(title="wgmesh", version="1", description=_DESCRIPTION, docs_url=None, redoc_url=None)
    app.state.service = service
    app.state.streams = streams
    app.state.challenges = Challenges(os.urandom(32))
    app.include_router(_ROUTER)
    app.add_exception_handler(Denial, _on_denial)
    app.add_exception_handler(StoreError, _on_store_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    return app


# -- Authentication -------------------------------------------------------------------------------


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _challenges(request: Request) -> Challenges:
    challenges: Challenges = request.app.state.challenges
    return challenges


def _source(request: Request) -> str:
    """Return the address that a request came from."""
    address = ip_address(request.client.host if request.client else "::")
    return str(address.ipv4_mapped or address if isinstance(address, IPv6Address) else address)


async def _client(request: Request, proof: Annotated[str | None, Depends(_PROOF)]) -> Client:
    service = _service(request)
    key = authenticate(proof, service.snapshot.ledger.network, _challenges(request), _clock())
    await service.catch_up()
    client = authorize(key, service.snapshot, int(time.time()))
    request.state.prove()
    return client


async def _rank(request: Request) -> Rank:
    """Return the rank of a client that may prove a key, and need not."""
    try:
        await _client(request, request.headers.get("authorization"))
    except Denial:
        return Rank.UNKNOWN
    return Rank.KNOWN


class _Only:
    """Admits clients of certain roles."""

    def __init__(self, *roles: Role) -> None:
        self._roles = roles

    async def __call__(self, client: Annotated[Client, Depends(_client)]) -> Client:
        if client.role not in self._roles:
            allowed = " or ".join(role.value for role in self._roles)
            raise Denial(403, f"this request is for {allowed}, and the key is {client.role.value}")
        return client


def _list(service: Service, client: Client, size: int) -> None:
    """Raises Denial if a key asks for lists so often that others would wait. size: records."""
    now = time.monotonic()
    if client.role is not Role.NETWORK and not service.lists.take(client.key, size, now):
        wait = service.lists.wait(client.key, size, now)
        raise Denial(HTTPStatus.TOO_MANY_REQUESTS, "this key asks for too much: try again in a minute", wait)


def _news_units(snapshot: Snapshot, key: VerifyKey, since: int) -> int:
    """Return what news count as. To raise the revision above a node's costs everybody."""
    return snapshot.most_news(key, since) if since <= snapshot.revision else MAX_LISTED


_Token = Annotated[Client, Depends(_Only(Role.TOKEN))]
_Member = Annotated[Client, Depends(_Only(Role.MEMBER))]
_MemberOrNetwork = Annotated[Client, Depends(_Only(Role.MEMBER, Role.NETWORK))]
_Network = Annotated[Client, Depends(_Only(Role.NETWORK))]


class _Datagrams(Response):
    """An answer that is no HTTP any more."""

    def __init__(self, streams: DatagramStreams, client: Client, stream: MemberStream) -> None:
        super().__init__(status_code=HTTPStatus.SWITCHING_PROTOCOLS)
        self._streams = streams
        self._key = client.key
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await scope["state"]["switch"](DATAGRAMS, self._stream)
        finally:
            self._streams.close(self._key, self._stream)


class _Lines(StreamingResponse):
    """Lines as they come, to whose connection they are written without what Starlette does for each."""

    media_type = _LINES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["state"]["stream"](self.status_code, self.raw_headers, self.body_iterator)


# -- Requests --------------------------------------------------------------------------------------


@_ROUTER.get("/hello")
async def hello(request: Request) -> Hello:
    """Return the network's key, the challenge to sign, and the time."""
    network = str(_service(request).snapshot.ledger.key)
    challenge = _challenges(request).make(_clock())
    return Hello(network=network, challenge=challenge, time=int(time.time()))


@_ROUTER.get("/welcome", responses=_DENIALS)
async def welcome(request: Request, client: _Token) -> Welcome:
    """Return what the holder of a token needs to join."""
    service = _service(request)
    topology, records = service.snapshot.topology, service.snapshot.ledger.for_everybody()
    _list(service, client, len(records) + len(topology.members) // _MEMBERS_A_RECORD)
    return Welcome(
        records=_records(records),
        addresses=[*map(str, topology.addresses())],
        names=[*topology.names()],
        seen=_source(request),
    )


@_ROUTER.post(
    "/records",
    responses={
        413: {"model": Trouble, "description": "The request is too large."},
        429: {"model": Trouble, "description": "The address sends too much."},
        503: {"model": Trouble, "description": "Try again: some of the records may be stored."},
    },
)
async def submit(request: Request, submission: Submission) -> Results:
    """Submit records. Those that the answer calls new are on disk."""
    service, rank = _service(request), await _rank(request)
    await service.catch_up()
    try:
        records = [read_signed(record.model_dump()) for record in submission.records]
    except ValueError as error:
        raise Denial(422, f"a record is damaged: {error}") from None
    outcomes = await service.submit(records, _source(request), rank)
    return Results(results=[Result(verdict=outcome.verdict, reason=outcome.reason) for outcome in outcomes])


@_ROUTER.get("/follow", response_class=_Lines, responses={**_DENIALS, 200: _FOLLOW})
async def follow(
    request: Request,
    client: _Member,
    since: Annotated[
        int, Query(ge=0, le=MAX_NUMBER, description="The revision up to which the node has all records.")
    ] = 0,
) -> _Lines:
    """Send a node the records that concern it, as they are stored."""
    service = _service(request)
    if service.presence.connections(client.key) >= MAX_SUBSCRIPTIONS:
        raise Denial(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"this node is connected {MAX_SUBSCRIPTIONS} times already: are several hosts copies of one?",
        )
    _list(service, client, _news_units(service.snapshot, client.key, since))
    since = await service.resume(since)
    return _Lines(service.follow(client.key, since, _source(request)))


@_ROUTER.get(
    "/datagrams",
    response_class=_Datagrams,
    status_code=HTTPStatus.SWITCHING_PROTOCOLS,
    responses={
        **_DENIALS,
        409: {"model": Trouble, "description": "There is no relay beside this coordinator."},
        426: {"model": Trouble, "description": "The request is no upgrade."},
    },
)
async def datagrams(request: Request, client: _Member) -> Response:
    """Upgrade to `wgpy-datagrams`: carry a member's datagrams to the relay and back, as in RFC 4571."""
    if request.headers.get("upgrade", "").lower() != DATAGRAMS:
        raise Denial(HTTPStatus.UPGRADE_REQUIRED, f"this is for an upgrade to {DATAGRAMS}")
    streams: DatagramStreams = request.app.state.streams
    return _Datagrams(streams, client, await streams.open(client.key))


@_ROUTER.get("/records", responses=_DENIALS)
async def records(request: Request, client: _MemberOrNetwork) -> Records:
    """Return all records to the network's key, and to a member those that concern it."""
    service = _service(request)
    snapshot = service.snapshot
    _list(service, client, len(snapshot.entries))
    if client.role is Role.NETWORK:
        return Records(records=_records(snapshot.ledger))
    return Records(records=_records(entry.signed for entry in snapshot.news(client.key, 0)))


@_ROUTER.get("/nodes", responses=_DENIALS)
async def nodes(request: Request, client: _MemberOrNetwork) -> Nodes:
    """Return the health of all nodes to the network's key, and to a member that of itself and its peers."""
    service = _service(request)
    topology = service.snapshot.topology
    _list(service, client, len(topology.members))
    identities = [member.identity for member in topology.members]
    if client.role is Role.MEMBER:
        identities = [client.key, *(peer.identity for peer in topology.peers(client.key))]
    seen = await service.presence.seen()
    clones = service.presence.clones()
    return Nodes(
        nodes=[
            _health(identity, seen.get(identity, Seen(0, "")), cloned=identity in clones)
            for identity in identities
        ]
    )


@_ROUTER.post(
    "/site-proposals",
    responses={**_DENIALS, 409: {"model": Trouble, "description": "No such site can be announced."}},
)
async def propose_site(request: Request, client: _Member, wanted: WantedSite) -> SiteProposal:
    """Return what the mesh is to route for a site that a member wants to announce.

    What is of the pool is reserved for half a minute.
    """
    service = _service(request)
    _list(service, client, len(service.snapshot.topology.members))
    try:
        found = await service.propose_site(client.key, _wanted(wanted))
    except ValueError as error:  # SiteRefused is one
        raise Denial(HTTPStatus.CONFLICT, str(error)) from None
    return SiteProposal(mapped=list(map(str, found.mapped)), reason=found.reason, time=int(time.time()))


def _wanted(wanted: WantedSite) -> mapping.WantedSite:
    """Raises ValueError."""
    return mapping.WantedSite(wanted.name, tuple(map(parse_global_prefix, wanted.prefixes)), wanted.face)


@_ROUTER.get("/audit", responses=_DENIALS)
async def audit(request: Request, client: _Network) -> Audit:
    """Return the audit log."""
    entries = await _service(request).audit()
    return Audit(
        entries=[
            AuditLine.model_validate(
                {"time": entry.time, "who": entry.who, "what": entry.what, "from": entry.source}
            )
            for entry in entries
        ]
    )


def _records(records: Iterable[Signed]) -> list[SignedRecord]:
    return [SignedRecord.model_validate(write_signed(signed)) for signed in records]


def _health(identity: VerifyKey, seen: Seen, *, cloned: bool) -> NodeHealth:
    return NodeHealth(
        identity=str(identity),
        connected=bool(seen.coordinator),
        heard=seen.heard,
        seen=seen.address,
        cloned=cloned,
    )


def _clock() -> int:
    """Return the time of the monotonic clock in seconds."""
    return int(time.monotonic())


# -- Errors ----------------------------------------------------------------------------------------


async def _on_denial(_request: Request, error: Exception) -> JSONResponse:
    status = error.status if isinstance(error, Denial) else HTTPStatus.INTERNAL_SERVER_ERROR
    wait = error.retry_after if isinstance(error, Denial) else 0
    return JSONResponse({"detail": str(error)}, status, {"Retry-After": str(wait)} if wait else None)


async def _on_store_error(_request: Request, error: Exception) -> JSONResponse:
    _LOG.error("%s", error)
    return JSONResponse(
        {"detail": f"the coordinator cannot store the records: {error}"}, HTTPStatus.SERVICE_UNAVAILABLE
    )


async def _on_invalid(_request: Request, error: Exception) -> JSONResponse:
    found = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": ""}
    where = ".".join(map(str, found["loc"]))
    return JSONResponse({"detail": f"{where}: {found['msg']}"}, HTTPStatus.UNPROCESSABLE_ENTITY)
