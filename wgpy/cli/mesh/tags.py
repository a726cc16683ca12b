"""`wgpy mesh tag`: the tags of a node, for rules."""

import asyncio
from argparse import Namespace
from collections.abc import Iterator

from wgpy.cli.errors import CommandError, UsageError
from wgpy.cli.mesh.administrator import Administrator, administrator
from wgpy.cli.mesh.losses import Losses
from wgpy.cli.mesh.output import listed, report
from wgpy.cli.network_documents import ChangedRule, Tagged
from wgpy.mesh.links import selector_of
from wgpy.mesh.member import Member
from wgpy.mesh.records import Node, Tags
from wgpy.mesh.selectors import rule_text, shown_rule


def tag(arguments: Namespace) -> None:
    if arguments.remove == bool(arguments.tags):
        raise UsageError("give all tags that the node is to have, or --remove for none")
    asyncio.run(_tag(arguments))


async def _tag(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        earlier = admin.topology
        before = _member(admin, admin.node(arguments.name))
        await admin.publish(Tags, identity=before.identity, tags=tuple(sorted(set(arguments.tags))))
        after = admin.topology.member(before.identity) or before
        rules = list(_changed(admin, before, after))
        losses = Losses.between(earlier, admin.topology, admin.names)
    name = before.name or str(before.identity)
    document: Tagged = {
        "node": name,
        "identity": str(before.identity),
        "tags": sorted(after.tags),
        "rules": rules,
    }
    lines = [f"{name} has {_tags(after)}; before, it had {_tags(before)}.", *map(_line, rules)]
    if losses:
        lines.append(losses.text())
    report(arguments, document, "\n".join(lines))


def _member(admin: Administrator, node: Node) -> Member:
    """Raises CommandError."""
    member = admin.topology.member(node.signer)
    if member is None:
        raise CommandError(f"{node.name} is no member: {admin.topology.excluded[node.signer].value}")
    return member


def _tags(member: Member) -> str:
    what = "the tag" if len(member.tags) == 1 else "the tags"
    return f"{what} {listed(sorted(member.tags))}" if member.tags else "no tag"


def _changed(admin: Administrator, before: Member, after: Member) -> Iterator[ChangedRule]:
    """Give the rules that concern a node since its tags changed, and those that no longer do."""
    for rule in admin.topology.rules:
        ends = {selector_of(selector, admin.topology.ends) for selector in (rule.source, rule.destination)}
        was, does = not ends.isdisjoint(before.selectors), not ends.isdisjoint(after.selectors)
        if was is not does:
            yield {"rule": shown_rule(rule, admin.names, admin.topology.ends), "concerns": does}


def _line(rule: ChangedRule) -> str:
    concerns = "now concerns it" if rule["concerns"] else "no longer concerns it"
    return f"The rule {rule_text(rule['rule'])} {concerns}."
