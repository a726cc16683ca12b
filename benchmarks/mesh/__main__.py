"""The command line: `python -m benchmarks.mesh`."""

import argparse
import asyncio
from collections.abc import Iterable
from statistics import median

from benchmarks.mesh import attacks, rules
from benchmarks.mesh.change import Cost, costs
from benchmarks.mesh.followers import Followed, follow
from benchmarks.mesh.network import make

_SECONDS = 2  # of a stream
_KINDS = {False: "no rule: all nodes reach each other", True: "rules: each node reaches a group of ten"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mesh", description=__doc__)
    parser.add_argument(
        "--nodes", type=int, nargs="*", default=[100, 300, 1000], help="numbers of simulated nodes"
    )
    parser.add_argument(
        "--followers", type=int, default=0, help="number of real subscriptions to one coordinator"
    )
    parser.add_argument(
        "--rules", type=int, default=0, metavar="ROUNDS", help="measure the cost of a rule in so many rounds"
    )
    parser.add_argument(
        "--attacks", nargs="*", metavar="NAME", help="measure attacks on a coordinator of 300 nodes (all)"
    )
    parser.add_argument("--changes", type=int, default=9, help="number of changes with --followers")
    arguments = parser.parse_args()
    for grouped, kind in _KINDS.items() if arguments.nodes else ():
        print(f"\n**{kind}**\n")
        _print_costs(cost for nodes in arguments.nodes for cost in costs(make(nodes, grouped=grouped)))
    if arguments.followers:
        _print_followed(asyncio.run(follow(arguments.followers, arguments.changes)))
    if arguments.rules:
        _print_rules(rules.costs(arguments.rules, _SECONDS))
    if arguments.attacks is not None:
        asyncio.run(_print_attacks(arguments.attacks))


async def _print_attacks(names: list[str]) -> None:
    print(f"\n| {' | '.join(attacks.HEADS)} |")
    print("|---" * len(attacks.HEADS) + "|")
    async for cost in attacks.costs(names, attacks.Extent()):
        cells = (
            cost.attack,
            f"{cost.attacker:.0%}",
            f"{cost.coordinator:.0%}",
            f"{cost.memory / 2**20:.0f} MiB",
            f"{cost.descriptors:,}",
            f"{median(cost.delays) * 1e3:.0f} ms",
            f"{median(cost.usual) * 1e3:.0f} ms",
            f"{max(cost.delays) * 1e3:.0f} ms",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


def _print_costs(measured: Iterable[Cost]) -> None:
    print("| change | nodes | concerned | to one | to all | coordinator | a node | full state to all |")
    print("|---|---|---|---|---|---|---|---|")
    for cost in measured:
        cells = (
            cost.change,
            f"{cost.nodes:,}",
            f"{cost.concerned:,}",
            f"{cost.sent // (cost.concerned or 1):,} B",
            f"{cost.sent / 1e6:.3f} MB",
            f"{cost.coordinator * 1e3:.1f} ms",
            f"{cost.node * 1e3:.2f} ms",
            f"{cost.full / 1e6:,.0f} MB",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


def _print_rules(measured: Iterable[rules.Cost]) -> None:
    print("\n| Gbit/s | no rule | a rule one way | with / without |\n|---|---|---|---|")
    for cost in measured:
        print(f"| {' | '.join(cost.row())} |")


def _print_followed(measured: Followed) -> None:
    done = measured.deliveries
    rows = {
        "subscriptions": f"{measured.followers:,}",
        "all join, one after another": f"{measured.joined:.1f} s",
        "memory (PSS) without subscriptions": f"{measured.idle / 2**20:.0f} MiB",
        "memory (PSS) with all": f"{measured.busy / 2**20:.0f} MiB",
        "a change is stored, median": f"{median(one.stored for one in done) * 1e3:.0f} ms",
        "a node has it, median": f"{median(one.median for one in done) * 1e3:.0f} ms",
        "the last node has it, median": f"{median(one.last for one in done) * 1e3:.0f} ms",
        "the last node has it, maximum": f"{max(one.last for one in done) * 1e3:.0f} ms",
        "CPU time of the coordinator for a change": f"{median(one.cpu for one in done) * 1e3:.0f} ms",
    }
    print("\n| one coordinator | |\n|---|---|")
    for what, value in rows.items():
        print(f"| {what} | {value} |")


if __name__ == "__main__":
    main()
