"""The command `wgpy`: its subcommands as a table, and one place where errors become sentences."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, NoReturn

import wgpy
from wgpy.cli import completion
from wgpy.cli.errors import CommandError
from wgpy.cli.keys import genkey, genpsk, pubkey
from wgpy.cli.show import show, show_counters
from wgpy.cli.tunnel import down, up
from wgpy.config import ConfigError
from wgpy.uapi.client import InterfaceError

_FAILURE: Final = 1
_USAGE: Final = 2
_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count


def _show(arguments: argparse.Namespace) -> None:
    if arguments.counters:
        show_counters(arguments.interface, as_json=arguments.json)
    else:
        show(arguments.interface, as_json=arguments.json, show_keys=arguments.show_keys)


def _completion(arguments: argparse.Namespace) -> None:
    subcommands = [
        completion.Subcommand(
            command.name, command.summary, {"--help": "show what it does", **_options(command)}
        )
        for command in _COMMANDS
    ]
    print(completion.script(arguments.shell, subcommands), end="")


class _Argument(NamedTuple):
    names: tuple[str, ...]
    options: dict[str, Any]


class _Command(NamedTuple):
    """A subcommand: what it does in a line, what to know and do next, its arguments."""

    name: str
    run: Callable[[argparse.Namespace], None]
    summary: str
    lesson: str
    arguments: tuple[_Argument, ...] = ()


_CONFIG: Final = _Argument(
    ("config",),
    {
        "metavar": "FILE|NAME",
        "help": "a wg-quick file such as ./wg0.conf, or wg0 for /etc/wireguard/wg0.conf",
    },
)
_VERBOSE: Final = _Argument(
    ("-v", "--verbose"), {"action": "store_true", "help": "print every command before it is run"}
)

_COMMANDS: Final = (
    _Command(
        "genkey",
        lambda _: genkey(),
        "Make a private key.",
        """\
Keep it where only its owner can read it:
  (umask 077; wgpy genkey > private.key)
Next: `wgpy pubkey < private.key` gives the public key, which the peers are told.""",
    ),
    _Command(
        "pubkey",
        lambda _: pubkey(),
        "Print the public key of the private key on standard input.",
        """\
Example:
  wgpy pubkey < private.key
Next: put it into the file of the other side, as `PublicKey = …` below [Peer].""",
    ),
    _Command(
        "genpsk",
        lambda _: genpsk(),
        "Make a preshared key: one more secret that two peers share.",
        """\
Next: put it into the files of both sides, as `PresharedKey = …` below [Peer].""",
    ),
    _Command(
        "show",
        _show,
        "Show the interfaces that are up, and their peers.",
        """\
Examples:
  wgpy show                 every interface
  wgpy show wg0             one
  wgpy show wg0 --json      for programs: an object with one member per interface
  wgpy show wg0 --counters  how many packets and messages wgpyd dropped, and why
No "latest handshake" means that the peer has never answered: check its Endpoint, both public keys,
and that UDP passes between the two hosts.""",
        (
            _Argument(
                ("interface",), {"nargs": "?", "default": "all", "help": "an interface, or all as without it"}
            ),
            _Argument(("--json",), {"action": "store_true", "help": "print JSON; secrets are left out"}),
            _Argument(("--show-keys",), {"action": "store_true", "help": "print the secret keys as well"}),
            _Argument(
                ("--counters",), {"action": "store_true", "help": "print instead what was dropped, by reason"}
            ),
        ),
    ),
    _Command(
        "up",
        lambda arguments: up(arguments.config, verbose=arguments.verbose),
        "Bring a tunnel up as a file says.",
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
If a step fails, the steps before it are undone.
Next: `wgpy show wg0`, and `wgpy down ./wg0.conf` when done.""",
        (_CONFIG, _VERBOSE),
    ),
    _Command(
        "down",
        lambda arguments: down(arguments.config, verbose=arguments.verbose),
        "Take a tunnel down again.",
        "With `SaveConfig = true` in the file, the running state is written to it first.",
        (_CONFIG, _VERBOSE),
    ),
    _Command(
        "completion",
        _completion,
        "Print a script that teaches the shell to complete wgpy.",
        """\
Put the line of your shell where it reads at its start:
  eval "$(wgpy completion bash)"          ~/.bashrc
  eval "$(wgpy completion zsh)"           ~/.zshrc, after compinit
  wgpy completion fish | source           ~/.config/fish/config.fish""",
        (_Argument(("shell",), {"choices": completion.SHELLS}),),
    ),
)

_DESCRIPTION: Final = "WireGuard tunnels without the kernel module."
_LESSON: Final = """\
A tunnel in four steps, on each of two hosts:
  (umask 077; wgpy genkey > private.key)
  wgpy pubkey < private.key               tell the other side
  sudo wgpy up ./wg0.conf                 `wgpy up --help` shows what the file holds
  sudo wgpy show wg0

`wgpy COMMAND --help` says more about each."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in the one form all our errors have."""

    def error(self, message: str) -> NoReturn:
        print(f"wgpy: {message}; `{self.prog} --help` says what there is.", file=sys.stderr)
        raise SystemExit(_USAGE)


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        "wgpy", description=_DESCRIPTION, epilog=_LESSON, formatter_class=form, allow_abbrev=False
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="command", title="commands")
    for command in _COMMANDS:
        subparser = subparsers.add_parser(
            command.name,
            help=command.summary,
            description=command.summary,
            epilog=command.lesson,
            formatter_class=form,
            allow_abbrev=False,
        )
        subparser.set_defaults(run=command.run)
        for names, options in command.arguments:
            subparser.add_argument(*names, **options)
    return parser


def _options(command: _Command) -> dict[str, str]:
    """The long options of a subcommand, and what they do."""
    options = {
        name: argument.options["help"]
        for argument in command.arguments
        for name in argument.names
        if name.startswith("--")
    }
    return {"--help": "say what it does", **options}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0, 1 if it fails, 2 if it is called wrongly."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version:
        print(f"wgpy {wgpy.__version__}")
        return 0
    if options.command is None:
        parser.print_help(sys.stderr)
        return _USAGE
    try:
        options.run(options)
        sys.stdout.flush()
    except (CommandError, ConfigError, InterfaceError) as error:
        print(f"wgpy: {str(error).rstrip('.')}.", file=sys.stderr)
        return _FAILURE
    except BrokenPipeError:
        # Whoever read our output has enough; Python would complain again when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILURE
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
