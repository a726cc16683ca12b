"""`wgpy mesh site`. Its module is imported when it runs."""

from typing import Final

from wgpy.cli.command import Command
from wgpy.cli.mesh import argument_types as types
from wgpy.cli.mesh.arguments import ADMINISTRATOR, argument, run_by

SITE: Final = Command(
    "site",
    run_by("sites:site"),
    "Make this node a gateway of an office, a cloud's network or a cluster; or list all sites.",
    """\
Examples:
  sudo wgpy mesh site add office 192.168.1.0/24
  sudo wgpy mesh site add blue 10.42.0.0/16 10.43.0.0/16 --routed
  sudo wgpy mesh site add office 192.168.1.0/24     on another host beside it: a second gateway
  sudo wgpy mesh site add office 192.168.1.0/24 --dns 192.168.1.53 --zone office.example
  sudo wgpy mesh site add blue --kubernetes         of a cluster, whose ranges it follows
  sudo wgpy mesh site list
  sudo wgpy mesh site show office
  sudo wgpy mesh site remove office
  sudo wgpy mesh site coredns blue                  on a gateway: its cluster's pods know the mesh's names
  sudo wgpy mesh site return blue --via 192.168.7.1    on another host of the site that is a node, too
  sudo wgpy mesh site add internet 0.0.0.0/0 ::/0      an exit, for nodes that `wgpy mesh use internet`
A site (elsewhere: the network of an egress gateway, or of a subnet router) has its real face, its own
prefixes, where they overlap nothing that the network knows; otherwise it is mapped, one to one, to prefixes
of the network's pool. The answer says which, and why. `--real` and `--mapped` choose.
Of a site that this node already is a gateway of, `add` changes the options that are given, and no other.
A site that the token of this node does not allow waits for `wgpy mesh approve NAME`, as each zone does.
A host of a site, such as a cluster's, that is a node, too, has the others know the addresses of the site by
the site's gateway: `return` has it send by that what bears one of them. `--via` is the gateway's address in a
network that both are in.
`coredns`, on a gateway that follows its cluster, has the cluster's CoreDNS ask the site's gateways for the
mesh's names, by a ConfigMap in kube-system; daemon/deploy/kubernetes/coredns.yaml gives the right to change
that. Run it again when the site has other gateways; `--none` takes it back.""",
    (
        argument("change", choices=("add", "remove", "return", "coredns", "list", "show"), help="what to do"),
        argument("name", metavar="NAME", type=types.name, nargs="?", help="name of the site"),
        argument(
            "prefixes", metavar="PREFIX", type=types.prefix, nargs="*",
            help="with add: the prefixes of the site",
        ),
        argument(
            "--kubernetes", action="store_true",
            help="with add: the prefixes are the pod and service ranges of the cluster that wgpyd follows",
        ),
        argument("--real", action="store_true", help="with add: do not map the site"),
        argument("--mapped", action="store_true", help="with add: map the site in any case"),
        argument(
            "--routed", action="store_true", default=None,
            help="with add: the site has a route back to the mesh, so do not masquerade",
        ),
        argument(
            "--no-routed", dest="routed", action="store_false", default=None,
            help="with add: the site has no route back any more",
        ),
        argument(
            "--priority", metavar="N", type=types.priority,
            help="with add: of several gateways the one with the lowest is used (default: 100)",
        ),
        argument(
            "--firewall", action="store_true", default=None,
            help="with add: forward by the site's interface, and open this host's firewall for it",
        ),
        argument(
            "--no-firewall", dest="firewall", action="store_false", default=None,
            help="with add: take back what --firewall changed",
        ),
        argument(
            "--dns", metavar="ADDRESS", type=types.address, action="append",
            help="with add: a name server of the site, for its own zones; may be given again",
        ),
        argument(
            "--zone", metavar="ZONE", type=types.zone, action="append",
            help="with add: a DNS zone of the site, about which --dns is asked; may be given again",
        ),
        argument(
            "--via", metavar="ADDRESS", type=types.address, action="append",
            help="with return: the gateway's address; once for each version of IP",
        ),
        argument(
            "--none", action="store_true",
            help="with return: no return route any more; with coredns: ask the mesh nothing any more",
        ),
        *ADMINISTRATOR,
    ),
)  # fmt: skip
