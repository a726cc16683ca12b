"""Makes this node a gateway of sites, and takes that back.

Invariant: a site that the coordinator refuses leaves no trace. The coordinator proposes what is free, since
it knows all sites; the node signs, and begins anew if another node was faster.
"""

from dataclasses import replace

from wgpy.address import Prefix
from wgpy.mesh.mapping import Proposal, SiteRefused, WantedSite, check_prefixes, is_proposal
from wgpy.mesh.records import AnnouncedSite, Network
from wgpy.mesh.records.sites import EITHER, MAPPED, REAL, overlapping
from wgpy.mesh.return_route import ranges
from wgpy.mesh.zones import zones_trouble
from wgpy.node.agent_client import AgentError, SiteAddition
from wgpy.node.coordinator_client import CoordinatorError

from .identity import LocalIdentity
from .publisher import Publisher
from .store import RecordStore
from .subscription import Subscription

# A coordinator proposes something else to each node. Of nodes that ask several coordinators at one moment,
# each attempt serves at least one part in the number of coordinators.
_ATTEMPTS = 20


class SiteAnnouncer:
    """Of one node."""

    def __init__(
        self, identity: LocalIdentity, store: RecordStore, subscription: Subscription, publisher: Publisher
    ) -> None:
        self._identity = identity
        self._store = store
        self._subscription = subscription
        self._publisher = publisher

    async def add(self, addition: SiteAddition) -> str:
        """Return, once the coordinator has it, why the site is reached as it is, or "". Raises AgentError."""
        wanted = _wanted(addition)
        if (present := self._present(wanted.name)) is not None:
            return await self._add_again(present, wanted, addition)
        self._check_own(wanted)
        return await self._announce(wanted, addition)

    def completed(self, addition: SiteAddition) -> SiteAddition:
        """Return an addition with what it keeps of the site as this node announces it."""
        present, opened = self._present(addition.name), self._identity.node.firewall
        if present is None:
            return addition
        known = {name: getattr(present, name) for name in ("is_routed", "priority", "servers", "zones")}
        known["firewall"] = present.name in opened
        return replace(addition, **{name: known[name] for name in known.keys() & addition.kept})

    async def check(self, addition: SiteAddition) -> None:
        """Raise AgentError for what this node can announce on no host: its prefixes say so."""
        wanted = _wanted(addition)
        if (present := self._present(wanted.name)) is not None:
            _check_same(present, wanted)
            return
        self._check_own(wanted)
        await self._propose(wanted)

    def ranges_back(self, addition: SiteAddition) -> tuple[Prefix, ...]:
        """Return what hosts of a routed site need a route to: the other sites and the nodes of the mesh."""
        network = self._store.ledger.charter()
        if network is None or not addition.is_routed:
            return ()
        versions = {prefix.version for prefix in addition.prefixes}
        return tuple(prefix for prefix in ranges(network) if prefix.version in versions)

    async def remove(self, name: str) -> None:
        """Return once the coordinator has it. Raises AgentError."""
        node = self._identity.node
        if self._present(name) is None:
            known = ", ".join(site.name for site in node.sites) or "none"
            raise AgentError(f"this node is no gateway of a site {name}; its sites: {known}")
        sites = tuple(site for site in node.sites if site.name != name)
        is_kept = any(site.name == name for site in node.kubernetes_sites)  # it comes again
        firewall = node.firewall if is_kept else tuple(one for one in node.firewall if one != name)
        await self._publisher.change_sites(sites, firewall)

    async def announce_again(self, site: AnnouncedSite, prefixes: tuple[Prefix, ...]) -> None:
        """Announce a site with other prefixes, and otherwise as it was announced. Raises AgentError."""
        is_open = site.name in self._identity.node.firewall
        addition = SiteAddition(
            site.name, prefixes, site.face, site.is_routed, site.priority, is_open, site.servers, site.zones
        )
        await self._announce(_wanted(addition), addition)

    async def _add_again(self, present: AnnouncedSite, wanted: WantedSite, addition: SiteAddition) -> str:
        """Change options; choose prefixes anew if others than the present ones are free. Raises AgentError.

        Of a site that is in force the coordinator proposes what the mesh routes.
        """
        _check_same(present, wanted)
        again = replace(wanted, face=MAPPED) if present.mapped != present.real else wanted
        if (await self._propose(again))[0].mapped != present.mapped:
            return await self._announce(again, addition)
        await self._publish(_changed(present, addition), addition)
        return ""

    async def _announce(self, wanted: WantedSite, addition: SiteAddition) -> str:
        """Raises AgentError."""
        before: Proposal | None = None
        for _ in range(_ATTEMPTS):
            proposal, now = await self._propose(wanted)
            site = AnnouncedSite(
                wanted.name, wanted.prefixes, proposal.mapped, wanted.face,
                addition.is_routed, addition.priority, now, addition.servers, addition.zones,
            )  # fmt: skip
            try:
                await self._publish(site, addition)
            except AgentError:
                if proposal == before:  # so nobody was faster
                    raise
                before = proposal
            else:
                return proposal.reason
        raise AgentError(f"other nodes announce sites at the same moment: announce {wanted.name} again")

    async def _propose(self, wanted: WantedSite) -> tuple[Proposal, int]:
        """Return what this node may announce, and the coordinator's time. Raises AgentError."""
        network = self._store.ledger.charter()
        if network is None:
            raise AgentError("this node does not know its network yet: try again when it is connected")
        try:
            proposal, now = await self._subscription.propose_site(wanted)
        except CoordinatorError as error:
            raise AgentError(str(error)) from None
        _check(network, wanted, proposal)
        return proposal, now

    async def _publish(self, site: AnnouncedSite, addition: SiteAddition) -> None:
        """Raises AgentError."""
        node = self._identity.node
        others = tuple(one for one in node.sites if one.name != site.name)
        opened = tuple(name for name in node.firewall if name != site.name)
        firewall = (*opened, site.name) if addition.firewall else opened
        await self._publisher.change_sites((*others, site), firewall)

    def _present(self, name: str) -> AnnouncedSite | None:
        return next((site for site in self._identity.node.sites if site.name == name), None)

    def _check_own(self, wanted: WantedSite) -> None:
        """Raise AgentError if this node could not tell the site from another one of its own."""
        for site in self._identity.node.sites:
            if pair := overlapping((*site.real, *wanted.prefixes)):
                raise AgentError(
                    f"{pair[0]} and {pair[1]} overlap, and this node is a gateway of {site.name} already: "
                    "announce one of the two by another node"
                )


