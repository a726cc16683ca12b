"""`wgpy mesh audit`: the coordinator's audit log."""

import asyncio
from argparse import Namespace
from typing import Any

from wgpy.cli.mesh.administrator import Administrator, administrator
from wgpy.cli.mesh.output import columns, date, report
from wgpy.cli.network_documents import Audit
from wgpy.mesh.selectors import shown


def audit(arguments: Namespace) -> None:
    asyncio.run(_audit(arguments))


async def _audit(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        found = await entries(admin)
    rows = [
        (date(int(entry["time"])), str(entry["who"]), str(entry["told"]), str(entry["from"]))
        for entry in found
    ]
    document: Audit = {
        "entries": [
            {"time": one["time"], "who": one["who"], "what": one["what"], "from": one["from"]}
            for one in found
        ]
    }
    report(arguments, document, columns([("TIME", "WHO", "WHAT", "FROM"), *rows]))


async def entries(admin: Administrator) -> list[dict[str, Any]]:
    """Return the audit log, the newest last; `told` is `what` in the words of commands."""
    names, ends = admin.names, admin.topology.ends

    def told(what: str) -> str:
        """Return it with what the selectors of scopes stand for, after the line that says so."""
        return " ".join(shown(word, names, ends) for word in what.split(" "))

    return [{**entry, "told": told(str(entry["what"]))} for entry in await admin.coordinator.audit()]
