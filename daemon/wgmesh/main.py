"""The command `wgmesh`: runs a coordinator, and creates, backs up and restores its folder."""

import argparse
import asyncio
import gc
import json
import logging
import resource
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from wgpy.host import systemd
from wgpy.host.eventloop import new_event_loop
from wgpy.mesh.signing import VerifyKey
from wgpy.node.coordinator_client import DEFAULT_PORT
from wgpy.node.document import text as json_text

from .backup import back_up, restore
from .errors import MeshError
from .privileges import give_up
from .settings import Settings, create, folder_of, lock
from .store import AuditEntry, open_store

_LOG = logging.getLogger("wgmesh")

_DESCRIPTORS: Final = 65_536  # a connection each
_YOUNG: Final = 20_000  # objects that are made before garbage is looked for among them


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status. words: arguments, by default of the command line."""
    arguments = reader().parse_args(words)
    try:
        arguments.run(arguments)
    except MeshError as error:
        print(f"wgmesh: {error}", file=sys.stderr)
        return 1
    return 0


def reader() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wgmesh", description="The coordinator of a mesh.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        subparser = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        subparser.add_argument(
            "network", metavar="NAME", type=folder_of, help="a network's name, or a folder"
        )
        subparser.set_defaults(run=run)
        return subparser

    create = command("create", _create, "make a coordinator's folder")
    create.add_argument("key", metavar="KEY", type=_network_key, help="the network's public key, in base64")
    create.add_argument(
        "--public", metavar="HOST[:PORT]", required=True, help="address that nodes connect to"
    )
    create.add_argument("--listen", metavar="ADDRESS:PORT", help="address to listen at (default: all)")
    create.add_argument(
        "--relay", metavar="ADDRESS:PORT", default="", help="UDP port of the relay on this host"
    )
    create.add_argument("--certificate", metavar="FILE", type=Path, help="certificate chain of an authority")
    create.add_argument("--key", metavar="FILE", dest="tls_key", type=Path, help="key of the certificate")

    serve = command("serve", _serve, "serve a network")
    serve.add_argument("--listen", metavar="ADDRESS:PORT", help="address to listen at instead of `create`'s")
    serve.add_argument("--user", metavar="NAME", default="", help="user to become, who gets the folder")
    serve.add_argument("--metrics", metavar="ADDRESS:PORT", default="", help="serve metrics by plain HTTP")

    backup = command("backup", _back_up, "copy the database and the keys, also while the network is served")
    backup.add_argument("file", metavar="FILE", type=Path)

    restore = command("restore", _restore, "restore a backup")
    restore.add_argument("file", metavar="FILE", type=Path)

    audit = command("audit", _audit, "print the audit log")
    audit.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _network_key(text: str) -> VerifyKey:
    try:
        return VerifyKey.from_base64(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"`{text}` is not a key: want 32 bytes in base64") from None


def _create(arguments: argparse.Namespace) -> None:
    if (arguments.certificate is None) != (arguments.tls_key is None):
        raise MeshError("a certificate needs its key, and a key its certificate: give both")
    port = arguments.public.rpartition(":")[2]
    listen = arguments.listen or f"[::]:{port if port.isdecimal() else DEFAULT_PORT}"
    address = create(
        arguments.network, arguments.key, arguments.public, listen, arguments.certificate, arguments.tls_key,
        arguments.relay,
    )  # fmt: skip
    print(json.dumps({"url": address.url, "key_hash": address.key_hash.hex()}))


def _serve(arguments: argparse.Namespace) -> None:
    from .server import run  # noqa: PLC0415 - the web's libraries, which no other command needs

    folder: Path = arguments.network
    settings = Settings.load(folder)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    _raise_descriptor_limit()
    give_up(folder, arguments.user)
    listen = arguments.listen or settings.listen

    def ready() -> None:
        gc.collect()
        gc.freeze()  # what was imported and loaded is never collected
        gc.set_threshold(_YOUNG)
        _LOG.info("serving %s at %s", folder.name, listen)
        systemd.notify("READY=1")

    with lock(folder):
        store = open_store(folder, settings)
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(run(folder, settings, store, listen, arguments.metrics, ready))
        finally:
            systemd.notify("STOPPING=1")
            store.close()


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_DESCRIPTORS, hard), hard))


def _back_up(arguments: argparse.Namespace) -> None:
    back_up(arguments.network, arguments.file)
    print(f"{arguments.file} holds the records and the coordinator's key: keep it secret.")


def _restore(arguments: argparse.Namespace) -> None:
    kept = restore(arguments.network, arguments.file, int(time.time()))
    if kept is not None:
        print(f"The previous database is in {kept}.")
    print("Start the coordinator again. Nodes submit the records that the backup lacks.")


def _audit(arguments: argparse.Namespace) -> None:
    store = open_store(arguments.network, Settings.load(arguments.network))
    try:
        entries = store.audit()
    finally:
        store.close()
    if arguments.json:
        print(json_text({"entries": [_document(entry) for entry in entries]}))
    else:
        for entry in entries:
            when = datetime.fromtimestamp(entry.time, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
            print(f"{when}  {entry.source}  {entry.who}: {entry.what}")


def _document(entry: AuditEntry) -> dict[str, object]:
    return {"time": entry.time, "who": entry.who, "what": entry.what, "from": entry.source}


if __name__ == "__main__":
    sys.exit(main())
