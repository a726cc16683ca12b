"""`wgpy mesh allow` and `disallow`: rules.

A rule is for the node or the client that has a name now: it stays theirs, whatever that name is later.
"""

import asyncio
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import replace

from wgpy.cli.errors import CommandError
from wgpy.cli.mesh.administrator import Administrator, administrator
from wgpy.cli.mesh.losses import Losses, confirm, confirm_last
from wgpy.cli.mesh.output import listed, report
from wgpy.cli.network_documents import Allowed, Disallowed
from wgpy.mesh.links import site_selector
from wgpy.mesh.records import End, Rule, Scope, client_selector, node_selector
from wgpy.mesh.selectors import parse_end, rule_text, shown, shown_rule
from wgpy.mesh.sites import within
from wgpy.mesh.topology import Topology


def allow(arguments: Namespace) -> None:
    """Raises CommandError."""
    if arguments.dry_run:
        asyncio.run(_try_to_allow(arguments)).report(arguments)
        return
    if not arguments.yes:
        losses = asyncio.run(_try_to_allow(arguments))  # by a connection of its own: an answer takes its time
        if losses.is_by_first_rule and losses:
            confirm(losses)
    asyncio.run(_allow(arguments))


def disallow(arguments: Namespace) -> None:
    """Raises CommandError."""
    if arguments.dry_run:
        asyncio.run(_try_to_disallow(arguments)).report(arguments)
        return
    if not arguments.yes and asyncio.run(_is_last(arguments)):
        confirm_last()
    asyncio.run(_disallow(arguments))


async def _try_to_allow(arguments: Namespace) -> Losses:
    async with administrator(arguments) as admin:
        ends = _new_ends(admin, arguments)
        key, before = admin.ledger.key, admin.topology
        source, destination = (end.rule_selector for end in ends)
        rule = Rule(
            network=admin.ledger.network, signer=key, sequence=0, time=0, source=source,
            destination=destination, allowed=True,
        )  # fmt: skip
        return Losses.between(before, before.with_rules((*before.rules, rule), *ends), admin.names)


async def _try_to_disallow(arguments: Namespace) -> Losses:
    async with administrator(arguments) as admin:
        taken_back, before = _meant(admin, arguments), admin.topology
        kept = tuple(rule for rule in before.rules if rule not in taken_back)
        return Losses.between(before, before.with_rules(kept), admin.names)


async def _is_last(arguments: Namespace) -> bool:
    """Return whether no rule stays. Raises CommandError."""
    async with administrator(arguments) as admin:
        return len(_meant(admin, arguments)) == len(admin.topology.rules)


