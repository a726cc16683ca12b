"""Where this host may be reached, as it tells its peers: its own addresses, and what nodes saw of it."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv6Network, ip_address

from wgpy.address import is_private
from wgpy.contract.endpoint import Endpoint
from wgpy.paths.discovery import Answer
from wgpy.paths.exchange import Candidate
from wgpy.paths.local import local_candidates, predicted_candidates
from wgpy.paths.nat import NatBehaviour, NatObserver
from wgpy.paths.nat64 import version

from .host_networks import NOWHERE, HostNetworks


class LocalCandidates:
    """Of one node. Times are boottime ns."""

    def __init__(self) -> None:
        self._here = NOWHERE
        self._port = 0
        self._nat64: IPv6Network | None = None
        self._public: tuple[Endpoint, ...] = ()
        self._observers = _observers()
        self._behaviours: Sequence[NatBehaviour] = ()  # none since there was news

    def configure(
        self, here: HostNetworks, port: int, named: Iterable[Endpoint], *, is_dialled: bool,
        nat64: IPv6Network | None = None,
    ) -> bool:  # fmt: skip
        """Return whether this host is somewhere else, where nothing is known of a NAT yet.

        named: endpoints that the operator gave, or a router promised; is_dialled: whether others can dial it;
        nat64: the prefix of the NAT64 that it is behind.
        """
        has_moved = here.addresses != self._here.addresses or nat64 != self._nat64
        if has_moved:
            self._observers = _observers()
        self._here, self._port, self._nat64, self._behaviours = here, port, nat64, ()
        outer = [one for one in self._own() if not is_private(ip_address(one.address))] if is_dialled else []
        self._public = tuple(dict.fromkeys((*named, *outer)))
        return has_moved

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return local_candidates(self._own(), self.behaviours, self._public)

    def predict(self, remotes: Sequence[Endpoint]) -> tuple[Sequence[Candidate], Sequence[Candidate]]:
        """See `wgpy.paths.told`. Of IPv4: with IPv6 hardly any address is translated."""
        observer, behaviour = self._observers[4], self.behaviours[0]
        return predicted_candidates(observer, behaviour, remotes)

    @property
    def behaviours(self) -> Sequence[NatBehaviour]:
        """What the NAT does, of each version of IP."""
        if not self._behaviours:
            own = [str(address) for address in self._here.addresses]
            self._behaviours = [one.behaviour(own, self._port) for one in self._observers.values()]
        return self._behaviours

    def _own(self) -> list[Endpoint]:
        return [Endpoint(str(address), self._port) for address in self._here.addresses]

    # -- What becomes known ----------------------------------------------------------------------------

    def note_sent(self, remote: Endpoint, now: int) -> None:
        """A question was sent there, or what goes through the tunnel.

        Other hosts' private addresses are beyond the NAT, too, although nobody there answers.
        """
        if not self._here.has_near(ip_address(remote.address)):
            self._changing(remote).note_sent(remote, now)

    def note_answer(self, answer: Answer) -> None:
        """A node answered, and told how it sees this host."""
        self._changing(answer.remote).note_answer(answer.remote, answer.seen_as)

    def note_received(self, source: Endpoint, now: int) -> None:
        """A node's question or answer came from there."""
        self._changing(source).note_heard(source.without_source(), now)

    def _changing(self, remote: Endpoint) -> NatObserver:
        """Return the observer for what is news of a remote end."""
        self._behaviours = ()
        return self._observers[version(remote, self._nat64)]


def _observers() -> dict[int, NatObserver]:
    """Return new ones, by version of IP."""
    return {4: NatObserver(4), 6: NatObserver(6)}
