"""`wgpy mesh audit`: the coordinator's audit log."""

import asyncio
from argparse import Namespace

from wgpy.cli.mesh.administrator import administrator
from wgpy.cli.mesh.output import columns, date, report


def audit(arguments: Namespace) -> None:
    asyncio.run(_audit(arguments))


async def _audit(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        entries = await admin.coordinator.audit()
    rows = [
        (date(int(entry["time"])), str(entry["who"]), str(entry["what"]), str(entry["from"]))
        for entry in entries
    ]
    report(arguments, entries, columns([("TIME", "WHO", "WHAT", "FROM"), *rows]))
