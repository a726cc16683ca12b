"""Random networks for hours of virtual time: `python -m wgpy.testing.soak --hours 10000 --seed 1`.

Each network lives ten hours. Its nodes talk now and then while the network loses, reorders, duplicates and
damages, NATs rebind, hosts restart, crash and sleep, and clocks jump; an `Auditor` checks every step. Then
the faults are healed, and every tunnel must work both ways, keep calm while it is used, and fall silent.
Network number N of a run has the seed SEED + N, so a failure is repeated alone.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from hashlib import blake2s
from itertools import combinations
from random import Random
from secrets import randbelow
from time import monotonic
from typing import Final

from wgpy.contract.constants import KEY_LENGTH, MILLISECOND, REKEY_AFTER_TIME, SECOND, ZERO_KEY_MATERIAL_AFTER

from .invariants import Auditor, InvariantBroken
from .network import PERFECT, Conditions, Flight
from .node import Node
from .sim import Simulation

HOUR: Final = 3600 * SECOND
HOURS_PER_NETWORK: Final = 10

# From the end of all faults until every tunnel works. Two rounds of retransmission are enough for a tunnel;
# the rest is for ends that keep beginning at the same instant.
HEALING_TIME: Final = 60 * SECOND
CALM_TIME: Final = 10 * 60 * SECOND
# Both ends of a tunnel may begin a handshake each REKEY_AFTER_TIME, and once more where both begin at once.
MAX_CALM_INITIATIONS: Final = 2 * (CALM_TIME // REKEY_AFTER_TIME + 1)
SILENCE_AFTER: Final = ZERO_KEY_MATERIAL_AFTER + 60 * SECOND

_MEAN_TALK_GAP: Final = 60 * SECOND
_MEAN_FAULT_GAP: Final = 180 * SECOND
_KEEPALIVE: Final = 25
_ODDS_OF_NAT: Final = 0.35

_WEATHER: Final = (
    PERFECT,
    PERFECT,
    Conditions(loss=0.05, jitter=30 * MILLISECOND),
    Conditions(loss=0.3, delay=80 * MILLISECOND, jitter=200 * MILLISECOND),
    Conditions(jitter=2 * SECOND, duplication=0.3),
    Conditions(corruption=0.2),
    Conditions(delay=600 * MILLISECOND, jitter=SECOND, loss=0.1, duplication=0.1, corruption=0.05),
)

Tunnel = tuple[Node, Node]


class RandomNetwork:
    """One network, all of it drawn from one seed. `digest` covers every datagram that was sent."""

    def __init__(self, seed: int) -> None:
        self.simulation = Simulation(seed)
        self.auditor = Auditor(self.simulation.timeline)
        self._random = Random(self.simulation.random.getrandbits(64))
        self._wire = blake2s()
        self._sent = 0
        self._faults_end = 0
        self._stepped: set[Node] = set()  # whose wall clock was not always right
        self.tunnels = self._build()
        self.simulation.network.watch(self._note)
        self._faults: Sequence[Callable[[], None]] = (
            self._change_weather,
            self._change_weather,
            self._outage,
            self._partition,
            self._rebind_nats,
            self._restart,
            self._crash,
            self._sleep,
            self._step_clock,
            self._change_preshared_key,
        )

    @property
    def digest(self) -> str:
        return self._wire.hexdigest()

    @property
    def datagrams(self) -> int:
        return self._sent

    def live(self, duration: int) -> None:
        """Talk, and suffer faults. Raises InvariantBroken."""
        self._faults_end = self.simulation.timeline.now + duration
        self._later(_MEAN_TALK_GAP, self._talk)
        self._later(_MEAN_FAULT_GAP, self._suffer)
        self.simulation.run_for(duration)

    def heal(self) -> None:
        """End all faults, and ask what must be true then. Raises InvariantBroken."""
        self.simulation.network.heal()
        for node in self.simulation.nodes:
            self._revive(node)
            node.clock.set_wall_right()
        self._talk_everywhere(HEALING_TIME)
        self._require_all_work("after the faults were healed")
        self._require_calm()
        self._require_silence()
        self._talk_everywhere(HEALING_TIME)
        self._require_all_work("after a long silence")

    # -- Building --------------------------------------------------------------------------------

    def _build(self) -> list[Tunnel]:
        """Two to four nodes, some behind NATs, and a tunnel between any two that can find each other."""
        for number in range(self._random.randint(2, 4)):
            behind = number > 0 and self._random.random() < _ODDS_OF_NAT
            nat = self.simulation.add_nat(number) if behind else None
            ipv6 = nat is None and self._random.random() < 0.3
            self.auditor.watch(self.simulation.add_node(f"node{number}", nat=nat, ipv6=ipv6))
        pairs = combinations(self.simulation.nodes, 2)
        tunnels = [(left, right) for left, right in pairs if left.nat is None or right.nat is None]
        for left, right in tunnels:
            self._connect(left, right)
        return tunnels

    def _connect(self, left: Node, right: Node) -> None:
        preshared_key = self._random.choice((bytes(KEY_LENGTH), self._random.randbytes(KEY_LENGTH)))
        for here, there in ((left, right), (right, left)):
            keepalive = _KEEPALIVE if here.nat is not None and self._random.random() < 0.5 else 0
            here.add_peer(self.simulation.peer_config(there, preshared_key, keepalive))

    # -- Talking ---------------------------------------------------------------------------------

    def _talk(self) -> None:
        """Begin a conversation, and decide when the next one begins."""
        left, right = self._random.choice(self.tunnels)
        if self._random.random() < 0.5:
            left, right = right, left
        answers = self._random.random() < 0.6
        packets = self._random.choice((1, 1, 1, 2, 5, 20))
        gap = self._random.choice((10 * MILLISECOND, SECOND, 7 * SECOND, 20 * SECOND))
        now = self.simulation.timeline.now
        for number in range(packets):
            at = now + number * gap
            self._send_at(at, left, right)
            if answers:
                self._send_at(at + 300 * MILLISECOND, right, left)
        self._later(_MEAN_TALK_GAP, self._talk)

    def _send_at(self, at: int, source: Node, destination: Node) -> None:
        ipv6, size = self._random.random() < 0.3, self._random.choice((0, 100, 1420))

        def send() -> None:
            self.simulation.send(source, destination, size=size, ipv6=ipv6)

        self.simulation.timeline.call_at(at, send)

    def _talk_everywhere(self, duration: int, gap: int = SECOND) -> None:
        """Let both ends of every tunnel send at their own instants."""
        end = self.simulation.timeline.now + duration
        for left, right in self.tunnels:
            for source, destination in ((left, right), (right, left)):
                at = self.simulation.timeline.now + self._random.randrange(gap)
                while at < end:
                    self._send_at(at, source, destination)
                    at += gap
        self.simulation.run_for(duration + SECOND)

    # -- Faults ----------------------------------------------------------------------------------

    def _suffer(self) -> None:
        self._random.choice(self._faults)()
        self._later(_MEAN_FAULT_GAP, self._suffer)

    def _change_weather(self) -> None:
        self.simulation.network.conditions = self._random.choice(_WEATHER)

    def _outage(self) -> None:
        self.simulation.network.conditions = Conditions(loss=1.0)
        self._within(300 * SECOND, self.simulation.network.heal)

    def _partition(self) -> None:
        part = frozenset(node.listen.address for node in self.simulation.nodes if self._random.random() < 0.5)
        self.simulation.network.partition(part)
        self._within(400 * SECOND, lambda: self.simulation.network.partition(frozenset()))

    def _rebind_nats(self) -> None:
        for node in self.simulation.nodes:
            if node.nat is not None:
                node.nat.rebind()

    def _restart(self) -> None:
        node = self._random.choice(self.simulation.nodes)
        if node.is_running:
            node.stop()
            self._within(300 * SECOND, lambda: self._revive(node))

    def _crash(self) -> None:
        """A power cut; the host may have no battery for its clock.

        Not for who sets its clock back as well: around a crash, a step of less than a minute may make
        timestamps go back for that minute, as the disk is written no more often.
        """
        node = self._random.choice(self.simulation.nodes)
        if not node.is_running or node in self._stepped:
            return
        node.crash()
        node.clock.reboot()
        if self._random.random() < 0.3:
            node.clock.step_wall(-self.simulation.timeline.now)
            self._within(HOUR, node.clock.set_wall_right)
        self._within(300 * SECOND, lambda: self._revive(node))

    def _sleep(self) -> None:
        node = self._random.choice(self.simulation.nodes)
        node.suspend()
        self._within(self._random.choice((5, 150, 2000)) * SECOND, lambda: self._revive(node))

    def _step_clock(self) -> None:
        node = self._random.choice(self.simulation.nodes)
        self._stepped.add(node)
        node.clock.step_wall(self._random.randint(-HOUR, HOUR))
        self._within(HOUR, node.clock.set_wall_right)

    def _change_preshared_key(self) -> None:
        """At both ends, though not at one instant for the network between them."""
        left, right = self._random.choice(self.tunnels)
        preshared_key = self._random.randbytes(KEY_LENGTH)
        left.change_preshared_key(right.public_key, preshared_key)
        right.change_preshared_key(left.public_key, preshared_key)

    def _revive(self, node: Node) -> None:
        if not node.is_running:
            node.start()
        elif node.is_asleep:
            node.resume()

    # -- What must be true at the end --------------------------------------------------------------

    def _require_all_work(self, when: str) -> None:
        for left, right in self.tunnels:
            for source, destination in ((left, right), (right, left)):
                packet = self.simulation.send(source, destination)
                self.simulation.run_for(SECOND)
                if packet not in destination.delivered:
                    raise InvariantBroken(f"{source.name} does not reach {destination.name} {when}")

    def _require_calm(self) -> None:
        """On a kind network a used tunnel rekeys when it must, and nobody storms."""
        before = self.auditor.initiations
        self._talk_everywhere(CALM_TIME, gap=5 * SECOND)
        initiations = self.auditor.initiations - before
        if initiations > MAX_CALM_INITIATIONS * len(self.tunnels):
            raise InvariantBroken(f"{initiations} handshakes in {len(self.tunnels)} calm tunnels")
        self._require_all_work("in calm weather")

    def _require_silence(self) -> None:
        """Without packets and keepalives nothing is sent, no timer is armed and no key is kept."""
        self.simulation.run_for(SILENCE_AFTER)
        if any(
            config.persistent_keepalive for node in self.simulation.nodes for config in node.config.values()
        ):
            return
        before = self._sent
        self.simulation.run_for(HOUR)
        if self._sent != before:
            raise InvariantBroken("an idle network is not silent")
        for node in self.simulation.nodes:
            if node.device.next_deadline() is not None:
                raise InvariantBroken(f"{node.name} has a deadline although it has nothing to do")
            if self.auditor.live_keypairs(node):
                raise InvariantBroken(f"{node.name} keeps keys of dead sessions")

    # -- Small things ----------------------------------------------------------------------------

    def _later(self, mean: int, callback: Callable[[], None]) -> None:
        """Call back some time later, unless the time of faults is over by then."""
        at = self.simulation.timeline.now + int(self._random.expovariate(1 / mean))
        if at < self._faults_end:
            self.simulation.timeline.call_at(at, callback)

    def _within(self, duration: int, callback: Callable[[], None]) -> None:
        self.simulation.timeline.call_after(self._random.randrange(duration), callback)

    def _note(self, flight: Flight) -> None:
        self._sent += 1
        self._wire.update(f"{flight.sent_at} {flight.source} {flight.destination} ".encode())
        self._wire.update(flight.data)


def run_network(seed: int, hours: int = HOURS_PER_NETWORK) -> RandomNetwork:
    """Let one network live and be healed. Raises InvariantBroken."""
    network = RandomNetwork(seed)
    network.live(hours * HOUR)
    network.heal()
    return network


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m wgpy.testing.soak", description=__doc__)
    parser.add_argument("--hours", type=int, default=100, help="virtual time in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of the first network (default: a new one)")
    options = parser.parse_args(arguments)
    first: int = randbelow(2**32) if options.seed is None else options.seed
    began, datagrams, handshakes = monotonic(), 0, 0
    for number, begin in enumerate(range(0, options.hours, HOURS_PER_NETWORK)):
        seed, hours = first + number, min(HOURS_PER_NETWORK, options.hours - begin)
        try:
            network = run_network(seed, hours)
        except Exception as error:
            error.add_note(f"repeat with: python -m wgpy.testing.soak --hours {hours} --seed {seed}")
            raise
        datagrams += network.datagrams
        handshakes += network.auditor.initiations
        _say(f"seed {seed}: {hours} h, {network.datagrams} datagrams, digest {network.digest[:16]}")
    _say(
        f"{options.hours} hours from seed {first}: no invariant broken; {datagrams} datagrams,"
        f" {handshakes} initiations, {monotonic() - began:.0f} s"
    )
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
