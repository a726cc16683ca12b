"""Subcommands as values, and the parser that is made of them."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, NoReturn

USAGE: Final = 2
_FORM: Final = argparse.RawDescriptionHelpFormatter


class Argument(NamedTuple):
    """The parameters of `add_argument`."""

    names: tuple[str, ...]
    options: dict[str, Any]


class Command(NamedTuple):
    """A subcommand.

    run: None for one that has subcommands; summary: one line; lesson: the text below the options in `--help`;
    usage: what is written behind the name, where argparse cannot tell.
    """

    name: str
    run: Callable[[argparse.Namespace], None] | None
    summary: str
    lesson: str
    arguments: tuple[Argument, ...] = ()
    commands: tuple["Command", ...] = ()
    usage: str = ""

    def options(self) -> dict[str, str]:
        """Return the long options with their help, but for those that it does not show."""
        options = {
            name: argument.options["help"]
            for argument in self.arguments
            for name in argument.names
            if name.startswith("--") and argument.options["help"] != argparse.SUPPRESS
        }
        return {"--help": "show this command's help", **options}

    def choices(self) -> list[str]:
        """Return the words of which an argument is one; those of an option stand after it."""
        arguments = (one for one in self.arguments if not one.names[0].startswith("-"))
        return [word for argument in arguments for word in argument.options.get("choices", ())]


class Parser(argparse.ArgumentParser):
    """Reports errors of the command line in the form of all errors of `wgpy`."""

    def error(self, message: str) -> NoReturn:
        print(f"wgpy: {message}; see `{self.prog} --help`.", file=sys.stderr)
        raise SystemExit(USAGE)


def parser(program: str, description: str, lesson: str, commands: Sequence[Command]) -> Parser:
    """Return a parser whose namespaces have `run`, which may be None, and the `parser` of the subcommand."""
    made = Parser(program, description=description, epilog=lesson, formatter_class=_FORM, allow_abbrev=False)
    _add(made, commands)
    return made


def _add(parent: argparse.ArgumentParser, commands: Sequence[Command]) -> None:
    parent.set_defaults(run=None, parser=parent)
    subparsers = parent.add_subparsers(metavar="COMMAND", title="commands")
    for command in commands:
        made = subparsers.add_parser(
            command.name,
            usage=f"%(prog)s {command.usage}" if command.usage else None,
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
