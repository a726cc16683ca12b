"""How this host reaches the API server of a Kubernetes cluster: credentials, and requests by them.

Invariant: what may change on disk is read anew for each request: a token is renewed about hourly. No redirect
is followed, and each answer has a limit, of bytes and of time.
"""

import asyncio
import base64
import importlib
import json
import os
import ssl
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from wgpy.address import Address, HostPort
from wgpy.contract.errors import WgpyError
from wgpy.node.connection import connect
from wgpy.node.http import BROKEN, Client, HttpError
from wgpy.node.text import printable

_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_MAX_FILE: Final = 1 << 20  # bytes of a token, of certificates, of a kubeconfig
_HTTPS: Final = 443
_BROKEN: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


class KubernetesError(WgpyError):
    """The API cannot be asked, or refuses; one sentence that says what to do. status: of HTTP, or 0."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """What the operator says of the API server, "" for what is found where a pod has it.

    server: URL; token_file, ca_file: paths; kubeconfig: a path, in place of the others.
    """

    server: str = ""
    token_file: str = ""
    ca_file: str = ""
    kubeconfig: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """server: URL; ca: certificates, PEM, "" for those of the host; certificate: with its key, PEM, or ""."""

    server: str
    token: str = field(default="", repr=False)
    ca: str = ""
    certificate: str = field(default="", repr=False)

    @property
    def address(self) -> HostPort:
        """Raises KubernetesError."""
        try:
            parts = urlsplit(self.server)
            if parts.scheme == "https" and parts.hostname:
                return HostPort(parts.hostname, parts.port or _HTTPS)
        except ValueError:
            pass
        raise KubernetesError(f"the API server {printable(self.server)} is no https://HOST[:PORT]")

    @property
    def path(self) -> str:
        """What comes before the paths of the API, behind a proxy for several clusters, say."""
        return urlsplit(self.server).path.rstrip("/")


def read_access(options: ApiOptions, environment: Mapping[str, str] = os.environ) -> Access:
    """Read the credentials as they are now. Raises KubernetesError."""
    if options.kubeconfig:
        return _of_kubeconfig(Path(options.kubeconfig))
    token_file = Path(options.token_file or _SERVICE_ACCOUNT / "token")
    ca_file = Path(options.ca_file or _SERVICE_ACCOUNT / "ca.crt")
    server = options.server or _of_pod(environment)
    return Access(server, _read(token_file).strip(), _read(ca_file))


def _of_pod(environment: Mapping[str, str]) -> str:
    """Raises KubernetesError."""
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    if not host:
        raise KubernetesError(
            "where the API server is, is not known: give --kube-api=https://HOST:PORT or --kubeconfig=FILE"
        )
    port = environment.get("KUBERNETES_SERVICE_PORT", str(_HTTPS))
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


def _read(path: Path) -> str:
    """Raises KubernetesError."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE).decode("ascii")
    except OSError as error:
        raise KubernetesError(
            f"{path} cannot be read: {error.strerror}; give --kube-token=FILE and --kube-ca=FILE, or "
            "--kubeconfig=FILE"
        ) from None
    except ValueError:
        raise KubernetesError(f"{path} is neither a token nor a certificate") from None


# -- A kubeconfig ----------------------------------------------------------------------------------


def _of_kubeconfig(path: Path) -> Access:
    """Read the current context. Raises KubernetesError."""
    try:
        return _of_context(path, _parsed(path))
    except _BROKEN:
        raise KubernetesError(f"{path} is no kubeconfig with a current context") from None


def _of_context(path: Path, found: Any) -> Access:
    """Raises KubernetesError, and one of _BROKEN."""
    context = _named(found["contexts"], found["current-context"])["context"]
    cluster = _named(found["clusters"], context["cluster"])["cluster"]
    user = _named(found["users"], context["user"])["user"]
    if cluster.get("insecure-skip-tls-verify"):
        raise KubernetesError(f"{path} has the server's certificate not verified: name a CA in it")
    token = user.get("token") or ""
    if not token and (file := user.get("tokenFile")):
        token = _read(path.parent / file).strip()
    certificate = _pem(path, user, "client-certificate") + _pem(path, user, "client-key")
    if not token and not certificate:
        raise KubernetesError(
            f"{path} has neither token nor certificate for its user, and no other program is run for one: "
            "give --kube-api, --kube-ca and --kube-token=FILE"
        )
    ca = _pem(path, cluster, "certificate-authority")
    return Access(str(cluster["server"]), str(token), ca, certificate)


