"""The command `wgpy`: its subcommands, and the conversion of errors into one sentence on standard error."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

import wgpy
from wgpy.cli import colours, completion
from wgpy.cli.command import USAGE, Argument, Command, Parser, parser
from wgpy.cli.doctor.commands import DOCTOR
from wgpy.cli.errors import CommandError, UsageError
from wgpy.cli.execute import execute
from wgpy.cli.keys import genkey, genpsk, pubkey
from wgpy.cli.mesh.arguments import WATCH, run_by
from wgpy.cli.mesh.commands import MESH
from wgpy.cli.proxy import proxy
from wgpy.cli.reload import reload, save, strip
from wgpy.cli.show import show, show_counters, watch_interfaces
from wgpy.cli.tunnel import down, up
from wgpy.config import ConfigError
from wgpy.uapi.client import InterfaceError

_FAILURE: Final = 1
_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count


def _show(arguments: argparse.Namespace) -> None:
    if arguments.watch and (arguments.json or arguments.counters):
        raise UsageError("--watch shows interfaces to people: leave out --json and --counters")
    if arguments.watch:
        watch_interfaces(arguments.interface, arguments.watch, show_keys=arguments.show_keys)
    elif arguments.counters:
        show_counters(arguments.interface, as_json=arguments.json)
    else:
        show(arguments.interface, as_json=arguments.json, show_keys=arguments.show_keys)


def _completion(arguments: argparse.Namespace) -> None:
    print(completion.script(arguments.shell, COMMANDS), end="")


_CONFIG: Final = Argument(
    ("config",),
    {
        "metavar": "FILE|NAME",
        "help": "a wg-quick file such as ./wg0.conf, or wg0 for /etc/wireguard/wg0.conf",
    },
)
_VERBOSE: Final = Argument(
    ("-v", "--verbose"), {"action": "store_true", "help": "print every command before it is run"}
)

_SEVERAL: Final = {"action": "append", "default": []}
_PERSISTENT: Final = Argument(
    ("--persistent",),
    {"action": "store_true", "help": "let nothing leave in the clear if the daemon is killed"},
)

COMMANDS: Final = (
    Command(
        "genkey",
        lambda _: genkey(),
        "Make a private key.",
        """\
Keep it where only its owner can read it:
  (umask 077; wgpy genkey > private.key)
Next: `wgpy pubkey < private.key` prints the public key, for the files of the peers.""",
    ),
    Command(
        "pubkey",
        lambda _: pubkey(),
        "Print the public key of the private key on standard input.",
        """\
Example:
  wgpy pubkey < private.key
Next: put the public key into the file of the other host, as `PublicKey = …` below [Peer].""",
    ),
    Command(
        "genpsk",
        lambda _: genpsk(),
        "Make a preshared key: one more secret that two peers share.",
        """\
Next: put the key into the files of both hosts, as `PresharedKey = …` below [Peer].""",
    ),
    Command(
        "show",
        _show,
        "Show the interfaces that are up, and their peers.",
        """\
Examples:
  wgpy show                 every interface
  wgpy show wg0             one
  wgpy show wg0 --json      JSON: `interfaces`, by name
  wgpy show wg0 --watch     in place, until Ctrl-C
  wgpy show wg0 --counters  numbers of dropped packets and messages, by reason
No "latest handshake" means that the peer has never answered: check its Endpoint, both public keys,
and that UDP passes between the two hosts.""",
        (
            Argument(("interface",), {"nargs": "?", "default": "all", "help": "an interface (default: all)"}),
            Argument(("--json",), {"action": "store_true", "help": "print JSON without secret keys"}),
            Argument(("--show-keys",), {"action": "store_true", "help": "print the secret keys as well"}),
            Argument(("--counters",), {"action": "store_true", "help": "print the drop counters instead"}),
            WATCH,
        ),
    ),
    Command(
        "up",
        lambda arguments: up(arguments.config, verbose=arguments.verbose, persistent=arguments.persistent),
        "Bring up the tunnel of a configuration file.",
        """\
