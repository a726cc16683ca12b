"""`wgpy completion`: completion scripts for shells, made from the subcommands."""

from collections.abc import Iterator, Sequence
from typing import Final

from wgpy.cli.command import Command

SHELLS: Final = ("bash", "zsh", "fish")

# sh: the interfaces that a daemon serves, and those that have a configuration file.
_RUNNING: Final = "for s in /var/run/wireguard/*.sock; do [ -S $s ] && basename $s .sock; done"
_CONFIGURED: Final = "for c in /etc/wireguard/*.conf; do [ -f $c ] && basename $c .conf; done"
_ARGUMENTS: Final = {
    "show": f"echo all; {_RUNNING}",
    **dict.fromkeys(("down", "reload", "save"), _RUNNING),
    **dict.fromkeys(("exec", "proxy", "strip", "up"), _CONFIGURED),
}


def script(shell: str, commands: Sequence[Command]) -> str:
    """Return the completion script. shell: one of SHELLS."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)


def _words(command: Command, substitution: str = "$({})") -> str:
    """Return a command's completions, in the shell's syntax. substitution: the shell's for a command."""
    fixed = [*command.options(), *command.choices()]
    found = [substitution.format(_ARGUMENTS[command.name])] if command.name in _ARGUMENTS else []
    return " ".join([*fixed, *found])


def _names(commands: Sequence[Command]) -> str:
    return " ".join(command.name for command in commands)


def _groups(commands: Sequence[Command]) -> Iterator[Command]:
    return (command for command in commands if command.commands)


def _bash(commands: Sequence[Command]) -> str:
    cases = [f'        {command.name}) words="{_words(command)}" ;;' for command in commands]
    for group in _groups(commands):
        inner = "".join(
            f'                {command.name}) words="{_words(command)}" ;;\n' for command in group.commands
        )
        cases[commands.index(group)] = f"""\
        {group.name})
            case "${{COMP_WORDS[2]}}" in
{inner}            esac
            [ "$COMP_CWORD" -eq 2 ] && words="{_names(group.commands)} --help"
            ;;"""
    lines = "\n".join(cases)
    return f"""\
# bash completion for wgpy: eval "$(wgpy completion bash)"
_wgpy() {{
    local words=""
    case "${{COMP_WORDS[1]}}" in
{lines}
    esac
    [ "$COMP_CWORD" -eq 1 ] && words="{_names(commands)} --help --version"
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _wgpy wgpy
"""


def _zsh(commands: Sequence[Command]) -> str:
    cases = [_zsh_case(command.name, command) for command in commands if not command.commands]
    for group in _groups(commands):
        cases += [_zsh_case(f"'{group.name} '{command.name}", command) for command in group.commands]
        cases.append(f"        {group.name}*) compadd -- {_names(group.commands)} --help ;;")
    lines = "\n".join(cases)
    groups = "|".join(group.name for group in _groups(commands))
    return f"""\
#compdef wgpy
# zsh completion for wgpy: eval "$(wgpy completion zsh)"
_wgpy() {{
    setopt localoptions nullglob
    if (( CURRENT == 2 )); then
        compadd -- {_names(commands)} --help --version
        return
    fi
    local command="$words[2]"
    case "$command" in
        {groups}) (( CURRENT > 3 )) && command="$command $words[3]" ;;
    esac
    case "$command" in
{lines}
    esac
}}
compdef _wgpy wgpy
"""


def _zsh_case(pattern: str, command: Command) -> str:
    words = _words(command, '${{(f)"$({})"}}')  # a word a line
    return f"        {pattern}) compadd -- {words}{_zsh_files(command.name)} ;;"


def _zsh_files(name: str) -> str:
    return "; _files -g '*.conf'" if name in _ARGUMENTS and name != "show" else ""


def _fish(commands: Sequence[Command]) -> str:
    lines = ["# fish completion for wgpy: wgpy completion fish | source"]
    for command in commands:
        seen = f"__fish_seen_subcommand_from {command.name}"
        lines += _fish_command(command, "__fish_use_subcommand", seen)
        if command.commands:
            unseen = f"{seen}; and not __fish_seen_subcommand_from {_names(command.commands)}"
            for inner in command.commands:
                both = f"{seen}; and __fish_seen_subcommand_from {inner.name}"
                lines += _fish_command(inner, f"'{unseen}'", both)
    return "\n".join(lines) + "\n"


def _fish_command(command: Command, before: str, seen: str) -> Iterator[str]:
    yield f"complete -c wgpy -n {before} -f -a {command.name} -d {_quoted(command.summary)}"
    for option, text in command.options().items():
        yield f"complete -c wgpy -n '{seen}' -l {option.removeprefix('--')} -d {_quoted(text)}"
    if choices := command.choices():
        yield f"complete -c wgpy -n '{seen}' -f -a '{' '.join(choices)}'"
    if command.name in _ARGUMENTS:
        yield f"complete -c wgpy -n '{seen}' -a {_quoted(f'(sh -c {_quoted(_ARGUMENTS[command.name])})')}"


def _quoted(text: str) -> str:
    """Quote for fish: in single quotes only the quote and the backslash are special."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
