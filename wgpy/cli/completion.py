"""`wgpy completion`: what a shell needs to complete the command line, made from the table of subcommands."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

SHELLS: Final = ("bash", "zsh", "fish")

# Interfaces that a daemon serves, and those that a file could bring up; in sh.
_RUNNING: Final = "for s in /var/run/wireguard/*.sock; do [ -S $s ] && basename $s .sock; done"
_CONFIGURED: Final = "for c in /etc/wireguard/*.conf; do [ -f $c ] && basename $c .conf; done"
_ARGUMENTS: Final = {"show": f"echo all; {_RUNNING}", "down": _RUNNING, "up": _CONFIGURED}


class Subcommand(NamedTuple):
    """What there is to complete. options: what each long option does."""

    name: str
    summary: str
    options: Mapping[str, str]

    def words(self) -> str:
        """All that may follow, as words and command substitutions of sh."""
        fixed = [*self.options, *(SHELLS if self.name == "completion" else ())]
        found = [f"$({_ARGUMENTS[self.name]})"] if self.name in _ARGUMENTS else []
        return " ".join([*fixed, *found])


def script(shell: str, commands: Sequence[Subcommand]) -> str:
    """The completion script. shell: one of SHELLS."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)


def _bash(commands: Sequence[Subcommand]) -> str:
    names = " ".join(command.name for command in commands)
    cases = "\n".join(f'        {command.name}) words="{command.words()}" ;;' for command in commands)
    return f"""\
# bash completion for wgpy: eval "$(wgpy completion bash)"
_wgpy() {{
    local words=""
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
    [ "$COMP_CWORD" -eq 1 ] && words="{names} --help --version"
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _wgpy wgpy
"""


def _zsh(commands: Sequence[Subcommand]) -> str:
    names = " ".join(command.name for command in commands)
    cases = "\n".join(
        f'        {command.name}) compadd -- ${{=:-"{command.words()}"}}{_zsh_files(command.name)} ;;'
        for command in commands
    )
    return f"""\
#compdef wgpy
# zsh completion for wgpy: eval "$(wgpy completion zsh)"
_wgpy() {{
    setopt localoptions nullglob
    if (( CURRENT == 2 )); then
        compadd -- {names} --help --version
        return
    fi
    case "$words[2]" in
{cases}
    esac
}}
compdef _wgpy wgpy
"""


def _zsh_files(name: str) -> str:
    return "; _files -g '*.conf'" if name in ("up", "down") else ""


def _fish(commands: Sequence[Subcommand]) -> str:
    lines = ["# fish completion for wgpy: wgpy completion fish | source"]
    for name, summary, options in commands:
        seen = f"__fish_seen_subcommand_from {name}"
        lines.append(f"complete -c wgpy -n __fish_use_subcommand -f -a {name} -d {_quoted(summary)}")
        for option, text in options.items():
            lines.append(f"complete -c wgpy -n '{seen}' -l {option.removeprefix('--')} -d {_quoted(text)}")
        if name == "completion":
            lines.append(f"complete -c wgpy -n '{seen}' -f -a '{' '.join(SHELLS)}'")
        if name in _ARGUMENTS:
            lines.append(f"complete -c wgpy -n '{seen}' -a {_quoted(f'(sh -c {_quoted(_ARGUMENTS[name])})')}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """For fish: in single quotes only the quote and the backslash are special."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
