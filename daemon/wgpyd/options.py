"""The options of the command line and the environment: those of wireguard-go, and ours."""

import os
from collections.abc import Mapping, Sequence
from typing import Final

from wgpy.contract.lazy_dataclass import dataclass
from wgpy.driver.settings import Settings, read_settings
from wgpy.host.tun import check_name

from .errors import StartError

LOG_LEVELS: Final = ("silent", "error", "verbose", "debug")
_OF_SETTINGS: Final = {
    "--datapath": "WGPY_DATAPATH",
    "--offload": "WGPY_OFFLOAD",
    "--memory": "WGPY_MEMORY",
    "--workers": "WGPY_WORKERS",
    "--nice": "WGPY_NICE",
}
_WITH_VALUE: Final = ("--mesh", "--metrics", "--log")
TOLD: Final = "-"  # as the name of a network: standard input tells it
_GATEWAY: Final = "--kubernetes=gateway"
_OF_KUBERNETES: Final = {
    "--kube-api": "server",
    "--kube-token": "token_file",
    "--kube-ca": "ca_file",
    "--kubeconfig": "kubeconfig",
    "--node-name": "node",
    "--cni": "cni",
}
_FILES: Final = ("token_file", "ca_file", "kubeconfig", "cni")

HELP: Final = """\
usage: wgpyd [OPTION]... INTERFACE
       wgpyd [OPTION]... --mesh=NETWORK [--metrics=ADDRESS:PORT|unix:PATH] [--kubernetes]
       wgpyd --help | --version

Makes the WireGuard interface INTERFACE, a TUN device, and serves it until the interface is deleted. wgpyd
forks into the background once the interface can be configured with the usual tools:

    wgpyd wg0                                   start
    wg setconf wg0 /etc/wireguard/wg0.conf      keys and peers (a file without the keywords of wg-quick)
    ip address add 10.0.0.1/24 dev wg0          addresses
    ip link set wg0 up                          link up
    ip link delete wg0                          stop

or with wg-quick, where the kernel has no WireGuard:

    WG_QUICK_USERSPACE_IMPLEMENTATION=wgpyd wg-quick up wg0

As a node of a mesh that this host has joined (`wgpy mesh join`), wgpyd configures its interface itself: its
keys and the records of the network are in /var/lib/wgpyd/mesh/NETWORK.

options:
  -f, --foreground            stay in the foreground and log to standard error
  --mesh=NETWORK              run this host's node of a mesh, with the node's interface; with `-` the name is
                              a line of standard input, as of a network that the host is about to join
  --persistent                keep INTERFACE, its addresses and its routes when wgpyd ends, whatever ends it,
                              so that nothing leaves in the clear. The next `wgpyd --persistent INTERFACE`
                              takes it over; `ip link delete INTERFACE` deletes it. A node's is always so
  --replace                   take over from the wgpyd that serves the interface, if one does: the interface,
                              the port and the connections in the tunnel stay, and that wgpyd ends
  --metrics=ADDRESS           serve metrics for Prometheus by HTTP, at ADDRESS:PORT or a socket, unix:PATH
  --kubernetes                announce the pod ranges of this host's Kubernetes Node, and follow them
  --kubernetes=gateway        only reach its API, for `wgpy mesh site add NAME --kubernetes`
  --node-name=NAME            the Node's name (default: NODE_NAME of the environment, or the host's name)
  --kube-api=URL, --kube-token=FILE, --kube-ca=FILE
                              the API server, a token, and the CA (default: what a pod has)
  --kubeconfig=FILE           the same in one file, JSON, or YAML where PyYAML is installed
  --cni=FILE                  have pods joined to these ranges by a bridge: write FILE for the container
                              runtime, as /etc/cni/net.d/10-wgpy.conflist, whenever they change, and
                              masquerade what pods send elsewhere than into the mesh
  --log=FILE                  append the log to FILE, instead of to the system's log (in the background) or to
                              standard error
  --datapath=native|portable  data path in C, with threads (the default if it was built), or in Python
  --offload=all|none|LIST     offloads of the kernel to use: some of checksum,tso,uso,udp-tunnel,gso,gro,
                              filter, without those that a kernel or a network card gets wrong
  --memory=normal|small       use less memory, for hosts with little
  --workers=N                 pairs of threads, 1 (the default) to 16: for many peers on many processors
  --nice=N                    priority of these threads, as of nice(1) (default: -15)
  --version                   print the version
  -h, --help                  print this text

environment:
  LOG_LEVEL                   silent, error (the default), verbose or debug
  WG_PROCESS_FOREGROUND=1     the same as --foreground
  WG_TUN_FD                   an open TUN descriptor to use instead of making INTERFACE
  WG_UAPI_FD                  a listening descriptor to use instead of /var/run/wireguard/INTERFACE.sock
  WGPY_DATAPATH, WGPY_OFFLOAD, WGPY_MEMORY, WGPY_WORKERS, WGPY_NICE
                              the same as the options of these names, which have precedence
  NODE_NAME                   name of the Kubernetes Node, see --node-name
  STATE_DIRECTORY             directory of the keys' last handshake times, instead of /var/lib/wgpyd
"""


class UsageError(StartError):
    """The command line is wrong."""


