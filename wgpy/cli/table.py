"""What a subcommand is, and how a table of them becomes a parser."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, NoReturn

USAGE: Final = 2
_FORM: Final = argparse.RawDescriptionHelpFormatter


class Argument(NamedTuple):
    """What `argparse` is told of it."""

    names: tuple[str, ...]
    options: dict[str, Any]


class Command(NamedTuple):
    """A subcommand: what it does in a line, what to know and do next, its arguments.

    run: None for one that has subcommands of its own.
    """

    name: str
    run: Callable[[argparse.Namespace], None] | None
    summary: str
    lesson: str
    arguments: tuple[Argument, ...] = ()
    commands: tuple["Command", ...] = ()

    def options(self) -> dict[str, str]:
        """Return the long options, and what they do."""
        options = {
            name: argument.options["help"]
            for argument in self.arguments
            for name in argument.names
            if name.startswith("--")
        }
        return {"--help": "show what it does", **options}


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in the one form all our errors have."""

    def error(self, message: str) -> NoReturn:
        print(f"wgpy: {message}; `{self.prog} --help` says what there is.", file=sys.stderr)
        raise SystemExit(USAGE)


def parser(program: str, description: str, lesson: str, commands: Sequence[Command]) -> Parser:
    """Return a parser whose namespaces have `run`, or None and the `parser` that knows more."""
    made = Parser(program, description=description, epilog=lesson, formatter_class=_FORM, allow_abbrev=False)
    _add(made, commands)
    return made


def _add(parent: argparse.ArgumentParser, commands: Sequence[Command]) -> None:
    parent.set_defaults(run=None, parser=parent)
    subparsers = parent.add_subparsers(metavar="COMMAND", title="commands")
    for command in commands:
        made = subparsers.add_parser(
            command.name,
            help=command.summary,
            description=command.summary,
            epilog=command.lesson,
            formatter_class=_FORM,
            allow_abbrev=False,
        )
        made.set_defaults(run=command.run)
        for names, options in command.arguments:
            made.add_argument(*names, **options)
        if command.commands:
            _add(made, command.commands)
