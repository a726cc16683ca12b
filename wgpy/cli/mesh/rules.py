"""`wgpy mesh allow` and `disallow`: rules."""

import asyncio
from argparse import Namespace

from wgpy.cli.changes import warn
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh.administrator import Administrator, administrator
from wgpy.cli.mesh.output import listed, report
from wgpy.cli.mesh.status import rule_text
from wgpy.mesh.records import Rule


def allow(arguments: Namespace) -> None:
    asyncio.run(_allow(arguments))


def disallow(arguments: Namespace) -> None:
    asyncio.run(_disallow(arguments))


async def _allow(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        before = _rules(admin)
        rule = f"{arguments.source} {arguments.destination}"
        if rule in before:
            raise CommandError(f"{rule_text(rule)} is allowed already")
        _warn_of_unmatched(admin, (arguments.source, arguments.destination))
        await _publish(admin, arguments, allowed=True)
    text = f"{rule_text(rule)} is allowed."
    if not before:
        text += "\nThis is the first rule: from now on nodes begin only what a rule allows."
    report(arguments, {"allowed": rule, "rules": [*before, rule]}, text)


async def _disallow(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        before = _rules(admin)
        rule = f"{arguments.source} {arguments.destination}"
        if rule not in before:
            raise CommandError(
                f"there is no rule {rule_text(rule)}; the rules are: {listed(map(rule_text, before), 'none')}"
            )
        await _publish(admin, arguments, allowed=False)
    after = [other for other in before if other != rule]
    text = f"{rule_text(rule)} is no longer allowed."
    if not after:
        text += "\nThere is no rule left: every node may begin to every other one."
    report(arguments, {"disallowed": rule, "rules": after}, text)


async def _publish(admin: Administrator, arguments: Namespace, *, allowed: bool) -> None:
    await admin.publish(Rule, source=arguments.source, destination=arguments.destination, allowed=allowed)


def _rules(admin: Administrator) -> list[str]:
    return [f"{rule.source} {rule.destination}" for rule in admin.topology.rules]


def _warn_of_unmatched(admin: Administrator, selectors: tuple[str, ...]) -> None:
    """Warn of selectors that match no member, as they may be misspelt."""
    members = admin.topology.members
    known = {"any", *(f"node:{member.name}" for member in members)}
    known |= {f"tag:{tag}" for member in members for tag in member.tags}
    for selector in selectors:
        if selector not in known:
            warn(f"no node is {selector.replace(':', ' ')} yet")
