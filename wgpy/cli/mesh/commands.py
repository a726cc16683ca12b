"""The subcommands of `wgpy mesh`. What each needs is loaded when it runs."""

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from wgpy.cli.command import Argument, Command
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import argument_types as types

DAY: Final = 86_400  # seconds


def _run(where: str) -> Callable[[argparse.Namespace], None]:
    """Return what runs `module:function`; why it fails is a CommandError."""

    def run(arguments: argparse.Namespace) -> None:
        from wgpy.mesh.addressing import NoSpace
        from wgpy.node.agent import AgentError
        from wgpy.node.coordinator import CoordinatorError
        from wgpy.node.files import StorageError

        module, _, function = where.partition(":")
        try:
            getattr(import_module(f"wgpy.cli.mesh.{module}"), function)(arguments)
        except (AgentError, CoordinatorError, NoSpace, StorageError) as error:
            raise CommandError(str(error)) from None

    return run


def _argument(*names: str, **options: Any) -> Argument:
    return Argument(names, options)


_NETWORK: Final = _argument("--network", metavar="NAME", help="which network, on a host that is in several")
_KEY: Final = _argument(
    "--key", metavar="FILE", help="the network's key, where it is not in its place on this host"
)
_JSON: Final = _argument("--json", action="store_true", help="print JSON, for programs")
_VERBOSE: Final = _argument(
    "-v", "--verbose", action="store_true", help="print every command before it is run"
)
_ANY: Final = (_NETWORK, _JSON)
_ADMINISTRATOR: Final = (_NETWORK, _KEY, _JSON)
_SELECTORS: Final = (
    _argument("source", metavar="SOURCE", type=types.selector, help="a node's name, tag:NAME, or any"),
    _argument("destination", metavar="DESTINATION", type=types.selector, help="likewise"),
)
_HOST: Final = (
    _argument("--name", metavar="NAME", type=types.name, help="of this node, else the host's own name"),
    _argument(
        "--endpoint", metavar="HOST[:PORT]", type=types.host_port, action="append", default=[],
        help="where others reach this node, if that cannot be found out: a mapped port, say",
    ),
    _argument(
        "--routes", metavar="PREFIX", type=types.prefix, action="extend", nargs="+", default=[],
        help="prefixes behind this node that the others reach through it, such as its pods",
    ),
    _argument(
        "--interface", metavar="NAME", type=types.interface, default="mesh0", help="else mesh0"
    ),
    _argument("--listen-port", metavar="PORT", type=types.port, default=51820, help="UDP, else 51820"),
)  # fmt: skip

