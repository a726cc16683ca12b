"""The command line: `python -m benchmarks.mesh`."""

import argparse
import asyncio
import shlex
from collections.abc import Iterable
from statistics import median

from benchmarks.mesh import attacks, rules
from benchmarks.mesh.change import Cost, costs
from benchmarks.mesh.followers import WGMESH, Followed, follow
from benchmarks.mesh.network import make
from benchmarks.mesh.storms import Builds, Storm, storms

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
    parser.add_argument(
        "--storm", type=int, default=0, metavar="NODES", help="number of nodes that join, and return, at once"
    )
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds with --storm")
    parser.add_argument(
        "--impl", action="append", default=[], metavar="NAME=COMMAND", help="another wgmesh, with --storm"
    )
    parser.add_argument("--changes", type=int, default=9, help="number of changes with --followers")
    arguments = parser.parse_args()
    for grouped, kind in _KINDS.items() if arguments.nodes else ():
        print(f"\n**{kind}**\n")
        _print_costs(cost for nodes in arguments.nodes for cost in costs(make(nodes, grouped=grouped)))
    if arguments.followers:
        _print_followed(asyncio.run(follow(arguments.followers, arguments.changes)))
    if arguments.storm:
        builds = {"wgmesh": WGMESH, **dict(map(_build, arguments.impl))}
        asyncio.run(_print_storms(arguments.storm, arguments.rounds, builds))
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


def _build(text: str) -> tuple[str, list[str]]:
    name, _, command = text.partition("=")
    return name, shlex.split(command)


async def _print_storms(nodes: int, rounds: int, builds: Builds) -> None:
    """Print each, then medians, and the ratios within a round to the last build: median, least and most."""
    found: dict[str, dict[str, list[Storm]]] = {}
    async for storm in storms(nodes, rounds, builds):
        found.setdefault(storm.what, {}).setdefault(storm.build, []).append(storm)
        print(
            f"{storm.build}, {nodes:,} {storm.what}: {storm.settled:.2f} s, CPU {storm.cpu:.2f} s", flush=True
        )
    print("\n| storm | build | all are settled | CPU of the coordinator | of the last build | CPU of it |")
    print("|---" * 6 + "|")
    for what, by_build in found.items():
        last = list(by_build.values())[-1]
        for build, measured in by_build.items():
            cells = (
                f"{nodes:,} {what}", build, f"{median(one.settled for one in measured):.1f} s",
                f"{median(one.cpu for one in measured):.1f} s",
                _ratio([one.settled / of.settled for one, of in zip(measured, last, strict=True)]),
                _ratio([one.cpu / of.cpu for one, of in zip(measured, last, strict=True)]),
            )  # fmt: skip
            print(f"| {' | '.join(cells)} |")


def _ratio(ratios: list[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


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
