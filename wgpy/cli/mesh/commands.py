"""The subcommands of `wgpy mesh`. The module of each is imported when it runs."""

from typing import Final

from wgpy.cli.command import Command
from wgpy.cli.mesh import argument_types as types
from wgpy.cli.mesh.arguments import ADMINISTRATOR as _ADMINISTRATOR
from wgpy.cli.mesh.arguments import ALL as _ALL
from wgpy.cli.mesh.arguments import ANY as _ANY
from wgpy.cli.mesh.arguments import JSON as _JSON
from wgpy.cli.mesh.arguments import NETWORK as _NETWORK
from wgpy.cli.mesh.arguments import SHOWING as _SHOWING
from wgpy.cli.mesh.arguments import SIGNING as _SIGNING
from wgpy.cli.mesh.arguments import VERBOSE as _VERBOSE
from wgpy.cli.mesh.arguments import WATCH as _WATCH
from wgpy.cli.mesh.arguments import argument as _argument
from wgpy.cli.mesh.arguments import run_by as _run
from wgpy.cli.mesh.client_commands import CLIENT
from wgpy.cli.mesh.page_commands import MAP, PAGE
from wgpy.cli.mesh.relay_commands import RELAY
from wgpy.cli.mesh.site_commands import SITE
from wgpy.cli.mesh.token_commands import REVOKE, TOKEN

_SELECTORS: Final = (
    _argument(
        "source", metavar="SOURCE", type=types.source, help="name or identity of a node, tag:NAME, or any"
    ),
    _argument(
        "destination",
        metavar="DESTINATION[:PORTS]",
        type=types.selector,
        help="as SOURCE; ports such as 5432/tcp, 80,443/tcp, 1000-2000/udp, 53 (TCP and UDP), icmp or udp",
    ),
)
_DRY_RUN: Final = _argument(
    "--dry-run", action="store_true", help="change nothing; show which nodes would lose which others"
)
_HOST: Final = (
    _argument("--name", metavar="NAME", type=types.name, help="name of this node (default: the host's)"),
    _argument(
        "--endpoint", metavar="HOST[:PORT]", type=types.host_port, action="append", default=[],
        help="address at which other nodes reach this one, if a NAT maps a port to it; may be repeated",
    ),
    _argument(
        "--routes", metavar="PREFIX", type=types.route, action="extend", nargs="+", default=[],
        help="prefixes that this node announces to the other nodes, such as its pods'",
    ),
    _argument(
        "--interface", metavar="NAME", type=types.interface,
        help="name of the interface (default: mesh0, or the first free one after it)",
    ),
    _argument(
        "--listen-port", metavar="PORT", type=types.port,
        help="UDP port (default: 51820, or the first free one after it)",
    ),
    _argument(
        "--keepalive", metavar="SECONDS|off|auto", type=types.keepalive, default="auto",
        help="interval of keepalives to the nodes that answer (default: auto, as a NAT allows, else off)",
    ),
    _argument(
        "--table", metavar="NUMBER", type=types.table, default=0,
        help="routing table for the network's routes (default: one of the network's own)",
    ),
    _argument(
        "--no-dns", dest="dns", action="store_false", default=True,
        help="leave this host's resolver alone; the node serves the network's names all the same",
    ),
    _argument(
        "--no-port-mapping", dest="port_mapping", action="store_false", default=True,
        help="do not ask the router before this host to map the UDP port, by PCP, NAT-PMP or UPnP",
    ),
    _argument(
        "--fwmark", metavar="MARK", type=types.mark, default=0,
        help="mark of what the node itself sends, which that table does not route (default: 0x1097)",
    ),
)  # fmt: skip