The smallest file, wg0.conf:
  [Interface]
  PrivateKey = (of this host, from `wgpy genkey`)
  Address = 10.0.0.1/24

  [Peer]
  PublicKey = (of the other host, from `wgpy pubkey`)
  Endpoint = other.example.net:51820
  AllowedIPs = 10.0.0.2/32
With AllowedIPs = 0.0.0.0/0, ::/0 all traffic of this host goes through the peer.
With --persistent the interface and its routes also stay if the daemon is killed: what belongs into the tunnel
then goes nowhere, until `wgpy up` starts the daemon again, or `wgpy down` takes the interface away.
If a step fails, the steps before it are undone.
Next: `wgpy show wg0`, and `wgpy down ./wg0.conf` when done.""",
        (_CONFIG, _PERSISTENT, _VERBOSE),
    ),
    Command(
        "down",
        lambda arguments: down(arguments.config, verbose=arguments.verbose),
        "Take a tunnel down.",
        "With `SaveConfig = true` in the file, the running configuration is written to the file first.",
        (_CONFIG, _VERBOSE),
    ),
    Command(
        "reload",
        lambda arguments: reload(arguments.config, verbose=arguments.verbose),
        "Bring a changed configuration file into a tunnel that is up.",
        """\
Peers, keys, addresses, allowed IPs and their routes become what the file says; sessions go on.
Hooks do not run. `Table`, and an `MTU` or `DNS` that was deleted, count from the next `wgpy up`.""",
        (_CONFIG, _VERBOSE),
    ),
    Command(
        "save",
        lambda arguments: save(arguments.config, verbose=arguments.verbose),
        "Write the running configuration of a tunnel into its file.",
        "The file keeps its hooks and loses its comments. `SaveConfig = true` does this at each `wgpy down`.",
        (_CONFIG, _VERBOSE),
    ),
    Command(
        "strip",
        lambda arguments: strip(arguments.config),
        "Print a configuration file without wg-quick's settings, for `wg`.",
        """\
The output has the private key. Example:
  wg syncconf wg0 <(wgpy strip wg0)""",
        (_CONFIG,),
    ),
    Command(
        "exec",
        lambda arguments: execute(arguments.words, arguments.mesh),
        "Run a program inside a tunnel or a mesh, without root.",
        """\
Examples:
  wgpy exec ./wg0.conf -- curl http://web.internal/
  wgpy exec --mesh prod -- curl http://web/           on a node of the mesh
The program has a network of its own: the tunnel, and its own localhost. Names are asked of the file's DNS.
This host's addresses, routes and DNS stay as they are. Hooks of the file do not run,
`Table = off` means no routes inside, and FwMark needs root.
With --mesh the program reaches the mesh and nothing else, by TCP, UDP and ping, as this node; nobody reaches
it. For a program with rights of its own, `wgpy mesh client add` makes a file.
The exit status is the program's: 128 and the signal's number if one ended it, 127 if there is no such
program. What the program leaves running ends with it.""",
        (
            Argument(
                ("--mesh",),
                {"metavar": "NETWORK", "help": "of a mesh that this host is a node of, instead of a file"},
            ),
            Argument(
                ("words",),
                {
                    "nargs": "...",
                    "metavar": "[FILE|NAME] -- PROGRAM …",
                    "help": "a wg-quick file, or wg0 for /etc/wireguard/wg0.conf; "
                    "and the program, with its arguments",
                },
            ),
        ),
        usage="[-h] (FILE | NAME | --mesh NETWORK) -- PROGRAM …",
    ),
    Command(
        "proxy",
        proxy,
        "Let programs use a tunnel by a proxy, without root.",
        """\
Examples:
  wgpy proxy ./wg0.conf --socks5 127.0.0.1:1080 --http 127.0.0.1:8080
  curl --proxy socks5h://127.0.0.1:1080 http://web.internal/
  wgpy proxy ./wg0.conf --forward 127.0.0.1:5432=db.internal:5432   from a port of this host into the tunnel
  wgpy proxy ./wg0.conf --expose 10.0.0.1:80=127.0.0.1:8000         from a port of the tunnel to this host
  wgpy proxy ./wg0.conf --forward udp:127.0.0.1:5353=10.0.0.2:53    the same with datagrams
