"""The settings of CoreDNS, and the block in them that has it ask the mesh for the mesh's names. Pure.

Invariant: what is not between the marks of a domain stays as it is, byte for byte. Sources: corefile(5) of
CoreDNS; "Customizing DNS Service" of Kubernetes, stub domains.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from wgpy.address import Address

_ZONE: Final = re.compile(r"(?:dns://)?(.+?)\.?(?::53)?")
# k3s and AKS have a ConfigMap beside that of CoreDNS, as they write the latter anew.
_IMPORT: Final = re.compile(r"^\s*import\s+\S*custom/\*\.server\s*$", re.MULTILINE)


def stub(domain: str, servers: Iterable[Address]) -> str:
    """Return the block that has CoreDNS ask servers about a domain, the first that answers.

    What fails while a gateway is left for another one is asked anew: by default that is kept for 5 s.
    """
    addresses = " ".join(map(str, servers))
    return f"""\
{domain}:53 {{
    errors
    cache 30 {{
        servfail 0
    }}
    forward . {addresses} {{
        policy sequential
    }}
}}
"""


def changed(text: str, domain: str, block: str) -> str:
    """Return settings with a block of ours for a domain, or with none for "".

    Raises ValueError if they have another block for it: CoreDNS does not start with two.
    """
    rest = _marked(domain).sub("", text)
    if not block:
        return rest
    if domain in _zones(rest):
        raise ValueError(f"a server block for {domain}")
    marked = f"{_begin(domain)}\n{block}{_end(domain)}"
    return f"{rest}\n{marked}" if rest and not rest.endswith("\n") else f"{rest}{marked}\n"


def imports_servers(text: str) -> bool:
    """Return whether settings import server blocks of a ConfigMap that is meant for an operator's."""
    return _IMPORT.search(text) is not None


def _begin(domain: str) -> str:
    return f"# wgpy, {domain}: begin"


def _end(domain: str) -> str:
    return f"# wgpy, {domain}: end"


def _marked(domain: str) -> re.Pattern[str]:
    begin, end = re.escape(_begin(domain)), re.escape(_end(domain))
    return re.compile(rf"^{begin}\n.*?^{end}\n|\n{begin}\n.*?^{end}\Z", re.MULTILINE | re.DOTALL)


def _zones(text: str) -> Iterator[str]:
    """Give the zones of the server blocks."""
    depth = 0
    for line in text.splitlines():
        words = re.sub(r"(^|\s)#.*", "", line).replace(",", " ").split()
        found = map(_ZONE.fullmatch, map(str.lower, words if depth == 0 else ()))
        yield from (zone[1] for zone in found if zone)
        depth += words.count("{") - words.count("}")
