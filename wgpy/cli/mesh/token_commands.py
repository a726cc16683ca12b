"""`wgpy mesh token` and `wgpy mesh revoke`. The module is imported when one of them runs."""

from typing import Final

from wgpy.cli.command import Command
from wgpy.cli.mesh import argument_types as types
from wgpy.cli.mesh.arguments import ALL, SIGNING, argument, run_by

_DAY: Final = 86_400  # seconds

TOKEN: Final = Command(
    "token",
    run_by("tokens:token"),
    "Make a token, which admits hosts; or list the tokens.",
    """\
Examples:
  sudo wgpy mesh token --uses 20 --expires 7d --tag k8s
  sudo wgpy mesh token --list        without tokens that ended more than a day ago, which --all shows
A token (elsewhere: enrolment key) is a secret: any host that has it can join. `wgpy mesh revoke` revokes
it.""",
    (
        argument(
            "--uses", metavar="N", type=types.uses, default=1,
            help="number of hosts that the token admits (default: 1)",
        ),
        argument(
            "--expires", metavar="DURATION", type=types.duration, default=_DAY,
            help="how long the token admits hosts, such as 12h, 7d or 4w (default: 24h)",
        ),
        argument(
            "--lifetime", metavar="DURATION", type=types.duration, default=0,
            help="how long each admitted node stays a member (default: for ever)",
        ),
        argument(
            "--tag", metavar="NAME", type=types.name, action="append", default=[],
            help="tag of the admitted nodes, for rules; may be repeated",
        ),
        argument(
            "--routes", metavar="PREFIX", type=types.grant, action="extend", nargs="+", default=[],
            help="prefixes that the admitted nodes may announce, whole or in part, without approval",
        ),
        argument(
            "--relay", action="store_true",
            help="the admitted nodes pass on what others, which cannot reach each other, send each other",
        ),
        argument("--list", action="store_true", help="list the tokens"),
        ALL,
        *SIGNING,
    ),
)  # fmt: skip

REVOKE: Final = Command(
    "revoke",
    run_by("tokens:revoke"),
    "Revoke a token; nodes that it admitted stay members.",
    "`wgpy mesh token --list` shows the keys of tokens; an unambiguous beginning of a key is enough.",
    (argument("token", metavar="TOKEN-KEY", help="key of the token"), *SIGNING),
)  # fmt: skip
