"""The HTTPS interface, described by OpenAPI at /openapi.json.

Records speak for themselves, so whoever has one may hand it in. All else is for those who prove a key.
"""

import logging
import os
import time
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import APIKeyHeader

from wgpy.mesh.codec import MAX_NUMBER
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.wire import read_signed, write_signed

from .auth import Asker, Role, asker_of, prove
from .challenges import Challenges
from .errors import Denial, StoreError
from .limits import LimitedBody
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
    Submission,
    Trouble,
    Welcome,
)
from .service import Service
from .store import Seen

_LOG = logging.getLogger("wgmesh")

_DESCRIPTION: Final = """\
Stores the signed records of one network and tells each node what concerns it.

`Authorization: wgpy KEY CHALLENGE SIGNATURE` proves a key: KEY and SIGNATURE in base64, CHALLENGE from
`/v1/hello`; what is signed is `wgpy request 1`, the 16 bytes of the network's id, and the challenge."""
_PROOF: Final = APIKeyHeader(
    name="Authorization", scheme_name="proof", auto_error=False, description="wgpy KEY CHALLENGE SIGNATURE"
)
_LINES: Final = "application/jsonl"
_FOLLOW: Final = {
    "content": {
        _LINES: {"example": '{"standing":{"sequence":7,"digest":"…"},"own":"…","seen":"198.51.100.7"}'}
    },
    "description": "Lines of JSON: a greeting, then `{revision, records}` as news comes. It does not end "
    "while the asker is a member.",
}

_ROUTER: Final = APIRouter(
    prefix="/v1", responses={422: {"model": Trouble, "description": "The request cannot be understood."}}
)
_DENIALS: Final[dict[int | str, dict[str, object]]] = {
    401: {"model": Trouble, "description": "No key is proved."},
    403: {"model": Trouble, "description": "The key is nobody here, or may not ask for this."},
}


