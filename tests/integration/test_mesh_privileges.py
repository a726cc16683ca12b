"""The coordinator outside of systemd: hardly any privileges, no core dumps, files of its own, and low ports.

One host, with a coordinator and nothing else.
"""

import pwd
import signal
import sys
from pathlib import Path
from stat import S_IMODE

import pytest

from tests.integration.hosts import Host, HostProcess, Lab, eventually
from tests.integration.meshlab import program
from wgpy.mesh.signing import SigningKey

FOLDER = "/var/lib/wgmesh/prod"
NET_BIND_SERVICE = f"{1 << 10:016x}"
USER = "nobody"


@pytest.fixture
def host(lab: Lab) -> Host:
    host = lab.host("hub")
    key = str(SigningKey.generate().verify_key())
    host.run(program("wgmesh"), "create", "prod", key, "--public", "127.0.0.1:443")
    return host


def serve(host: Host, *options: str) -> HostProcess:
    process = host.start(program("wgmesh"), "serve", "prod", *options)
    eventually(lambda: "serving" in process.log.read_text() or not process.is_running(), "it serves")
    return process


def status(process: HostProcess) -> list[dict[str, str]]:
    """What the kernel says of each thread."""
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    return [
        dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines() if ":\t" in line)
        for thread in threads
    ]


def modes(host: Host) -> dict[str, int]:
    files = [host.path(FOLDER), *host.path(FOLDER).iterdir()]
    return {file.name: S_IMODE(file.stat().st_mode) for file in files}


def answers(host: Host) -> bool:
    """Whether it answers at its low port."""
    return "network" in host.attempt("curl", "-sk", "https://127.0.0.1:443/v1/hello").output


def test_no_thread_keeps_more_than_low_ports(host: Host) -> None:
    process = serve(host)
    assert answers(host)

    for thread in status(process):
        assert thread["CapEff"] == thread["CapPrm"] == NET_BIND_SERVICE
        assert thread["CapInh"] == f"{0:016x}"
        assert thread["NoNewPrivs"] == "1"
        assert thread["Uid"].split() == ["0"] * 4


def test_its_memory_is_not_for_others_of_its_user(host: Host) -> None:
    process = serve(host)

    # Without CAP_SYS_PTRACE, but with all that the process may have, one may read a process of one's own user
    # only if it is dumpable. ptrace(2)
    done = host.attempt(
        "setpriv", "--bounding-set=-all,+net_bind_service", "cat", f"/proc/{inside(process)}/environ"
    )

    assert "Permission denied" in done.output


def inside(process: HostProcess) -> str:
    """The pid of a process as its host sees it."""
    return process.proc("status").split("NSpid:")[1].splitlines()[0].split()[-1]


def test_what_others_could_read_is_its_own_from_the_start(host: Host) -> None:
    folder = host.path(FOLDER)
    serve(host).kill(signal.SIGTERM)
    eventually(lambda: not host.processes("wgmesh"), "it ended")
    assert set(modes(host).values()) == {0o700, 0o600}
    (folder / "wgmesh.log").touch()
    for file in folder.iterdir():
        file.chmod(0o644)
    folder.chmod(0o755)

    serve(host)

    assert modes(host).pop("prod") == 0o700
    assert {mode for name, mode in modes(host).items() if name != "prod"} == {0o600}


def test_a_link_in_its_folder_is_not_followed(host: Host) -> None:
    outside = host.path("/run/outside")
    outside.touch()
    outside.chmod(0o644)
    (host.path(FOLDER) / "link").symlink_to("/run/outside")

    serve(host)

    assert S_IMODE(outside.stat().st_mode) == 0o644


def test_it_becomes_a_user_who_gets_the_folder_and_a_low_port(host: Host) -> None:
    let_all_read_python(host)
    process = serve(host, "--user", USER)
    assert answers(host)

    user = pwd.getpwnam(USER).pw_uid
    assert {thread["Uid"] for thread in status(process)} == {"\t".join([str(user)] * 4)}
    assert {thread["CapEff"] for thread in status(process)} == {NET_BIND_SERVICE}
    assert {file.stat().st_uid for file in host.path(FOLDER).iterdir()} == {user}
    host.run(program("wgmesh"), "backup", "prod", "/run/backup")
    assert S_IMODE(host.path("/run/backup").stat().st_mode) == 0o600


def test_root_serves_a_folder_again_that_another_user_had(host: Host) -> None:
    let_all_read_python(host)
    serve(host, "--user", USER).kill(signal.SIGTERM)
    eventually(lambda: not host.processes("wgmesh"), "it ended")

    # As with systemd: a root that may not give it to itself.
    held = ("setpriv", "--bounding-set=-all,+net_bind_service")
    assert host.attempt(*held, program("wgmesh"), "serve", "prod").output == (
        f"wgmesh: {FOLDER} cannot be used: Permission denied; `sudo chown -R root {FOLDER}` gives it back\n"
    )
    serve(host)
    assert answers(host)
    folder = host.path(FOLDER)
    assert {file.stat().st_uid for file in (folder, *folder.iterdir())} == {0}


def let_all_read_python(host: Host) -> None:
    """Show Python on this host below a folder that is everybody's, where it lies in the folder of root."""
    python = Path(sys.base_prefix)
    if python.is_relative_to("/root"):
        host.run("sh", "-ec", f"mkdir /run/python && mount --rbind {python} /run/python")
        host.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/root")
        host.run("sh", "-ec", f"mkdir -p {python} && mount --rbind /run/python {python}")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ("--user", "no-such-user"),
            "there is no user no-such-user on this host: `useradd --system no-such-user`",
        )
    ],
)
def test_a_user_that_is_not_there_is_one_sentence(
    host: Host, options: tuple[str, ...], sentence: str
) -> None:
    done = host.attempt(program("wgmesh"), "serve", "prod", *options)

    assert done.status == 1
    assert done.output.startswith(f"wgmesh: {sentence}")
    assert done.output.count("\n") == 1