MESH: Final = Command(
    "mesh",
    None,
    "Many hosts as one network, wherever they are.",
    """\
On a host that the others can reach:
  sudo wgpy mesh init prod --public vpn.example.com
On each other host, with the token that this printed:
  sudo wgpy mesh join wgpy1_…
Next: `sudo wgpy mesh status`, and `sudo wgpy mesh why NAME` where a node is not reached.""",
    commands=(
        Command(
            "init",
            _run("init:init"),
            "Make a network: coordinator and first node on this host.",
            """\
Example:
  sudo wgpy mesh init prod --public vpn.example.com
The other hosts need to reach PORT by TCP (51820 unless said otherwise), and preferably this node's UDP port.
If a step fails, the steps before it are undone.
Next: run the command that it prints on another host; `wgpy mesh token` makes tokens for more.""",
            (
                _argument("network", metavar="NAME", type=types.name, help="of the network"),
                _argument(
                    "--public", metavar="HOST[:PORT]", type=types.host_port, required=True,
                    help="where the other hosts find the coordinator",
                ),
                _argument(
                    "--listen", metavar="ADDRESS[:PORT]", type=types.host_port,
                    help="where the coordinator listens, else on all addresses and the port of --public",
                ),
                _argument(
                    "--addresses", metavar="RANGE", type=types.prefix4,
                    help="IPv4 addresses of the nodes, else a /16 that overlaps nothing on this host",
                ),
                _argument(
                    "--mtu", metavar="BYTES", type=types.mtu, default=1380,
                    help="of the interfaces, else 1380; a network under it must carry 80 more",
                ),
                _argument(
                    "--certificate", metavar="FILE",
                    help="of the coordinator, by an authority that all hosts trust; else it makes its own",
                ),
                _argument("--certificate-key", metavar="FILE", help="the private key of --certificate"),
                *_HOST,
                _JSON,
                _VERBOSE,
            ),
        ),
        Command(
            "join",
            _run("join:join"),
            "Make this host a node of a network.",
            """\
Examples:
  sudo wgpy mesh join wgpy1_…
  sudo wgpy mesh join --token-file ./token        - for standard input
  sudo WGPY_TOKEN=wgpy1_… wgpy mesh join
  sudo wgpy mesh join wgpy1_… --routes 10.42.3.0/24
A join that was interrupted is finished by the same command.
Next: `sudo wgpy mesh status`.""",
            (
                _argument(
                    "token", metavar="TOKEN", nargs="?", help="from `wgpy mesh init` or `wgpy mesh token`"
                ),
                _argument("--token-file", metavar="FILE", help="which holds the token; - for standard input"),
                *_HOST,
                _JSON,
                _VERBOSE,
            ),
        ),
        Command(
            "leave",
            _run("leave:leave"),
            "Take this host out of its network, for ever.",
            """\
With --force also while the coordinator does not answer; then the others know it as a node until
`wgpy mesh remove NAME`.
Next: it may join again, with a new token.""",
            (
                _NETWORK,
                _argument("--force", action="store_true", help="even if the coordinator cannot be told"),
                _JSON,
                _VERBOSE,
            ),
        ),
        Command(
            "status",
            _run("status:show_status"),
            "Show the network as this node knows it.",
            "Next: `wgpy mesh why NAME` where a node is not reached.",
            _ANY,
        ),
        Command(
            "why",
            _run("why:why"),
            "Say why a node is reachable, or is not.",
            "Example:\n  sudo wgpy mesh why web1",
            (_argument("name", metavar="NAME", help="of the other node"), *_ANY),
        ),
        Command(
            "rename",
            _run("nodes:rename"),
            "Give this node another name.",
            "Rules that name it go on naming the old one.",
            (_argument("name", metavar="NAME", type=types.name, help="the new one"), *_ANY),
        ),
        Command(
            "node-list",
            _run("nodes:node_list"),
            "List the nodes as the coordinator knows them, and their health.",
            "With the network's key on this host: all of them; else those that this node may know.",
            _ADMINISTRATOR,
        ),
        Command(
            "token",
            _run("tokens:token"),
            "Make a token, which lets hosts join; or list them.",
            """\
Examples:
  sudo wgpy mesh token --uses 20 --expires 7d --tag k8s
  sudo wgpy mesh token --list
A token (elsewhere: enrolment key) is a secret: who has it can join. `wgpy mesh revoke` ends it.""",
            (
                _argument("--uses", metavar="N", type=types.uses, default=1, help="how many hosts, else 1"),
                _argument(
                    "--expires", metavar="SPAN", type=types.span, default=DAY,
                    help="for how long it admits, such as 12h, 7d or 4w; else 24h",
                ),
                _argument(
                    "--lifetime", metavar="SPAN", type=types.span, default=0,
                    help="how long its nodes stay members, else for ever",
                ),
                _argument(
                    "--tag", metavar="NAME", type=types.name, action="append", default=[],
                    help="that its nodes have, for rules; may be given several times",
                ),
                _argument(
                    "--routes", metavar="PREFIX", type=types.prefix, action="extend", nargs="+", default=[],
                    help="its nodes may announce these, and parts of them, without approval",
                ),
                _argument("--list", action="store_true", help="show the tokens that there are"),
                *_ADMINISTRATOR,
            ),
        ),
        Command(
            "revoke",
            _run("tokens:revoke"),
            "End a token; who has joined by it stays.",
            "`wgpy mesh token --list` shows the keys of tokens; a beginning of one is enough.",
            (_argument("token", metavar="TOKEN-KEY", help="the key of the token"), *_ADMINISTRATOR),
        ),
        Command(
            "remove",
            _run("nodes:remove"),
            "Remove a node; nobody speaks to it any more.",
            "The host can join again with a new token. It leaves by itself with `wgpy mesh leave`.",
            (_argument("name", metavar="NAME", help="of the node, or its identity"), *_ADMINISTRATOR),
        ),
        Command(
            "approve",
            _run("nodes:approve"),
            "Let a node announce routes that its token does not allow.",
            """\
Examples:
  sudo wgpy mesh approve web1                   all that it asks for
  sudo wgpy mesh approve web1 10.42.3.0/24      this, and none that was approved before
  sudo wgpy mesh approve web1 --none            take it back""",
            (
                _argument("name", metavar="NAME", help="of the node"),
                _argument(
                    "routes", metavar="PREFIX", nargs="*", type=types.prefix, help="else all it asks for"
                ),
                _argument("--none", action="store_true", help="no route but those of its token"),
                *_ADMINISTRATOR,
            ),
        ),
        Command(
            "allow",
            _run("rules:allow"),
            "Let some nodes reach others.",
            """\
Without any rule everybody reaches everybody; with the first one, only what a rule allows.
Examples:
  sudo wgpy mesh allow tag:office tag:servers
  sudo wgpy mesh allow laptop any""",
            (*_SELECTORS, *_ADMINISTRATOR),
        ),
        Command(
            "disallow",
            _run("rules:disallow"),
            "Take a rule back.",
            "`wgpy mesh status` shows the rules.",
            (*_SELECTORS, *_ADMINISTRATOR),
        ),
        Command(
            "audit",
            _run("audit:audit"),
            "Show who changed what, and when, as the coordinator wrote it down.",
            "The newest is the last.",
            _ADMINISTRATOR,
        ),
    ),
)  # fmt: skip
