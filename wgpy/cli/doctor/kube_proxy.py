"""What kube-proxy does on a host, read from its rules: so it counts however it was started. Pure.

Of iptables (also where it uses IPVS) and of nftables, as `iptables-save` and `nft list ruleset` show them.
"""

import re
from dataclasses import dataclass
from typing import Final

_TABLE: Final = re.compile(r"^table ip6? kube-proxy \{$.*?^\}$", re.MULTILINE | re.DOTALL)
_MARKS: Final = (
    re.compile(r"-A KUBE-MARK-MASQ .*--(?:or-mark|set-x?mark) (0x[0-9a-f]+)"),
    re.compile(r"chain masquerading \{[^}]*?mark (?:and|&) (0x[0-9a-f]+)"),
)
_SERVICES: Final = (
    re.compile(r"^-A KUBE-(?:SVC-\S+|SERVICES) ", re.MULTILINE),
    re.compile(r"map service-ips \{[^}]*elements"),
)
# Rules for what is sent to the address of a service, by others than pods or by all.
_OF_HOSTS: Final = (
    re.compile(r"^-A KUBE-(?:SVC-\S+|SERVICES) (?=.*(?:! -[si]|-d) ).*-j KUBE-MARK-MASQ$", re.MULTILINE),
    re.compile(r"^\s*ip6? daddr .*(?:mark-for-masquerade|mark set )", re.MULTILINE),
)


@dataclass(frozen=True, slots=True)
class KubeProxy:
    """mark: of what it masquerades, 0 if it has no rules; masquerades_hosts: whether that is also what hosts
    send to services.
    """

    mark: int
    has_services: bool
    masquerades_hosts: bool


def read_kube_proxy(firewall: str) -> KubeProxy:
    """Read the rules of a host."""
    tables = "\n".join(_TABLE.findall(firewall))
    texts = (firewall, tables)
    marks = [found[1] for pattern, text in zip(_MARKS, texts, strict=True) if (found := pattern.search(text))]
    return KubeProxy(
        mark=int(marks[0], 16) if marks else 0,
        has_services=any(pattern.search(text) for pattern, text in zip(_SERVICES, texts, strict=True)),
        masquerades_hosts=any(pattern.search(text) for pattern, text in zip(_OF_HOSTS, texts, strict=True)),
    )
