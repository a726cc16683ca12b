"""Change a mesh without a pause, and say which changes were acknowledged; runs on the hosts of a mesh.

meshchanges.py publish NETWORK          publish rules until killed; print the sequence of each that is stored
meshchanges.py rename NETWORK NAME      likewise: this node is NAME-1, NAME-2, …; prints the number of each
meshchanges.py many NETWORK COUNT       submit COUNT rules at once; print the sequence of the last
meshchanges.py known NETWORK            print the sequences of all rules that the coordinator has

The rules are removals of rules that never were, so they change nothing else.
"""

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

from wgpy.cli.errors import CommandError
from wgpy.cli.mesh.administrator import Administrator, administrator
from wgpy.mesh.records import Rule, encode, network_id
from wgpy.node import agent_client as agent
from wgpy.node.agent_client import AgentError
from wgpy.node.coordinator_client import CoordinatorError

_PAUSE = 0.02  # seconds
_RETRY = 0.1


def _administrator(network: str) -> AbstractAsyncContextManager[Administrator]:
    return administrator(Namespace(key=None, network=network))


async def publish(network: str) -> None:
    while True:
        try:
            async with _administrator(network) as admin:
                while True:
                    await admin.publish(
                        Rule, source=f"tag:t{admin.file.sequence}", destination="any", allowed=False
                    )
                    print(admin.file.sequence, flush=True)
                    await asyncio.sleep(_PAUSE)
        except (CoordinatorError, CommandError) as error:
            print(error, file=sys.stderr, flush=True)
            await asyncio.sleep(_RETRY)


async def many(network: str, count: str) -> None:
    async with _administrator(network) as admin:
        key, first = admin.file.key, admin.ledger.state_digest().sequence + 1
        rules = [
            Rule(
                network=network_id(key.verify_key()), signer=key.verify_key(), time=int(time.time()),
                sequence=sequence, source=f"tag:t{sequence}", destination="any", allowed=False,
            )
            for sequence in range(first, first + int(count))
        ]  # fmt: skip
        outcomes = await admin.coordinator.submit([key.sign(encode(rule)) for rule in rules])
        assert all(outcome.verdict == "new" for outcome in outcomes)
        print(rules[-1].sequence)


async def known(network: str) -> None:
    async with _administrator(network) as admin:
        for rule in admin.ledger.admin_records(Rule).values():
            print(rule.sequence)


async def rename(network: str, name: str) -> None:
    number = 1
    while True:
        try:
            await asyncio.to_thread(agent.rename, network, f"{name}-{number}")
        except AgentError as error:
            print(error, file=sys.stderr, flush=True)
            await asyncio.sleep(_RETRY)
        else:
            print(number, flush=True)
            await asyncio.sleep(_PAUSE)
        number += 1


COMMANDS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "publish": publish,
    "rename": rename,
    "many": many,
    "known": known,
}

if __name__ == "__main__":
    asyncio.run(COMMANDS[sys.argv[1]](*sys.argv[2:]))
