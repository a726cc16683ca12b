"""`wgpy mesh relay`: its subcommands. The module is imported when one of them runs."""

from typing import Final

from wgpy.cli.command import Command
from wgpy.cli.mesh.arguments import ADMINISTRATOR, SIGNING, argument, run_by

_NODE: Final = argument("name", metavar="NODE", help="name or identity of the node")

RELAY: Final = Command(
    "relay",
    None,
    "Choose the nodes by which others reach each other.",
    """\
A relay passes on what two nodes send each other that cannot reach each other, as each is behind a NAT or a
firewall. It cannot read that. All nodes must reach it by UDP. The first node is one, unless `init` had
--no-relay, and so are the nodes of a `wgpy mesh token --relay`.
Next: `wgpy mesh relay list`.""",
    commands=(
        Command(
            "add",
            run_by("relays:add"),
            "Make a node a relay.",
            """\
Nodes know a relay, and it knows them, whatever the rules are. None may begin anything to it by that.
Next: `wgpy mesh status` on any node says by which relay it reaches others.""",
            (_NODE, *SIGNING),
        ),
        Command(
            "remove",
            run_by("relays:remove"),
            "Make a relay an ordinary node again.",
            "Nodes that were reached by it are reached by another relay, if there is one.",
            (_NODE, *SIGNING),
        ),
        Command("list", run_by("relays:list_relays"), "List the relays.", "", ADMINISTRATOR),
    ),
)