@dataclass(frozen=True, slots=True)
class KubernetesOptions:
    """Where the API of Kubernetes is, "" for what a pod has.

    server: URL; token_file, ca_file, kubeconfig: paths; node: name of this host's Node, "" for the host's;
    cni: the file by which pods are joined to its ranges, "" for none; role: "gateway" if it announces no pod
    ranges of that, but the cluster's as sites alone.
    """

    server: str = ""
    token_file: str = ""
    ca_file: str = ""
    kubeconfig: str = ""
    node: str = ""
    cni: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """What to run. log_level: None if the operator did not ask for one.

    interface: its name, "" for that of the node; mesh: the network's name, "" for none, or `TOLD`; metrics:
    where they are served, "" for nowhere; persistent: whether the interface outlives the daemon, as that of a
    node does; log: a file, as an absolute path, "" for none; kubernetes: None if it is not followed;
    takes_over: whether from the daemon that runs already.
    """

    interface: str
    mesh: str
    metrics: str
    foreground: bool
    log_level: str | None
    tun_fd: int | None
    uapi_fd: int | None
    state_directory: str
    settings: Settings
    persistent: bool = False
    log: str = ""
    kubernetes: KubernetesOptions | None = None
    takes_over: bool = False


def read_options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Raises UsageError for a wrong command line, StartError for a wrong environment."""
    flags = dict.fromkeys(("--foreground", "--persistent", "--replace", "--kubernetes", _GATEWAY), False)
    flags["--foreground"] = environment.get("WG_PROCESS_FOREGROUND") == "1"
    environment = dict(environment)
    names = []
    values = dict.fromkeys((*_WITH_VALUE, *_OF_KUBERNETES), "")
    rest = iter(arguments)
    for argument in rest:
        option, is_given, value = argument.partition("=")
        if option in values and not is_given:
            value = next(rest, "")
        if argument == "-f" or argument in flags:
            flags["--foreground" if argument == "-f" else argument] = True
        elif option in (*_OF_SETTINGS, *values) and not value:
            raise UsageError(f"{option} wants a value, as in `{option}=…`; see `wgpyd --help`")
        elif option in _OF_SETTINGS:
            environment[_OF_SETTINGS[option]] = value
        elif option in values:
            values[option] = value
        elif argument.startswith("-"):
            raise UsageError(f"there is no option {argument}; see `wgpyd --help`")
        else:
            names.append(argument)
    mesh, metrics, log = (values[option] for option in _WITH_VALUE)
    kubernetes = _kubernetes(values, environment, flags, mesh)
    if metrics and not mesh:
        raise UsageError("--metrics is for a node: give --mesh=NETWORK, too")
    if mesh and names:
        raise UsageError("a node has its own interface: give --mesh=NETWORK or INTERFACE, not both")
    if not mesh and len(names) != 1:
        raise UsageError("want the name of one interface, as in `wgpyd wg0`; see `wgpyd --help`")
    return Options(
        interface="" if mesh else _interface(names[0]),
        mesh=mesh,
        metrics=metrics,
        log=os.path.abspath(log) if log else "",
        foreground=flags["--foreground"],
        log_level=_log_level(environment),
        tun_fd=_descriptor(environment, "WG_TUN_FD"),
        uapi_fd=_descriptor(environment, "WG_UAPI_FD"),
        # systemd separates several by colons.
        state_directory=environment.get("STATE_DIRECTORY", "").partition(":")[0] or "/var/lib/wgpyd",
        settings=_settings(environment),
        persistent=flags["--persistent"] or bool(mesh),
        kubernetes=kubernetes,
        takes_over=flags["--replace"],
    )


def _kubernetes(
    values: Mapping[str, str], environment: Mapping[str, str], flags: Mapping[str, bool], mesh: str
) -> KubernetesOptions | None:
    """Raises UsageError."""
    follows = flags["--kubernetes"] or flags[_GATEWAY]
    given = [option for option in _OF_KUBERNETES if values[option]]
    if given and not follows:
        raise UsageError(f"{given[0]} is for --kubernetes: give that, too")
    if follows and not mesh:
        raise UsageError("--kubernetes is for a node: give --mesh=NETWORK, too")
    if values["--kubeconfig"] and (other := set(given) & {"--kube-api", "--kube-token", "--kube-ca"}):
        raise UsageError(f"--kubeconfig is in place of {' and '.join(sorted(other))}: give one of the two")
    if values["--cni"] and flags[_GATEWAY]:
        raise UsageError(
            f"{_GATEWAY} announces no pod ranges that --cni could join pods to: give --kubernetes"
        )
    fields = {field: values[option] for option, field in _OF_KUBERNETES.items()}
    # A daemon in the background works in another folder.
    fields |= {name: os.path.abspath(fields[name]) for name in _FILES if fields[name]}
    fields["node"] = fields["node"] or environment.get("NODE_NAME", "")
    return KubernetesOptions(**fields, role="gateway" if flags[_GATEWAY] else "") if follows else None


def _settings(environment: Mapping[str, str]) -> Settings:
    try:
        return read_settings(environment)
    except ValueError as error:
        raise StartError(str(error)) from None


def _interface(name: str) -> str:
    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(f"`{name}` cannot be used: {error}") from None
    return name


def _log_level(environment: Mapping[str, str]) -> str | None:
    level = environment.get("LOG_LEVEL", "")
    if level and level not in LOG_LEVELS:
        raise StartError(f"LOG_LEVEL is `{level}`, want one of {', '.join(LOG_LEVELS)}")
    return level or None


def _descriptor(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    if not text:
        return None
    try:
        fd = int(text)
        os.fstat(fd)
    except (ValueError, OverflowError, OSError):
        raise StartError(f"{name} is `{text}`, want the number of an open file descriptor") from None
    return fd
