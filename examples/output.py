"""What a demo prints: sentences, and commands of operators with their output."""

import re
import shlex

from examples.world import DemoError


def announce(sentence: str) -> None:
    print(f"\n* {sentence}", flush=True)


def show_command(host: str, *command: str) -> None:
    print(f"\n  {host}# {short(shlex.join(command))}", flush=True)


def show_output(output: str) -> None:
    print("".join(f"    {short(line)}".rstrip() + "\n" for line in output.splitlines()), end="", flush=True)


def find_token(text: str) -> str:
    """Return the token in a command's output. Raises DemoError."""
    found = re.search(r"wgpy1_[\w-]+", text)
    if found is None:
        raise DemoError(f"there is no token in: {text}")
    return found[0]


def short(text: str) -> str:
    """A token is long, and here nobody copies it."""
    return re.sub(r"(wgpy1_[\w-]{8})[\w-]+", r"\1…", text)
