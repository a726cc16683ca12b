"""`wgpy mesh audit`: who changed what."""

import asyncio
from argparse import Namespace

from wgpy.cli.mesh.administrator import administrator
from wgpy.cli.mesh.text import columns, date, tell


def audit(arguments: Namespace) -> None:
    asyncio.run(_audit(arguments))


async def _audit(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        entries = await admin.coordinator.audit()
        named = {str(node.signer): node.name for node in admin.ledger.nodes()}
    named[str(admin.file.key.verify_key())] = "administrator"
    rows = [
        (
            date(int(entry["time"])),
            named.get(entry["who"], str(entry["who"])),
            str(entry["what"]),
            str(entry["from"]),
        )
        for entry in entries
    ]
    tell(arguments, entries, columns([("TIME", "WHO", "WHAT", "FROM"), *rows]))