def make_app(hub: Service) -> FastAPI:
    app = FastAPI(title="wgmesh", version="1", description=_DESCRIPTION, docs_url=None, redoc_url=None)
    app.state.hub = hub
    app.state.challenges = Challenges(os.urandom(32))
    app.include_router(_ROUTER)
    app.add_middleware(LimitedBody)
    app.add_exception_handler(Denial, _on_denial)
    app.add_exception_handler(StoreError, _on_store_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    return app


# -- Who asks -------------------------------------------------------------------------------------


async def _hub(request: Request) -> Service:
    hub: Service = request.app.state.hub
    await hub.catch_up()
    return hub


async def _challenges(request: Request) -> Challenges:
    challenges: Challenges = request.app.state.challenges
    return challenges


async def _source(request: Request) -> str:
    """Return the address that a request came from."""
    address = ip_address(request.client.host if request.client else "::")
    return str(address.ipv4_mapped or address if isinstance(address, IPv6Address) else address)


_Hub = Annotated[Service, Depends(_hub)]
_Challenges = Annotated[Challenges, Depends(_challenges)]
_Source = Annotated[str, Depends(_source)]


async def _asker(hub: _Hub, challenges: _Challenges, proof: Annotated[str | None, Depends(_PROOF)]) -> Asker:
    key = prove(proof, hub.book.ledger.network, challenges, _clock())
    return asker_of(key, hub.book, int(time.time()))


class _Only:
    """Lets some of those who prove a key ask."""

    def __init__(self, *roles: Role) -> None:
        self._roles = roles

    async def __call__(self, asker: Annotated[Asker, Depends(_asker)]) -> Asker:
        if asker.role not in self._roles:
            allowed = " or ".join(role.value for role in self._roles)
            raise Denial(403, f"this is for {allowed}, and the key is {asker.role.value}")
        return asker


_Token = Annotated[Asker, Depends(_Only(Role.TOKEN))]
_Member = Annotated[Asker, Depends(_Only(Role.MEMBER))]
_MemberOrNetwork = Annotated[Asker, Depends(_Only(Role.MEMBER, Role.NETWORK))]
_Network = Annotated[Asker, Depends(_Only(Role.NETWORK))]


# -- What is asked ---------------------------------------------------------------------------------


@_ROUTER.get("/hello")
async def hello(hub: _Hub, challenges: _Challenges) -> Hello:
    """Say whose records these are, and what to sign to prove a key."""
    return Hello(network=str(hub.book.ledger.key), challenge=challenges.make(_clock()))


@_ROUTER.get("/welcome", responses=_DENIALS)
async def welcome(hub: _Hub, asker: _Token, source: _Source) -> Welcome:
    """Tell the holder of a token what it needs to know to join."""
    members = hub.book.topology.members
    return Welcome(
        records=_records(hub.book.ledger.for_everybody()),
        addresses=[str(member.address) for member in members],
        names=[member.name for member in members if member.name],
        seen=source,
    )


@_ROUTER.post(
    "/records",
    responses={
        413: {"model": Trouble, "description": "More than is taken at once."},
        429: {"model": Trouble, "description": "More than is taken from one address."},
        503: {"model": Trouble, "description": "The database does not take it; nothing was stored."},
    },
)
async def submit(hub: _Hub, submission: Submission, source: _Source) -> Results:
    """Hand records in. Those that the answer calls new are on disk."""
    try:
        records = [read_signed(record.model_dump()) for record in submission.records]
    except ValueError as error:
        raise Denial(422, f"a record is damaged: {error}") from None
    outcomes = await hub.submit(records, source)
    return Results(results=[Result(verdict=one.verdict, reason=one.reason) for one in outcomes])


@_ROUTER.get("/follow", response_class=StreamingResponse, responses={**_DENIALS, 200: _FOLLOW})
async def follow(
    hub: _Hub,
    asker: _Member,
    source: _Source,
    since: Annotated[
        int, Query(ge=0, le=MAX_NUMBER, description="The revision up to which all is known.")
    ] = 0,
) -> StreamingResponse:
    """Tell a node what concerns it, as it comes."""
    since = await hub.resume(since)
    return StreamingResponse(hub.follow(asker.key, since, source), media_type=_LINES)


@_ROUTER.get("/records", responses=_DENIALS)
async def records(hub: _Hub, asker: _MemberOrNetwork) -> Records:
    """Give the network's key all records, and a member those that concern it."""
    book = hub.book
    if asker.role is Role.NETWORK:
        return Records(records=_records(book.ledger))
    return Records(records=_records(entry.signed for entry in book.news(asker.key, 0)))


@_ROUTER.get("/nodes", responses=_DENIALS)
async def nodes(hub: _Hub, asker: _MemberOrNetwork) -> Nodes:
    """Tell the network's key of all nodes, and a member of itself and its peers, whether they follow."""
    topology = hub.book.topology
    concerned = [member.identity for member in topology.members]
    if asker.role is Role.MEMBER:
        concerned = [asker.key, *(peer.identity for peer in topology.peers(asker.key))]
    seen = await hub.presence.seen()
    return Nodes(nodes=[_health(identity, seen.get(identity, Seen(0, ""))) for identity in concerned])


@_ROUTER.get("/audit", responses=_DENIALS)
async def audit(hub: _Hub, asker: _Network) -> Audit:
    """Tell who changed what, when and from where."""
    entries = await hub.audit()
    return Audit(
        entries=[
            AuditLine.model_validate({"time": one.time, "who": one.who, "what": one.what, "from": one.source})
            for one in entries
        ]
    )


def _records(records: Iterable[Signed]) -> list[SignedRecord]:
    return [SignedRecord.model_validate(write_signed(signed)) for signed in records]


def _health(identity: VerifyKey, seen: Seen) -> NodeHealth:
    connected = bool(seen.coordinator)
    return NodeHealth(identity=str(identity), connected=connected, heard=seen.heard, seen=seen.address)


def _clock() -> int:
    """Seconds, of a clock that does not go back."""
    return int(time.monotonic())


# -- What goes wrong -------------------------------------------------------------------------------


async def _on_denial(_request: Request, error: Exception) -> JSONResponse:
    status = error.status if isinstance(error, Denial) else HTTPStatus.INTERNAL_SERVER_ERROR
    return JSONResponse({"detail": str(error)}, status)


async def _on_store_error(_request: Request, error: Exception) -> JSONResponse:
    _LOG.error("%s", error)
    return JSONResponse(
        {"detail": f"the coordinator cannot store it: {error}"}, HTTPStatus.SERVICE_UNAVAILABLE
    )


async def _on_invalid(_request: Request, error: Exception) -> JSONResponse:
    found = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": ""}
    where = ".".join(map(str, found["loc"]))
    return JSONResponse({"detail": f"{where}: {found['msg']}"}, HTTPStatus.UNPROCESSABLE_ENTITY)
