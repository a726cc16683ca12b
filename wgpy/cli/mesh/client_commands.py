"""`wgpy mesh client`: its subcommands. The module of each is imported when it runs."""

from typing import Final

from wgpy.cli.command import Command
from wgpy.cli.mesh import argument_types as types
from wgpy.cli.mesh.arguments import ADMINISTRATOR, ALL, SIGNING, argument, run_by

CLIENT: Final = Command(
    "client",
    None,
    "Let devices with any WireGuard app into the network.",
    """\
A client (elsewhere: external client) is a phone or a laptop without wgpy. It enters by a gateway: any node
that it can reach.
Next: `wgpy mesh client add --help`.""",
    commands=(
        Command(
            "add",
            run_by("clients:add"),
            "Make the file or the QR code of a new client.",
            """\
Examples:
  sudo wgpy mesh client add alice --to office --expires 30d --qr
  sudo wgpy mesh client add carol --to db1:5432/tcp --to office/192.168.1.10:443/tcp
  sudo wgpy mesh client add bob --to tag:servers --gateway hub --gateway edge --out bob.conf
Without --to a client may begin what the rules say, and without rules to everybody.
The private key is made here, is shown once and is stored nowhere.
Next: import the file in a WireGuard app, or `wg-quick up ./bob-hub.conf`; `wgpy mesh client show bob` says
later whether it needs a new file.""",
            (
                argument("name", metavar="NAME", type=types.name, help="name of the client"),
                argument(
                    "--to", metavar="DESTINATION", type=types.destination, action="append", default=[],
                    help="to what it may begin: a site, a node, tag:NAME or any, with or without ports as in "
                    "web1:443/tcp; may be repeated",
                ),
                argument(
                    "--gateway", metavar="NODE", action="append", default=[],
                    help="node by which it enters (default: this one); may be repeated: one file for each",
                ),
                argument(
                    "--endpoint", metavar="HOST[:PORT]", type=types.host_port,
                    help="address at which it reaches the gateway (default: one that the gateway publishes)",
                ),
                argument(
                    "--expires", metavar="DURATION", type=types.duration, default=0,
                    help="for how long it is a client, such as 12h or 30d (default: until it is removed)",
                ),
                argument(
                    "--no-dns", dest="dns", action="store_false",
                    help="leave the gateway out of the file as the client's server of names",
                ),
                argument("--qr", action="store_true", help="print a QR code for the app to scan"),
                argument("--png", metavar="FILE", help="write the QR code to a file"),
                argument("--out", metavar="FILE", help="write the file, which only its owner can read"),
                argument(
                    "--public-key", metavar="KEY", type=types.public_key,
                    help="the client's own public key: its private key stays where it is",
                ),
                *SIGNING,
            ),
        ),
        Command(
            "list",
            run_by("clients:list_clients"),
            "List the clients.",
            "Clients that were removed or expired are shown with --all.",
            (*ADMINISTRATOR, ALL),
        ),
        Command(
            "show",
            run_by("clients:show"),
            "Show a client, and what has changed since its file was made.",
            "If its file is not right any more: `wgpy mesh client remove NAME`, and add it again.",
            (argument("name", metavar="NAME", help="name or public key of the client"), *ADMINISTRATOR),
        ),
        Command(
            "remove",
            run_by("clients:remove"),
            "Remove a client: no node accepts its packets any more.",
            "`wgpy mesh client list` shows the names.",
            (argument("name", metavar="NAME", help="name or public key of the client"), *SIGNING),
        ),
    ),
)  # fmt: skip