Each option may be given several times; port 0 is any that is free. Whoever reaches an address that is
listened on may use the tunnel; with --account, SOCKS5 and HTTP serve only who has its password. Names are
asked of the file's DNS.
Ctrl-C ends it.""",
        (
            _CONFIG,
            Argument(
                ("--socks5",),
                {**_SEVERAL, "metavar": "ADDRESS:PORT", "help": "serve SOCKS5: connections and UDP"},
            ),
            Argument(
                ("--http",),
                {**_SEVERAL, "metavar": "ADDRESS:PORT", "help": "serve as an HTTP proxy"},
            ),
            Argument(
                ("--forward",),
                {
                    **_SEVERAL,
                    "metavar": "LOCAL=REMOTE",
                    "help": "lead connections, or after `udp:` datagrams, to LOCAL into the tunnel",
                },
            ),
            Argument(
                ("--expose",),
                {
                    **_SEVERAL,
                    "metavar": "REMOTE=LOCAL",
                    "help": "lead connections, or after `udp:` datagrams, from the tunnel to LOCAL",
                },
            ),
            Argument(
                ("--metrics",),
                {**_SEVERAL, "metavar": "ADDRESS:PORT", "help": "serve /metrics for Prometheus, and /health"},
            ),
            Argument(
                ("--account",),
                {"metavar": "FILE", "help": "a file with NAME:PASSWORD, of SOCKS5 and HTTP"},
            ),
        ),
    ),
    MESH,
    DOCTOR,
    Command(
        "bugreport",
        run_by("command:bugreport", "wgpy.cli.bugreport"),
        "Write one file with what a maintainer needs to find a fault.",
        """\
Versions, interfaces, networks, routes, rules, firewall, settings and the recent log, as text.
Keys, tokens and addresses are left out, each replaced by a word with a number; secret keys are never read.
Examples:
  sudo wgpy bugreport
  sudo wgpy bugreport --file report.txt --with-addresses
Next: read the file, and send it.""",
        (
            Argument(
                ("--file",), {"metavar": "FILE", "help": "where to write it (default: here, by the date)"}
            ),
            Argument(
                ("--with-addresses",),
                {"action": "store_true", "help": "leave addresses, public keys and names of hosts in it"},
            ),
        ),
    ),
    Command(
        "completion",
        _completion,
        "Print a completion script for a shell.",
        """\
Add the line of your shell to its startup file:
  eval "$(wgpy completion bash)"          ~/.bashrc
  eval "$(wgpy completion zsh)"           ~/.zshrc, after compinit
  wgpy completion fish | source           ~/.config/fish/config.fish""",
        (Argument(("shell",), {"choices": completion.SHELLS}),),
    ),
)

_DESCRIPTION: Final = "WireGuard tunnels without the kernel module."
_LESSON: Final = """\
A tunnel in four steps, on each of two hosts:
  (umask 077; wgpy genkey > private.key)
  wgpy pubkey < private.key               the public key, for the other host's file
  sudo wgpy up ./wg0.conf                 `wgpy up --help` shows what the file holds
  sudo wgpy show wg0

Many hosts as one network, each by one command: `wgpy mesh --help`.
`wgpy COMMAND --help` describes each."""


def reader() -> Parser:
    """Return the parser of the command line; what it reads has `run`, which may be None."""
    made = parser("wgpy", _DESCRIPTION, _LESSON, COMMANDS)
    made.add_argument("--version", action="store_true", help="print the version and exit")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 0, 1 on failure, 2 on a wrong command line."""
    options = reader().parse_args(arguments)
    if options.version:
        print(f"wgpy {wgpy.__version__}")
        return 0
    if options.run is None:
        options.parser.print_help(sys.stderr)
        return USAGE
    colours.choose(getattr(options, "color", "never"))
    try:
        options.run(options)
        sys.stdout.flush()
    except (CommandError, ConfigError, InterfaceError) as error:
        print(f"wgpy: {str(error).rstrip('.')}.", file=sys.stderr)
        return USAGE if isinstance(error, UsageError) else _FAILURE
    except BrokenPipeError:
        # The reader closed the pipe; Python would report that again when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILURE
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