def _parsed(path: Path) -> Any:
    """Raises KubernetesError."""
    text = _read(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise KubernetesError(
            f"{path} is YAML, which needs python3-yaml (PyYAML): install it, or give the file as JSON "
            "(`kubectl config view --raw -o json`)"
        ) from None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        raise KubernetesError(f"{path} is no kubeconfig") from None


def _named(items: Any, name: str) -> Any:
    """Raises one of _BROKEN."""
    return next(item for item in [*items, {"name": name}] if item["name"] == name)


def _pem(path: Path, where: Mapping[str, Any], name: str) -> str:
    """Return what is given as data or as a file, "" for neither. Raises KubernetesError."""
    try:
        if data := where.get(f"{name}-data"):
            return base64.b64decode(data, validate=True).decode("ascii") + "\n"
    except (ValueError, TypeError):
        raise KubernetesError(f"{path}: {name}-data is no base64") from None
    return _read(path.parent / file) + "\n" if (file := where.get(name)) else ""


# -- Requests --------------------------------------------------------------------------------------


class KubernetesApi:
    """local, remote: the addresses of the last connection, None before there was one."""

    def __init__(self, options: ApiOptions) -> None:
        self._options = options
        self.server = options.server or options.kubeconfig
        self.local: Address | None = None
        self.remote: Address | None = None

    async def request(
        self, method: str, target: str, seconds: float, *, body: object = None, limit: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Give the answer in pieces. body: as JSON has it; limit: bytes, None for any number.

        Raises KubernetesError.
        """
        access = read_access(self._options)
        self.server = access.server
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await connect(access.address, _tls(access), mark=0, proxy="")
                try:
                    self._note(writer)
                    client = Client(reader, writer, str(access.address))
                    bearer = f"Bearer {access.token}" if access.token else ""
                    asked = client.request(
                        method, access.path + target, authorization=bearer, body=body, limit=limit
                    )
                    async for piece in asked:
                        yield piece
                finally:
                    writer.transport.abort()
        except HttpError as error:
            raise KubernetesError(_refusal(error), error.status) from None
        except (*BROKEN, TimeoutError, ValueError) as error:  # the last for a token that no header can have
            why = str(error) or type(error).__name__
            raise KubernetesError(
                f"the API server {access.server} does not answer: {printable(why)}"
            ) from None

    def _note(self, writer: asyncio.StreamWriter) -> None:
        local, remote = (writer.get_extra_info(name) for name in ("sockname", "peername"))
        self.local, self.remote = _address(local), _address(remote)


def _address(name: Any) -> Address | None:
    try:
        found = ip_address(name[0].partition("%")[0])
    except _BROKEN:
        return None
    mapped: Address | None = getattr(found, "ipv4_mapped", None)
    return mapped or found


def _refusal(error: HttpError) -> str:
    match error.status:
        case 401:
            return "the API server does not know this token (401): is it of this cluster, and not expired?"
        case 403:
            return (
                "the API server refuses (403): the service account needs get, list and watch of nodes and of "
                "servicecidrs, as in daemon/deploy/kubernetes/rbac.yaml"
            )
        case 404:
            return (
                "the API server has no such objects (404): ServiceCIDR is of Kubernetes 1.33, so name the "
                "ranges of an older cluster, as in `wgpy mesh site add NAME 10.244.0.0/16 10.96.0.0/16`"
            )
        case status if 300 <= status < 400:
            return f"the API server sends elsewhere ({status}), which is not followed: give its own address"
        case status:
            return f"the API server answers {status}"


def _tls(access: Access) -> ssl.SSLContext:
    """Raises KubernetesError."""
    try:
        context = ssl.create_default_context(cadata=access.ca or None)
        # Python 3.13 wants extensions that the CAs of some clusters lack, and no other client asks for.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if access.certificate:
            with _as_file(access.certificate) as name:
                context.load_cert_chain(name)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise KubernetesError(f"the certificates for the API server cannot be used: {error}") from None
    return context


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """Give the name of a file in memory: OpenSSL reads a key from a file alone."""
    with ExitStack() as stack:
        fd = os.memfd_create("certificate")
        stack.callback(os.close, fd)
        os.write(fd, text.encode())
        yield f"/proc/self/fd/{fd}"
