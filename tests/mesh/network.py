"""A network to test with: the keys and records of an administrator and of nodes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Any

from wgpy.address import Prefix
from wgpy.keys import PublicKey
from wgpy.mesh.addressing import client_address6
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import (
    AdminRecord,
    AnnouncedSite,
    Approval,
    Client,
    Departure,
    Ingress,
    Network,
    Node,
    Paths,
    Record,
    RegisteredRelay,
    Relay,
    Removal,
    Revocation,
    Rule,
    Scope,
    Sites,
    Tags,
    Token,
    ZoneApproval,
    admit,
    encode,
    network_id,
    node_selector,
)
from wgpy.mesh.selectors import parse_end
from wgpy.mesh.signing import Signed, SigningKey, VerifyKey
from wgpy.mesh.topology import Topology, derive

NOW = 1_800_000_000
DAY = 86_400
ADDRESSES6 = IPv6Network("fd12:3456::/32")


def key_of(number: int) -> SigningKey:
    """A signing key that is always the same for a number."""
    return SigningKey(number.to_bytes(32, "big"))


def prefixes(*texts: str) -> tuple[Prefix, ...]:
    return tuple(map(ip_network, texts))


# What allows every prefix but a default route.
EVERYTHING = prefixes("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")


def site(name: str, *real: str, mapped: tuple[str, ...] = (), **fields: Any) -> AnnouncedSite:
    """A site as a node announces it, with its real face if no mapped prefixes are given."""
    usual = {"face": "either", "is_routed": False, "priority": 100, "since": NOW}
    return AnnouncedSite(name, prefixes(*real), prefixes(*(mapped or real)), **{**usual, **fields})


def ingress_of(key: PublicKey, gateway: SigningKey) -> Ingress:
    """How a client enters by a node, by a file that leads the network's IPv4 into the tunnel."""
    identity = gateway.verify_key()
    return Ingress(
        gateway=identity, address=IPv4Address("100.80.200.0") + _number(key),
        address6=client_address6(ADDRESSES6, key, identity), key=PublicKey(bytes(31) + b"\x01"),
        endpoint="192.0.2.1:51820", prefixes=prefixes("100.80.0.0/16"), names=False,
    )  # fmt: skip


def _number(key: PublicKey) -> int:
    return int.from_bytes(bytes(key)[:2], "little")


def selector_of(node: str | SigningKey) -> str:
    return node if isinstance(node, str) else node_selector(node.verify_key())


def sign(key: SigningKey, record: Record) -> Signed:
    return key.sign(encode(record))


