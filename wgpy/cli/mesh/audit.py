"""`wgpy mesh audit`: the coordinator's audit log."""

import asyncio
from argparse import Namespace

from wgpy.cli.mesh.administrator import administrator
from wgpy.cli.mesh.output import columns, date, report
from wgpy.mesh.selectors import shown


def audit(arguments: Namespace) -> None:
    asyncio.run(_audit(arguments))


async def _audit(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        entries = await admin.coordinator.audit()
        names, ends = admin.names, admin.topology.ends

    def told(what: str) -> str:
        """Return it with what the selectors of scopes stand for, after the line that says so."""
        return " ".join(shown(word, names, ends) for word in what.split(" "))

    rows = [
        (date(int(entry["time"])), str(entry["who"]), told(str(entry["what"])), str(entry["from"]))
        for entry in entries
    ]
    report(arguments, entries, columns([("TIME", "WHO", "WHAT", "FROM"), *rows]))