MESH: Final = Command(
    "mesh",
    None,
    "Connect many hosts as one network.",
    """\
On a host that the other hosts can reach:
  sudo wgpy mesh init prod --public vpn.example.com
On each other host; the command asks for the token that `init` printed:
  sudo wgpy mesh join
Next: `sudo wgpy mesh status`, and `sudo wgpy mesh why NAME` if a node is not reachable.""",
    commands=(
        Command(
            "init",
            _run("init:init"),
            "Make a network: coordinator and first node on this host.",
            """\
Example:
  sudo wgpy mesh init prod --public vpn.example.com
The other hosts must reach PORT by TCP (default: 51820, or the next that is free), and should reach
this node's UDP port.
If a step fails, the steps before it are undone.
Next: run the command that `init` prints on another host; `wgpy mesh token` makes more tokens.""",
            (
                _argument("network", metavar="NAME", type=types.name, help="name of the network"),
                _argument(
                    "--public", metavar="HOST[:PORT]", type=types.host_any_port, required=True,
                    help="address at which nodes connect to the coordinator",
                ),
                _argument(
                    "--listen", metavar="ADDRESS[:PORT]", type=types.host_port,
                    help="address at which the coordinator listens (default: all, and the port of --public)",
                ),
                _argument(
                    "--addresses", metavar="RANGE", type=types.prefix4,
                    help="IPv4 addresses of the nodes (default: a /16 that overlaps no network of this host)",
                ),
                _argument(
                    "--mtu", metavar="BYTES", type=types.mtu, default=1380,
                    help="MTU of the interfaces (default: 1380); the underlying network must carry 80 more",
                ),
                _argument(
                    "--tag", metavar="NAME", type=types.name, action="append", default=[],
                    help="tag of the first node, for rules; may be repeated",
                ),
                _argument(
                    "--certificate", metavar="FILE",
                    help="certificate of the coordinator by an authority (default: a self-signed one)",
                ),
                _argument("--certificate-key", metavar="FILE", help="the private key of --certificate"),
                _argument(
                    "--no-relay", dest="relay", action="store_false",
                    help="have the first node pass on nothing between others that cannot reach each other",
                ),
                *_HOST,
                _JSON,
                _VERBOSE,
            ),
        ),
        Command(
            "join",
            _run("join:join"),
            "Make this host a node of a network.",
            """\
Examples:
  sudo wgpy mesh join                             asks for the token
  sudo wgpy mesh join --routes 10.42.3.0/24
  sudo wgpy mesh join --token-file ./token        - for standard input
  sudo --preserve-env=WGPY_TOKEN wgpy mesh join
A token among the arguments (`sudo wgpy mesh join wgpy1_…`) stays in sudo's log.
The same command resumes a join that was interrupted.
Next: `sudo wgpy mesh status`.""",
            (
                _argument(
                    "token", metavar="TOKEN", nargs="?",
                    help="token of `wgpy mesh init` or `wgpy mesh token` (default: the terminal is asked)",
                ),
                _argument(
                    "--token-file", metavar="FILE", help="file that holds the token; - for standard input"
                ),
                _argument(
                    "--no-start", dest="start", action="store_false",
                    help="start no daemon, as where another program starts `wgpyd --mesh=NETWORK`",
                ),
                *_HOST,
                _JSON,
                _VERBOSE,
            ),
        ),
        Command(
            "leave",
            _run("leave:leave"),
            "Remove this host from its network and delete its node.",
            """\
With --force also while the coordinator does not answer; then the other nodes treat this one as a member until
`wgpy mesh remove NAME`.
Next: the host can join again with a new token.""",
            (
                _NETWORK,
                _argument("--force", action="store_true", help="leave also without the coordinator"),
                _JSON,
                _VERBOSE,
            ),
        ),
        Command(
            "down",
            _run("pause:down"),
            "Pause this host in its network.",
            """\
The node's daemon and interface end, and no boot starts them. The host stays a member of the network, other
than by `wgpy mesh leave`. A coordinator on this host goes on.
Next: `wgpy mesh up`.""",
            (*_ANY, _VERBOSE),
        ),
        Command(
            "up",
            _run("pause:up"),
            "Resume what `wgpy mesh down` paused.",
            "Next: `wgpy mesh status`.",
            (
                _argument(
                    "--dns", action="store_true", default=None,
                    help="have this host resolve the network's names (default: as before)",
                ),
                _argument(
                    "--no-dns", dest="dns", action="store_false", default=None,
                    help="leave this host's resolver alone",
                ),
                _argument(
                    "--port-mapping", action="store_true", default=None,
                    help="ask the router before this host to map the UDP port (default: as before)",
                ),
                _argument(
                    "--no-port-mapping", dest="port_mapping", action="store_false", default=None,
                    help="do not ask it",
                ),
                *_ANY,
                _VERBOSE,
            ),
        ),
        Command(
            "status",
            _run("status:show_status"),
            "Show the network as this node knows it.",
            """\
Nodes that left, were removed or expired more than a day ago are shown with --all.
With --watch it stays on the terminal, what is wrong first, until Ctrl-C.
Next: `wgpy mesh why NAME` if a node is not reachable.""",
            (_WATCH, *_SHOWING, _ALL),
        ),
        PAGE,
        MAP,
        Command(
            "why",
            _run("why:why"),
            "Explain why a node or an address is reachable, or is not.",
            """\
Examples:
  sudo wgpy mesh why web1
  sudo wgpy mesh why 10.42.3.7            an address of a node, or of a prefix that a node announces
  sudo wgpy mesh why office/192.168.1.20  a host of a site; also 192-168-1-20.office.prod.mesh
  sudo wgpy mesh why db1:5432/tcp         a port, which rule is for it, and whether it takes a connection
It sends pings for at most 6 s; without an answer the exit status is 1.""",
            (_argument("name", metavar="NAME|ADDRESS[:PORTS]", help="what is to be reached"), *_SHOWING),
        ),
        Command(
            "ping",
            _run("ping:ping"),
            "Measure how fast a node answers, and by which path.",
            """\
Examples:
  sudo wgpy mesh ping web1                 once a second, until Ctrl-C
  sudo wgpy mesh ping web1 -c 3 --json
  sudo wgpy mesh ping web1 --all-paths     each address and each relay by itself, outside of the tunnel
A node answers inside of the tunnel, whatever the rules are; a client, and what is behind a node, are sent
pings. A line says so when the path changes, such as from a relay to a direct one. If nothing answers the exit
status is 1, and a sentence says why.""",
            (
                _argument("name", metavar="NAME|ADDRESS", help="what is to answer, as for `wgpy mesh why`"),
                _argument("-c", "--count", metavar="N", type=types.count, help="end after so many"),
                _argument("--all-paths", action="store_true", help="measure each path to the node once"),
                *_SHOWING,
            ),
        ),
        Command(
            "netcheck",
            _run("netcheck:netcheck"),
            "Say what the network of this host allows.",
            """\
Asks all relays at each of their endpoints, for at most 2 s: whether UDP passes, and what a NAT does.
If none answers by UDP the exit status is 1.""",
            _SHOWING,
        ),
        Command(
            "node-ip",
            _run("node_ip:node_ip"),
            "Print this node's addresses as kubelet and k3s take them (--node-ip).",
            """\
Fails while one is not on the interface, as kubelet would not find it there either.
Examples:
  sudo wgpy mesh node-ip                  100.80.3.4,fd12:3456:789a:1::1
  sudo wgpy mesh node-ip -4               for a cluster with IPv4 alone
  sudo wgpy mesh node-ip --wait 90        once they are there
With systemd nothing has to wait: the node's unit is ready before kubelet's, k3s's and rke2's start.""",
            (
                _argument("-4", dest="family", action="store_const", const=4, help="only the IPv4 address"),
                _argument("-6", dest="family", action="store_const", const=6, help="only the IPv6 address"),
                _argument(
                    "--wait", metavar="SECONDS", type=types.seconds, help="wait so long for them"
                ),
                *_ANY,
            ),
        ),
        Command(
            "rename",
            _run("nodes:rename"),
            "Rename this node.",
            "Rules for this node stay; a rule is for a node and not for its name.",
            (_argument("name", metavar="NAME", type=types.name, help="new name"), *_ANY),
        ),
        Command(
            "endpoint",
            _run("settings:change_endpoints"),
            "Say where other nodes reach this one.",
            """\
Examples:
  sudo wgpy mesh endpoint home.example.net      a name: this node resolves it again when it may have changed
  sudo wgpy mesh endpoint 203.0.113.5:4000 home.example.net
  sudo wgpy mesh endpoint auto                  only what this node finds by itself
Next: `wgpy mesh status` shows what is published.""",
            (
                _argument(
                    "endpoints", metavar="HOST[:PORT]|auto", type=types.endpoint, nargs="+",
                    help="endpoints, the best first (default of PORT: 51820); or auto",
                ),
                *_ANY,
            ),
        ),
        Command(
            "keepalive",
            _run("settings:set_keepalive"),
            "Say how often this node sends keepalives, so that others reach it.",
            """\
A NAT forgets a node that sends nothing, and then the others do not reach it. So a node behind a NAT, or
behind a firewall that lets nothing in unasked, sends keepalives by itself.
Examples:
  sudo wgpy mesh keepalive 20        so often, whatever is found
  sudo wgpy mesh keepalive off
  sudo wgpy mesh keepalive auto      as seldom as a NAT or a firewall allows, else off""",
            (
                _argument(
                    "keepalive", metavar="SECONDS|off|auto", type=types.keepalive, help="interval"
                ),
                *_ANY,
            ),
        ),
        Command(
            "use",
            _run("exit:use"),
            "Have this node send by a gateway what no other route has, or by its own default route again.",
            """\
Local networks and the mesh are reached as before; the node's own datagrams keep to its own way. Where the
gateway is away, or has no way for a version of IP, nothing leaves: `wgpy mesh use --none` is the way out.
Examples:
  sudo wgpy mesh use internet        after `wgpy mesh site add internet 0.0.0.0/0 ::/0` on the gateway
  sudo wgpy mesh use --none
Next: `wgpy mesh status` shows the exit of this node.""",
            (
                _argument(
                    "name", metavar="SITE", type=types.name, nargs="?", help="a site of default routes"
                ),
                _argument("--none", action="store_true", help="use the host's own default route"),
                _VERBOSE,
                *_ANY,
            ),
        ),
        Command(
            "route",
            _run("routes:change_routes"),
            "Announce prefixes behind this node, or withdraw them.",
            """\
Examples:
  sudo wgpy mesh route add 10.42.3.0/24 fd00:42:3::/64
  sudo wgpy mesh route remove 10.42.3.0/24
The other nodes reach them through this node if its token or `wgpy mesh approve` allows it.
Next: `wgpy mesh status` shows what this node announces.""",
            (
                _argument("change", choices=("add", "remove"), help="add or remove"),
                _argument(
                    "prefixes", metavar="PREFIX", type=types.prefix, nargs="+", help="behind this node"
                ),
                *_ANY,
            ),
        ),
        SITE,
        Command(
            "node-list",
            _run("nodes:node_list"),
            "List the nodes and their health, as the coordinator knows them.",
            """\
With the network's key on this host: all nodes; or else this node and its peers. Nodes that left,
and nodes that were removed or expired more than a day ago, are shown with --all.""",
            (*_ADMINISTRATOR, _ALL),
        ),
        TOKEN,
        REVOKE,
        Command(
            "remove",
            _run("nodes:remove"),
            "Remove a node; no node accepts its packets any more.",
            "The host can join again with a new token. To remove this host itself, use `wgpy mesh leave`.",
            (_argument("name", metavar="NAME", help="name or identity of the node"), *_SIGNING),
        ),
        Command(
            "approve",
            _run("approve:approve"),
            "Approve routes and sites of a node that its token does not allow, and zones of its sites.",
            """\
Examples:
  sudo wgpy mesh approve office                 the site office and its zones, by the nodes that announce it
  sudo wgpy mesh approve web1                   what the node announces, beside what was approved before
  sudo wgpy mesh approve web1 10.42.3.0/24      this route, and no other; zones stay
  sudo wgpy mesh approve web1 --none            no route and no zone""",
            (
                _argument("name", metavar="NAME", help="name of the node, or of a site that waits"),
                _argument(
                    "routes", metavar="PREFIX", nargs="*", type=types.grant,
                    help="approved prefixes (default: all that the node announces)",
                ),
                _argument(
                    "--none", action="store_true", help="approve no zone, and no route but those of the token"
                ),
                *_SIGNING,
            ),
        ),
        Command(
            "tag",
            _run("tags:tag"),
            "Set the tags of a node, for rules.",
            """\
Examples:
  sudo wgpy mesh tag web1 servers k8s           these tags, and no other
  sudo wgpy mesh tag web1 --remove              no tag
The tags of its token no longer count for the node. A node that joins anew has the tags of its new token.""",
            (
                _argument("name", metavar="NODE", help="name or identity of the node"),
                _argument("tags", metavar="TAG", nargs="*", type=types.name, help="all tags of the node"),
                _argument("--remove", action="store_true", help="remove all tags of the node"),
                *_SIGNING,
            ),
        ),
        Command(
            "allow",
            _run("rules:allow"),
            "Let some nodes begin to others.",
            """\
SOURCE may begin to DESTINATION, and replies pass; DESTINATION begins nothing to SOURCE.
Without any rule every node may begin to every other one; from the first rule on, nodes begin only what a
rule allows. So the first one asks, and says whom it cuts off.
A rule with a node's name is for the node that has the name now, whatever its name is later.
With PORTS, SOURCE may begin only to these; replies pass, and so do ICMP errors about them.
Examples:
  sudo wgpy mesh allow tag:office tag:servers
  sudo wgpy mesh allow tag:dev db1:5432/tcp
  sudo wgpy mesh allow laptop any               opens the laptop to no node""",
            (
                *_SELECTORS,
                _DRY_RUN,
                _argument("--yes", "-y", action="store_true", help="do not ask before the first rule"),
                _argument("--anyway", action="store_true", help="also if nobody has the tag, or so, yet"),
                *_SIGNING,
            ),
        ),
        Command(
            "disallow",
            _run("rules:disallow"),
            "Remove a rule.",
            "`wgpy mesh status` shows the rules. To remove the last one opens the network, so that asks.",
            (
                *_SELECTORS,
                _DRY_RUN,
                _argument("--yes", "-y", action="store_true", help="do not ask before the last rule goes"),
                *_SIGNING,
            ),
        ),
        CLIENT,
        RELAY,
        Command(
            "audit",
            _run("audit:audit"),
            "Show the coordinator's audit log: time, author, change and source address.",
            "The newest entry is the last.",
            _ADMINISTRATOR,
        ),
    ),
)  # fmt: skip