@dataclass(slots=True)
class Administrator:
    """Who holds the network's key.

    records: all that was signed here and by hosts, in order; admitted: when hosts first were.
    """

    key: SigningKey = field(default_factory=lambda: key_of(1))
    now: int = NOW
    sequence: int = 0
    records: list[Signed] = field(default_factory=list)
    admitted: dict[SigningKey, int] = field(default_factory=dict)

    @property
    def network(self) -> bytes:
        return network_id(self.key.verify_key())

    def sign(self, kind: Callable[..., AdminRecord], **fields: Any) -> Signed:
        self.sequence += 1
        record = kind(
            network=self.network,
            signer=self.key.verify_key(),
            sequence=self.sequence,
            time=self.now,
            **fields,
        )
        return self.publish(self.key, record)

    def publish(self, key: SigningKey, record: Record) -> Signed:
        self.records.append(sign(key, record))
        return self.records[-1]

    def found(self) -> Signed:
        return self.sign(
            Network, name="prod", addresses=IPv4Network("100.80.0.0/16"),
            addresses6=ADDRESSES6, pool=IPv4Network("100.96.0.0/12"), mtu=1380,
        )  # fmt: skip

    def invite(self, token: SigningKey, **fields: Any) -> Signed:
        usual = {"expires": self.now + DAY, "uses": 9, "lifetime": 0, "tags": (), "routes": ()}
        return self.sign(Token, key=token.verify_key(), **{**usual, **fields})

    def revoke(self, token: SigningKey, *keep: VerifyKey) -> Signed:
        return self.sign(Revocation, token=token.verify_key(), keep=keep)

    def remove(self, identity: SigningKey) -> Signed:
        return self.sign(Removal, identity=identity.verify_key())

    def relay(self, key: SigningKey, *, allowed: bool = True) -> Signed:
        """key: the identity of a node, or a token."""
        return self.sign(Relay, key=key.verify_key(), allowed=allowed)

    def approve(self, identity: SigningKey, *routes: str) -> Signed:
        return self.sign(Approval, identity=identity.verify_key(), routes=prefixes(*routes))

    def approve_zones(self, identity: SigningKey, *zones: str) -> Signed:
        return self.sign(ZoneApproval, identity=identity.verify_key(), zones=zones)

    def tag(self, identity: SigningKey, *tags: str) -> Signed:
        return self.sign(Tags, identity=identity.verify_key(), tags=tags)

    def client(self, key: PublicKey, gateway: SigningKey, **fields: Any) -> Signed:
        """gateway: the identity of a node."""
        usual = {
            "name": f"c{_number(key)}", "ingresses": (ingress_of(key, gateway),), "destinations": (),
            "expires": 0, "removed": False,
        }  # fmt: skip
        return self.sign(Client, key=key, **{**usual, **fields})

    def rule(
        self, source: str | SigningKey, destination: str | SigningKey, *, allowed: bool = True
    ) -> Signed:
        """source, destination: a selector, or the key of a node's identity."""
        return self.sign(
            Rule, source=selector_of(source), destination=selector_of(destination), allowed=allowed
        )

    def scope(self, text: str) -> str:
        """Publish the scope of an end, as `wgpy mesh allow` takes it, and return its selector."""
        end = parse_end(text)
        self.sign(Scope, end=end)
        return end.rule_selector

    def join(self, identity: SigningKey, token: SigningKey, **fields: Any) -> Signed:
        return self.publish(identity, self.node(identity, token, **fields))

    def node(self, identity: SigningKey, token: SigningKey, **fields: Any) -> Node:
        number = int.from_bytes(bytes(identity), "big")
        first = self.admitted.setdefault(identity, self.now - DAY // 2 + len(self.admitted))
        admitted = fields.pop("admitted", first)
        usual = {
            "sequence": 1, "name": f"n{number}", "key": PublicKey(number.to_bytes(32, "little")),
            "address": IPv4Address("100.80.0.0") + number, "routes": (), "endpoints": (),
        }  # fmt: skip
        return Node(
            network=self.network, signer=identity.verify_key(), admitted=admitted, token=token.verify_key(),
            admission=admit(token, self.network, identity.verify_key(), admitted),
            **{**usual, **fields},
        )  # fmt: skip

    def announce(self, identity: SigningKey, *sites: AnnouncedSite, sequence: int = 1) -> Signed:
        """Have a node say that it is a gateway of these sites, and of no other."""
        record = Sites(network=self.network, signer=identity.verify_key(), sequence=sequence, sites=sites)
        return self.publish(identity, record)

    def register(
        self, identity: SigningKey, *relays: tuple[SigningKey, int], sequence: int = 1, **fields: Any
    ) -> Signed:
        """Have a node say by which relays it is reached. relays: each with its latency in ms."""
        registered = tuple(RegisteredRelay(relay.verify_key(), latency) for relay, latency in relays)
        usual = {"endpoints": (), "relays": registered, "nat": ""}
        record = Paths(
            network=self.network, signer=identity.verify_key(), sequence=sequence, **{**usual, **fields}
        )
        return self.publish(identity, record)

    def depart(self, identity: SigningKey) -> Signed:
        return self.publish(identity, Departure(network=self.network, signer=identity.verify_key()))

    def ledger(self) -> Ledger:
        """A ledger that was told everything."""
        ledger = Ledger(self.key.verify_key())
        for signed in self.records:
            ledger.add(signed)
        return ledger

    def topology(self, now: int | None = None) -> Topology:
        return derive(self.ledger(), self.now if now is None else now)
