"""`wgpy mesh token` and `wgpy mesh revoke`: tokens."""

import asyncio
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator

from wgpy.address import Prefix
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh.administrator import Administrator, administrator
from wgpy.cli.mesh.argument_types import duration_text
from wgpy.cli.mesh.dependents import Dependents
from wgpy.cli.mesh.output import ENDED_SHOWN, columns, count, date, listed, report
from wgpy.cli.network_documents import NewToken, Revoked, TokenFields, TokenRow, Tokens
from wgpy.mesh.endings import token_ended
from wgpy.mesh.invitation import Invitation
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import Relay, Revocation, Token
from wgpy.mesh.signing import SigningKey


def token(arguments: Namespace) -> None:
    asyncio.run(_list(arguments) if arguments.list else _token(arguments))


def revoke(arguments: Namespace) -> None:
    asyncio.run(_revoke(arguments))


async def make(
    administrator: Administrator,
    *,
    uses: int,
    expires: int,
    lifetime: int = 0,
    tags: Iterable[str] = (),
    routes: Iterable[Prefix] = (),
    relay: bool = False,
) -> tuple[Invitation, Token]:
    """Make a token. expires, lifetime: seconds from now. Raises as `Administrator.publish` does.

    relay: whether its nodes are relays.
    """
    key = SigningKey.generate()
    await administrator.publish(
        Token,
        key=key.verify_key(),
        expires=int(time.time()) + expires,
        uses=uses,
        lifetime=lifetime,
        tags=tuple(sorted(set(tags))),
        routes=tuple(routes),
    )
    if relay:
        await administrator.publish(Relay, key=key.verify_key(), allowed=True)
    file = administrator.file
    made = administrator.ledger.admin_records(Token)[bytes(key.verify_key())]
    return Invitation(key, file.key.verify_key(), file.key_hash, file.url), made


def describe(invitation: Invitation, made: Token, *, relay: bool = False) -> str:
    """Return the command that uses a token, and what the token admits. relay: whether to relays."""
    tags = f", with tag {listed(made.tags)}" if made.tags else ""
    routes = f"\nThey may announce {listed(made.routes)}." if made.routes else ""
    relays = "\nEach is a relay: all nodes must reach it by UDP." if relay else ""
    lifetime = f"\nEach is a member for {duration_text(made.lifetime)}." if made.lifetime else ""
    return (
        "  sudo wgpy mesh join\n\n"
        f"The command asks for this token, which is a secret:\n\n  {invitation.text()}\n\n"
        f"It admits {count(made.uses, 'host')} until {date(made.expires)}{tags}.{routes}{relays}{lifetime}"
    )


async def _token(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        invitation, made = await make(
            admin,
            uses=arguments.uses,
            expires=arguments.expires,
            lifetime=arguments.lifetime,
            tags=arguments.tag,
            routes=arguments.routes,
            relay=arguments.relay,
        )
    document: NewToken = {"token": invitation.text(), "relay": arguments.relay, **_json(made)}
    text = describe(invitation, made, relay=arguments.relay)
    report(arguments, document, f"On each host that is to join:\n\n{text}")


async def _list(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        found = document(admin, everything=arguments.all)
    lines = [
        (
            token["key"],
            token["state"],
            f"{token['used']} of {token['uses']}",
            date(token["expires"]),
            duration_text(token["lifetime"]) if token["lifetime"] else "-",
            listed(token["tags"]),
            listed(token["routes"]),
            "relay" if token["relay"] else "-",
        )
        for token in found
    ]
    listing: Tokens = {"tokens": found}
    report(
        arguments,
        listing,
        columns([("KEY", "STATE", "USED", "EXPIRES", "LIFETIME", "TAGS", "ROUTES", "AS"), *lines]),
    )


def document(admin: Administrator, *, everything: bool) -> list[TokenRow]:
    """Return the document of --list --json. everything: also what ended long ago."""
    found = sorted(admin.ledger.admin_records(Token).values(), key=lambda token: token.sequence)
    shown = found if everything else without_old(found, admin.ledger, int(time.time()))
    return [
        {
            **_json(token),
            "state": state(admin, token),
            "used": _used(admin, token),
            "relay": _admits_relays(admin, token),
        }
        for token in shown
    ]


def without_old(tokens: Iterable[Token], ledger: Ledger, now: int) -> Iterator[Token]:
    """Leave out tokens that ceased to admit hosts long ago. now: Unix seconds."""
    for token in tokens:
        ended = token_ended(ledger, token, now)
        if not ended or ended >= now - ENDED_SHOWN:
            yield token


async def _revoke(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        found = _find(admin, arguments.token)
        excluded = admin.topology.excluded
        keep = tuple(
            node.signer
            for node in admin.ledger.nodes()
            if node.token == found.key and node.signer not in excluded
        )
        before = admin.topology
        await admin.publish(Revocation, token=found.key, keep=keep)
        gone = {one.identity for one in before.members} - {one.identity for one in admin.topology.members}
        dependents = Dependents.of(before, gone)
        names = sorted(member.name for member in admin.topology.members if member.identity in keep)
    text = f"The token {found.key} admits no host any more."
    if keep:
        text += f" Of the nodes that it admitted, these stay: {listed(names)}."
    document: Revoked = {
        "revoked": str(found.key),
        "kept": list(map(str, keep)),
        **dependents.document(),
    }
    report(arguments, document, "\n".join([text, *dependents.lines()]))


def _find(admin: Administrator, beginning: str) -> Token:
    """Raises CommandError."""
    found = [
        token for token in admin.ledger.admin_records(Token).values() if str(token.key).startswith(beginning)
    ]
    if len(found) != 1:
        raise CommandError(
            f"{'several tokens begin' if found else 'no token begins'} with {beginning}; "
            "`wgpy mesh token --list` shows all"
        )
    return found[0]


def _used(admin: Administrator, token: Token) -> int:
    return sum(node.token == token.key for node in admin.ledger.nodes())


def _admits_relays(admin: Administrator, token: Token) -> bool:
    relay = admin.ledger.find(Relay, bytes(token.key))
    return relay is not None and relay.allowed


def state(admin: Administrator, token: Token) -> str:
    """Return whether a token still admits hosts: valid, revoked, expired or used up."""
    if bytes(token.key) in admin.ledger.admin_records(Revocation):
        return "revoked"
    if token.expires <= admin.ledger.judging_time(int(time.time())):
        return "expired"
    return "used up" if _used(admin, token) >= token.uses else "valid"


def _json(token: Token) -> TokenFields:
    return {
        "key": str(token.key),
        "expires": token.expires,
        "uses": token.uses,
        "lifetime": token.lifetime,
        "tags": list(token.tags),
        "routes": list(map(str, token.routes)),
    }
