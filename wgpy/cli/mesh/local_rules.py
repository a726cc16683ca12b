"""The rules for this host's node, as its files have them."""

from contextlib import suppress
from dataclasses import dataclass

from wgpy.cli.mesh import networks
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import Rule
from wgpy.mesh.selectors import names_of, naming, naming_only_by_name, rule_text, shown_rule
from wgpy.mesh.topology import Topology, derive
from wgpy.node.files import Journal, NodeFile, StorageError


@dataclass(frozen=True, slots=True)
class LocalRules:
    """bound: for this node, whatever its name is; by_name: of older versions, for whoever has its name."""

    bound: tuple[str, ...]
    by_name: tuple[str, ...]


def local_rules(network: str, node: NodeFile, now: int) -> LocalRules:
    """Return them in the words of `wgpy mesh allow`, none if they cannot be read. now: Unix seconds."""
    ledger, topology = read_local(network, node, now)
    names = names_of(ledger.nodes(), topology)

    def told(rule: Rule) -> str:
        return rule_text(shown_rule(rule, names, topology.ends))

    return LocalRules(
        tuple(map(told, naming(topology.rules, node.identity.verify_key(), topology.ends))),
        tuple(map(told, naming_only_by_name(topology.rules, node.name))),
    )


def read_local(network: str, node: NodeFile, now: int) -> tuple[Ledger, Topology]:
    """Return the records that the node has on disk, as far as they can be read, and their topology."""
    ledger = Ledger(node.network)
    with suppress(StorageError):
        Journal(networks.folder(network)).read(ledger)
    return ledger, derive(ledger, now, viewer=node.identity.verify_key())