async def _allow(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        ends = _new_ends(admin, arguments)
        is_first = not admin.topology.rules
        by_name = _matching(admin, arguments)  # of an older version: this one takes their place
        await publish_scopes(admin, ends)
        source, destination = (end.rule_selector for end in ends)
        await admin.publish(Rule, source=source, destination=destination, allowed=True)
        for rule in by_name:
            await _take_back(admin, rule)
        rules = [_shown(admin, rule) for rule in admin.topology.rules]
        allowed = _shown(admin, admin.topology.rules[-1])
    text = f"{rule_text(allowed)} is allowed."
    if is_first:
        text += "\nThis is the first rule: from now on nodes begin only what a rule allows."
    document: Allowed = {"allowed": allowed, "rules": rules}
    report(arguments, document, text)


async def publish_scopes(admin: Administrator, ends: Iterable[End]) -> None:
    """Publish them before the rule, which allows nothing without them."""
    for end in ends:
        if not end.is_selector and end.rule_selector not in admin.topology.ends:
            await admin.publish(Scope, end=end)


async def _disallow(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        taken_back = _meant(admin, arguments)
        for rule in taken_back:
            await _take_back(admin, rule)
        after = [_shown(admin, rule) for rule in admin.topology.rules]
        shown_back = _shown(admin, taken_back[0])
    text = f"{rule_text(shown_back)} is no longer allowed."
    if not after:
        text += "\nThere is no rule left: every node may begin to every other one."
    document: Disallowed = {"disallowed": shown_back, "rules": after}
    report(arguments, document, text)


async def _take_back(admin: Administrator, rule: Rule) -> None:
    await admin.publish(Rule, source=rule.source, destination=rule.destination, allowed=False)


def _shown(admin: Administrator, rule: Rule) -> str:
    return shown_rule(rule, admin.names, admin.topology.ends)


# -- Ends ------------------------------------------------------------------------------------------


def _new_ends(admin: Administrator, arguments: Namespace) -> tuple[End, End]:
    """Return the source and the destination of a rule that is not there yet. Raises CommandError."""
    source, destination = (_bound(admin, parse_end(given)) for given in _given(arguments))
    for rule in admin.topology.rules:
        if (rule.source, rule.destination) == (source.rule_selector, destination.rule_selector):
            raise CommandError(f"{rule_text(_shown(admin, rule))} is allowed already")
    if not arguments.anyway:
        _check_match(admin, (source, destination))
    return source, destination


def _given(arguments: Namespace) -> tuple[str, str]:
    return arguments.source, arguments.destination


def _bound(admin: Administrator, given: End) -> End:
    """Return the end of the member or client with a name or an identity, or else what was given.

    Raises CommandError.
    """
    given = _as_site(admin, given)
    kind, _, name = given.selector.partition(":")
    if kind == "client":
        return replace(given, selector=_client(admin, given.selector, name))
    if kind == "site":
        check_prefixes(admin.topology, given)
    if kind != "node":
        return given
    for member in admin.topology.members:
        selector = node_selector(member.identity)
        if given.selector == selector or name == member.name:
            return replace(given, selector=selector)
    name = shown(given.selector, {}).removeprefix("node:")
    if instead := _instead(admin, name):
        raise CommandError(f"there is no node {name}, but {instead}")
    raise CommandError(
        f"there is no node {name}, and a rule is for a node and not for its name: let the node join first, "
        f"or use a tag, as in `wgpy mesh token --tag {name}` and `wgpy mesh allow tag:{name} … --anyway`"
    )


def _instead(admin: Administrator, name: str) -> str:
    """Return what else has a name, and how a rule says it; "" if nothing has."""
    topology = admin.topology
    if any(member.name == name for member in topology.members):
        return f"a node: say `node:{name}`"
    if any(client.name == name for client in topology.clients):
        return f"a client: say `client:{name}`"
    if topology.site(name):
        return f"a site: say `site:{name}`"
    return f"a tag: say `tag:{name}`" if any(name in one.tags for one in topology.members) else ""


def _as_site(admin: Administrator, given: End) -> End:
    """Return the end of a site, if it was given by a name that is no node's."""
    kind, _, name = given.selector.partition(":")
    if kind != "node":
        return given
    site = site_selector(name)
    is_node = any(member.name == name for member in admin.topology.members)
    known = {end.selector for end in admin.topology.ends.values()}
    is_site = admin.topology.site(name) is not None or site in known
    return replace(given, selector=site) if is_site and not is_node else given


def check_prefixes(topology: Topology, end: End) -> None:
    """Raises CommandError for prefixes that are not of the site that an end is of."""
    site = topology.site(end.selector.partition(":")[2]) if end.prefixes else None
    for prefix in end.prefixes:
        if site and not any(within(site, (prefix,))):
            known = listed(dict.fromkeys((*site.real, *site.mapped)))
            advice = (
                "; of IPv6 give it as the mesh knows it" if site.is_mapped and prefix.version == 6 else ""
            )
            raise CommandError(f"{prefix} is not of {site.name}, which is {known}{advice}")


def _client(admin: Administrator, selector: str, name: str) -> str:
    """Raises CommandError."""
    clients = admin.topology.clients
    found = [client_selector(client.key) for client in clients if name == client.name]
    if not found and selector not in map(client_selector, (client.key for client in clients)):
        if instead := _instead(admin, name):
            raise CommandError(f"there is no client {name}, but {instead}")
        known = listed(sorted(client.name for client in clients), "none")
        raise CommandError(
            f"there is no client {shown(selector, {}).removeprefix('client:')}; there are {known}"
        )
    return found[0] if found else selector


def _check_match(admin: Administrator, ends: Iterable[End]) -> None:
    """Raise CommandError for an end that is nobody's, as it may be misspelt."""
    topology = admin.topology
    matched = {selector for member in topology.members for selector in member.selectors}
    matched |= {client_selector(client.key) for client in topology.clients}
    matched |= {site_selector(site.name) for site in topology.sites}
    for end in ends:
        if end.selector not in matched:
            name = end.selector.partition(":")[2]
            if instead := _instead(admin, name):
                raise CommandError(f"{_nobody(end.selector)}, but {instead}")
            raise CommandError(
                f"{_nobody(end.selector)} yet, so the rule would be for nobody: see `wgpy mesh node-list`, "
                "or give --anyway"
            )


def _nobody(selector: str) -> str:
    kind, _, name = selector.partition(":")
    return f"there is no site {name}" if kind == "site" else f"no node has {kind} {name}"


def _meant(admin: Administrator, arguments: Namespace) -> list[Rule]:
    """Return the rules in force that the arguments mean, one or more. Raises CommandError."""
    found = _matching(admin, arguments)
    if not found:
        given = rule_text(" ".join(_given(arguments)))
        rules = [rule_text(_shown(admin, rule)) for rule in admin.topology.rules]
        raise CommandError(f"there is no rule {given}; the rules are: {listed(rules, 'none')}")
    return found


def _matching(admin: Administrator, arguments: Namespace) -> list[Rule]:
    source, destination = (_as_site(admin, parse_end(given)) for given in _given(arguments))
    return [
        rule
        for rule in admin.topology.rules
        if _means(admin, source, rule.source) and _means(admin, destination, rule.destination)
    ]


def _means(admin: Administrator, given: End, selector: str) -> bool:
    end = admin.topology.ends.get(selector) or End(selector)
    name = shown(end.selector, admin.names)
    is_narrowed_alike = (given.prefixes, given.ports) == (end.prefixes, end.ports)
    return is_narrowed_alike and given.selector in (end.selector, name)