def _wanted(addition: SiteAddition) -> WantedSite:
    """Raises AgentError."""
    try:
        wanted = WantedSite(addition.name, check_prefixes(addition.prefixes), addition.face)
    except SiteRefused as error:
        raise AgentError(str(error)) from None
    if trouble := zones_trouble(wanted.prefixes, addition.servers, addition.zones):
        raise AgentError(trouble)
    return wanted


def _check(network: Network, wanted: WantedSite, proposal: Proposal) -> None:
    """Raise AgentError for what no site can be mapped to, whoever proposes it."""
    if not is_proposal(network, wanted, proposal):
        raise AgentError("the coordinator proposes prefixes that are not of the pool: is it of this version?")


def _check_same(present: AnnouncedSite, wanted: WantedSite) -> None:
    """Raise AgentError unless only other things than prefixes and face are to be changed."""
    face = REAL if present.mapped == present.real else MAPPED
    if present.real == wanted.prefixes and wanted.face in (EITHER, face):
        return
    known = ", ".join(map(str, present.real))
    raise AgentError(
        f"this node announces {present.name} as {known} with its {face} face already: `wgpy mesh site remove "
        f"{present.name}` first"
    )


def _changed(present: AnnouncedSite, addition: SiteAddition) -> AnnouncedSite:
    return replace(
        present, is_routed=addition.is_routed, priority=addition.priority, servers=addition.servers,
        zones=addition.zones,
    )  # fmt: skip
