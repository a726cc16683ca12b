"""The commands that draw a network: `wgpy mesh page` and `wgpy mesh map`."""

from typing import Final

from wgpy.cli.command import Command
from wgpy.cli.mesh import argument_types as types
from wgpy.cli.mesh.arguments import ANY, SHOWING, argument, run_by

PAGE: Final = Command(
    "page",
    run_by("command:page", "wgpy.cli.page"),
    "Show the network in a browser: a map, each node, rules, and why something is not reachable.",
    """\
Serves the page at an address of this host alone until Ctrl-C, prints a link, and opens it where there is a
desktop. Who has the link sees what this node knows, and can change nothing: the page shows the commands that
would. Nothing runs for it while the command does not.
Examples:
  sudo wgpy mesh page
  sudo wgpy mesh page --listen 100.80.3.4:8080       for other hosts, as far as rules let them
  ssh -t -L 8080:127.0.0.1:8080 root@host wgpy mesh page --listen 127.0.0.1:8080""",
    (
        argument(
            "--listen", metavar="ADDRESS[:PORT]", type=types.host_any_port,
            help="a loopback address, or one of this node in the mesh (default: 127.0.0.1, any free port)",
        ),
        argument(
            "--no-open", dest="open", action="store_false", help="open no browser; print the link alone"
        ),
        *ANY,
    ),
)  # fmt: skip

MAP: Final = Command(
    "map",
    run_by("map_command:show_map", "wgpy.cli.page"),
    "Draw the network as this node knows it: in the terminal, or as a picture.",
    """\
The nodes stand by the paths to them, what is wrong first, and behind each node its sites and clients.
Pictures are drawn by Graphviz (`apt-get install graphviz`).
Examples:
  sudo wgpy mesh map
  sudo wgpy mesh map --svg network.svg --png network.png""",
    (
        argument("--svg", metavar="FILE", help="write a picture as SVG"),
        argument("--png", metavar="FILE", help="write a picture as PNG"),
        argument("--dot", metavar="FILE", help="write the graph in the language of Graphviz"),
        *SHOWING,
    ),
)  # fmt: skip
