"""`wgpy mesh allow` and `disallow`: rules.

A rule is for the node that has a name now: it stays that node's, whatever its name is later.
"""

import asyncio
from argparse import Namespace

from wgpy.cli.changes import warn
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh.administrator import Administrator, administrator
from wgpy.cli.mesh.losses import Losses, confirm
from wgpy.cli.mesh.output import listed, report
from wgpy.mesh.records import Rule, identity_of, node_selector
from wgpy.mesh.selectors import rule_text, shown, shown_rule


def allow(arguments: Namespace) -> None:
    """Raises CommandError."""
    if arguments.dry_run:
        asyncio.run(_try_to_allow(arguments)).report(arguments)
        return
    if not arguments.yes:
        losses = asyncio.run(_try_to_allow(arguments))  # by a connection of its own: an answer takes its time
        if losses.is_by_first_rule and losses.lost:
            confirm(losses)
    asyncio.run(_allow(arguments))


def disallow(arguments: Namespace) -> None:
    """Raises CommandError."""
    if arguments.dry_run:
        asyncio.run(_try_to_disallow(arguments)).report(arguments)
    else:
        asyncio.run(_disallow(arguments))


async def _try_to_allow(arguments: Namespace) -> Losses:
    async with administrator(arguments) as admin:
        source, destination = _new_selectors(admin, arguments)
        key, before = admin.ledger.key, admin.topology
        rule = Rule(
            network=admin.ledger.network, signer=key, sequence=0, time=0, source=source,
            destination=destination, allowed=True,
        )  # fmt: skip
        return Losses.between(before, before.with_rules((*before.rules, rule)), admin.names)


async def _try_to_disallow(arguments: Namespace) -> Losses:
    async with administrator(arguments) as admin:
        taken_back, before = _meant(admin, arguments), admin.topology
        kept = tuple(rule for rule in before.rules if rule not in taken_back)
        return Losses.between(before, before.with_rules(kept), admin.names)


async def _allow(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        source, destination = _new_selectors(admin, arguments)
        is_first = not admin.topology.rules
        _warn_of_unmatched_tags(admin, (source, destination))
        by_name = _matching(admin, arguments)  # of an older version: this one takes their place
        await admin.publish(Rule, source=source, destination=destination, allowed=True)
        for rule in by_name:
            await _take_back(admin, rule)
        rules = [shown_rule(rule, admin.names) for rule in admin.topology.rules]
        allowed = f"{shown(source, admin.names)} {shown(destination, admin.names)}"
    text = f"{rule_text(allowed)} is allowed."
    if is_first:
        text += "\nThis is the first rule: from now on nodes begin only what a rule allows."
    report(arguments, {"allowed": allowed, "rules": rules}, text)


async def _disallow(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        taken_back, names = _meant(admin, arguments), admin.names
        for rule in taken_back:
            await _take_back(admin, rule)
        after = [shown_rule(rule, names) for rule in admin.topology.rules]
    shown_back = shown_rule(taken_back[0], names)
    text = f"{rule_text(shown_back)} is no longer allowed."
    if not after:
        text += "\nThere is no rule left: every node may begin to every other one."
    report(arguments, {"disallowed": shown_back, "rules": after}, text)


async def _take_back(admin: Administrator, rule: Rule) -> None:
    await admin.publish(Rule, source=rule.source, destination=rule.destination, allowed=False)


# -- Selectors ------------------------------------------------------------------------------------


def _new_selectors(admin: Administrator, arguments: Namespace) -> tuple[str, str]:
    """Return the selectors of a rule that is not there yet. Raises CommandError."""
    selectors = _bound(admin, arguments.source), _bound(admin, arguments.destination)
    for rule in admin.topology.rules:
        if (rule.source, rule.destination) == selectors:
            raise CommandError(f"{rule_text(shown_rule(rule, admin.names))} is allowed already")
    return selectors


def _bound(admin: Administrator, given: str) -> str:
    """Return the selector of the member with a name or an identity, or else what was given."""
    kind, _, name = given.partition(":")
    if kind != "node":
        return given
    for member in admin.topology.members:
        if name in (member.name, str(member.identity)):
            return node_selector(member.identity)
    raise CommandError(
        f"there is no node {name}, and a rule is for a node and not for its name: let the node join first, "
        f"or use a tag, as in `wgpy mesh token --tag {name}` and `wgpy mesh allow tag:{name} …`"
    )


def _meant(admin: Administrator, arguments: Namespace) -> list[Rule]:
    """Return the rules in force that the arguments mean, one or more. Raises CommandError."""
    found = _matching(admin, arguments)
    if not found:
        given = rule_text(f"{arguments.source} {arguments.destination}")
        rules = [rule_text(shown_rule(rule, admin.names)) for rule in admin.topology.rules]
        raise CommandError(f"there is no rule {given}; the rules are: {listed(rules, 'none')}")
    return found


def _matching(admin: Administrator, arguments: Namespace) -> list[Rule]:
    return [
        rule
        for rule in admin.topology.rules
        if _means(admin, arguments.source, rule.source)
        and _means(admin, arguments.destination, rule.destination)
    ]


def _means(admin: Administrator, given: str, selector: str) -> bool:
    return given in (shown(selector, admin.names), f"node:{identity_of(selector)}")


def _warn_of_unmatched_tags(admin: Administrator, selectors: tuple[str, ...]) -> None:
    """Warn of tags that no member has, as they may be misspelt."""
    tags = {f"tag:{tag}" for member in admin.topology.members for tag in member.tags}
    for selector in selectors:
        if selector.startswith("tag:") and selector not in tags:
            warn(f"no node has {selector.replace(':', ' ')} yet")
