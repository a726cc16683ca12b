"""What a coordinator says of sites: a proposal for a new one, and why an announcement is refused. Pure.

A member that has not the right to announce a site may ask for it: the announcement waits for an approval, and
takes nothing from anybody until then.
"""

from collections.abc import Iterable

from wgpy.address import Prefix
from wgpy.mesh.clock import compared, differ
from wgpy.mesh.mapping import Proposal, SiteRefused, WantedSite, propose
from wgpy.mesh.records import AnnouncedSite, Sites
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import SiteExclusion
from wgpy.mesh.topology import Topology

from .snapshot import COORDINATORS_CLOCK, Snapshot


def propose_to(
    snapshot: Snapshot, identity: VerifyKey, wanted: WantedSite, reserved: Iterable[Prefix]
) -> Proposal:
    """Return what a member may announce. reserved: for other members. Raises SiteRefused."""
    network = snapshot.ledger.charter()
    if network is None:
        raise SiteRefused("the network's record is not here: submit it first")
    return propose(network, snapshot.topology, identity, wanted, reserved)


def site_trouble(record: Sites, before: Sites | None, topology: Topology, now: int, restored: int) -> str:
    """Return why a coordinator does not store an announcement, or "".

    before: what it replaces; topology: with the announcement; now, restored: Unix seconds, the latter of the
    snapshot: a site that was announced before it may be given back.
    """
    old = set(before.sites if before else ())
    for site in record.sites:
        if any(_is_continued(site, other) for other in old) or site.since < restored:
            continue
        if differ(site.since, now):
            times = compared(site.since, now, COORDINATORS_CLOCK)
            return f"{site.name} is announced since {times}: announce it again"
        if trouble := _conflict(topology, record.signer, site):
            return trouble
    return ""


def _conflict(topology: Topology, identity: VerifyKey, site: AnnouncedSite) -> str:
    """Return why a site is not in force as it was announced, or ""."""
    for excluded in topology.excluded_sites:
        if (excluded.identity, excluded.site) == (identity, site):
            is_request = excluded.reason is SiteExclusion.NO_RIGHT
            return "" if is_request else f"{site.name} cannot be announced: {excluded.reason.value}"
    present = topology.site(site.name)
    if present is not None and present.mapped != site.mapped:
        mapped = ", ".join(map(str, present.mapped))
        return f"{site.name} already is reached as {mapped}: announce it again"
    return ""


def _is_continued(site: AnnouncedSite, before: AnnouncedSite) -> bool:
    """Return whether a site is the same that its node announced before, perhaps with another priority."""
    return (site.name, site.real, site.mapped, site.since) == (
        before.name, before.real, before.mapped, before.since
    )  # fmt: skip
