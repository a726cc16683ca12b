"""The bodies of requests and responses in JSON, for the OpenAPI description."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from wgpy.mesh.records import MAX_ITEMS
from wgpy.mesh.signing import MAX_BODY
from wgpy.mesh.wire import RECORDS_PER_LINE

_KEY: Final = "nzQwOT2Wk1mDyzuGX3cGK5NGPEgJ2ah1mGT4hXgPNsI="
_BODY: Final = f'{{"identity":"{_KEY}","sequence":7,"type":"removal","version":1}}'
_RECORD: Final = {"body": _BODY, "signature": "rJ3aFz…Cg=="}

_HEALTH: Final = {
    "identity": _KEY,
    "connected": True,
    "heard": 1800000000,
    "seen": "198.51.100.7",
    "cloned": False,
}
_CHANGE: Final = {
    "time": 1800000000,
    "who": "network key",
    "what": "removal of web-1",
    "from": "198.51.100.7",
}


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": fields})


class SignedRecord(BaseModel):
    """A record with its signature."""

    model_config = _example(**_RECORD)

    body: str = Field(
        description="The signed text: one JSON object in its canonical form.", max_length=MAX_BODY
    )
    signature: str = Field(description="Ed25519 signature of the body, in base64.", max_length=88)


class Trouble(BaseModel):
    """Why a request was not granted."""

    model_config = _example(detail="the token is used up: it has admitted 1")

    detail: str = Field(description="One sentence.")


class Hello(BaseModel):
    model_config = _example(network=_KEY, challenge="1800000000-6f0a4c…", time=1800000000)

    network: str = Field(description="The network's public key, in base64.")
    challenge: str = Field(description="To be signed for `Authorization`; valid for 60 s.")
    time: int = Field(description="By the coordinator's clock: Unix seconds.")


class Welcome(BaseModel):
    """What a host needs to join."""

    model_config = _example(records=[_RECORD], addresses=["100.64.3.7"], names=["web-1"], seen="198.51.100.7")

    records: list[SignedRecord] = Field(description="Admin records and departures.")
    addresses: list[str] = Field(description="IPv4 addresses that nodes have.")
    names: list[str] = Field(description="Names that nodes have.")
    seen: str = Field(description="The address that this request came from.")


class Submission(BaseModel):
    model_config = _example(records=[_RECORD])

    records: list[SignedRecord] = Field(max_length=RECORDS_PER_LINE)


class Result(BaseModel):
    """The verdict on a record."""

    model_config = _example(verdict="refused", reason="the name web-1 is another node's")

    verdict: str = Field(
        description="new: stored; known: stored before; old: a newer one is stored; refused: see reason.",
        json_schema_extra={"enum": ["new", "known", "old", "refused"]},
    )
    reason: str = Field(description="Why the record was refused, else empty.")


class Results(BaseModel):
    model_config = _example(results=[{"verdict": "new", "reason": ""}])

    results: list[Result] = Field(description="One for each record, in order.")


class Records(BaseModel):
    model_config = _example(records=[_RECORD])

    records: list[SignedRecord]


class NodeHealth(BaseModel):
    model_config = _example(**_HEALTH)

    identity: str = Field(description="The node's public identity key, in base64.")
    connected: bool = Field(description="Whether the node is subscribed now.")
    heard: int = Field(description="When the node was last subscribed: Unix seconds, 0 for never.")
    seen: str = Field(description="The address of the node's connection.")
    cloned: bool = Field(description="Whether several hosts with this identity are subscribed.")


class Nodes(BaseModel):
    model_config = _example(nodes=[_HEALTH])

    nodes: list[NodeHealth]


class AuditLine(BaseModel):
    """A change. `from` is the source address of the request."""

    model_config = _example(**_CHANGE)

    time: int = Field(description="Unix seconds.")
    who: str = Field(description="`network key`, a node's name, or `coordinator`.")
    what: str = Field(description="A sentence.")
    source: str = Field(alias="from", description="An IP address.")


class Audit(BaseModel):
    model_config = _example(entries=[_CHANGE])

    entries: list[AuditLine] = Field(description="The newest last.")


class WantedSite(BaseModel):
    """A site that a node wants to announce."""

    model_config = _example(name="office", prefixes=["192.168.1.0/24"], face="either")

    name: str = Field(description="Of the site.", max_length=63)
    prefixes: list[Annotated[str, Field(max_length=43)]] = Field(
        description="Of the site, sorted by version, address and length.", min_length=1, max_length=MAX_ITEMS
    )
    face: Literal["real", "mapped", "either"] = Field(description="Which face it is to have.")


class SiteProposal(BaseModel):
    """What a node may announce of a site, as far as the coordinator knows."""

    model_config = _example(
        mapped=["100.96.4.0/24"], reason="home already is 192.168.1.0/24", time=1800000000
    )

    mapped: list[str] = Field(description="What the mesh is to route for each of the prefixes.")
    reason: str = Field(description="Why that is not the prefix itself; empty if it is.")
    time: int = Field(description="When it is announced, by the coordinator's clock: Unix seconds.")
