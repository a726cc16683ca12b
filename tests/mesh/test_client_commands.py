"""`wgpy mesh client`, on a host with the network's key that is no node: what is made, and what is refused."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import segno

from tests.mesh.coordinator import ALICE, BOB, CAROL, TOKEN, Site, in_a_loop
from tests.mesh.key_host import KeyHost, copy_key
from tests.mesh.network import ADDRESSES6, prefixes, site
from wgpy.address import format_prefix
from wgpy.config import Config, parse
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PrivateKey, PublicKey
from wgpy.mesh.records import Network

HUB = Endpoint("192.0.2.1", 51820)
OF_WEB = ("100.80.0.12/32",)
RANGES = ["100.80.0.0/16", "100.96.0.0/12", "fd12:3456::/32"]
KEY = PrivateKey(bytes(31) + b"\x01").public_key()


async def add(host: KeyHost, name: str, *arguments: str) -> Config:
    """Make a client, and return its file."""
    made = await host.ask("client", "add", name, "--gateway", "hub", *arguments)
    return parse(made["files"][0]["text"])


@asynccontextmanager
async def a_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[KeyHost]:
    """With the nodes hub, which has a public address, and web, which has none."""
    served = Site.create(tmp_path / "site")
    async with served.serve():
        one = served.administrator
        one.found()
        one.invite(TOKEN, tags=("servers",), routes=prefixes("10.42.0.0/16"))
        one.join(ALICE, TOKEN, name="hub", endpoints=(HUB,))
        one.join(BOB, TOKEN, name="web", endpoints=(Endpoint("10.0.0.2", 51820),))
        await served.submit_all()
        yield KeyHost(served, copy_key(served, tmp_path / "host"), capsys)


def files_with(text: str, folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if text.encode() in path.read_bytes()]


def tunnelled(file: Config) -> list[str]:
    return sorted(map(format_prefix, file.peers[0].allowed_ips))


# -- The file ----------------------------------------------------------------------------------------


@in_a_loop
async def test_a_file_has_what_any_wireguard_app_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        file = await add(host, "alice", "--to", "web", "--no-dns")
        (listed,) = (await host.ask("client", "list"))["clients"]

    (gateway,) = listed["gateways"]
    assert [str(address) for address in file.addresses] == [
        f"{gateway['address']}/32", f"{gateway['address6']}/128"
    ]  # fmt: skip
    assert file.private_key is not None
    assert str(file.private_key.public_key()) == listed["key"]
    assert (file.mtu, file.dns, file.table, file.listen_port) == (1380, (), None, None)
    (peer,) = file.peers
    assert str(peer.endpoint) == "192.0.2.1:51820"
    assert peer.persistent_keepalive is None
    assert [one for one in tunnelled(file) if "." in one] == ["100.80.0.12/32"]
    assert len(tunnelled(file)) == 2


@in_a_loop
async def test_what_leads_into_the_tunnel_is_what_the_client_may_reach(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        one = host.site.administrator
        await host.site.submit(one.join(BOB, TOKEN, name="web", routes=prefixes("10.42.3.0/24"), sequence=2))
        office = site("office", "10.42.7.0/24", mapped=("100.96.4.0/24",), since=one.now)
        await host.site.submit(one.announce(BOB, office))

        assert tunnelled(await add(host, "a", "--to", "web", "--no-dns"))[:2] == [
            "10.42.3.0/24",
            "100.80.0.12/32",
        ]
        assert tunnelled(await add(host, "b", "--to", "office", "--no-dns")) == ["100.96.4.0/24"]
        assert tunnelled(await add(host, "c", "--to", "tag:servers", "--no-dns")) == sorted(
            ["10.42.3.0/24", *RANGES]
        )
        assert tunnelled(await add(host, "d")) == sorted(["10.42.3.0/24", *RANGES])


@in_a_loop
async def test_a_file_for_an_exit_leads_everything_into_the_tunnel_also_by_another_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        one = host.site.administrator
        await host.site.submit(one.approve(BOB, "0.0.0.0/0"))
        await host.site.submit(one.announce(BOB, site("four", "0.0.0.0/0", since=one.now)))

        file = await add(host, "alice", "--to", "four")

        assert tunnelled(file) == ["0.0.0.0/0", "::/0"]  # what the exit does not have goes nowhere
        assert (file.dns, file.mtu) == (("100.80.0.11",), 1380)
        assert (await host.ask("client", "show", "alice"))["changed"] == []


@in_a_loop
async def test_a_destination_may_have_ports_and_be_a_part_of_a_site(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        one = host.site.administrator
        office = site("office", "10.42.7.0/24", mapped=("100.96.4.0/24",), since=one.now)
        await host.site.submit(one.announce(BOB, office))

        to_web = await add(host, "a", "--to", "web:5432/tcp", "--no-dns")
        to_office = await add(host, "b", "--to", "office/10.42.7.9:443,80/tcp", "--no-dns")
        to_tag = await add(host, "c", "--to", "tag:servers:53", "--no-dns")
        listed = (await host.ask("client", "list"))["clients"]
        said = [(await host.ask("client", "show", name))["changed"] for name in "abc"]

    assert [one for one in tunnelled(to_web) if "." in one] == ["100.80.0.12/32"]
    assert tunnelled(to_office) == ["100.96.4.9/32"]
    assert tunnelled(to_tag) == sorted(RANGES)
    assert [one["to"] for one in listed] == [
        ["web:5432/tcp"], ["office/10.42.7.9/32:80/tcp,443/tcp"], ["tag:servers:53/tcp,53/udp"]
    ]  # fmt: skip
    assert said == [[], [], []]


@in_a_loop
async def test_any_as_destination_is_all_of_the_mesh_and_no_exit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        one = host.site.administrator
        await host.site.submit(one.approve(BOB, "0.0.0.0/0"))
        await host.site.submit(one.announce(BOB, site("four", "0.0.0.0/0", since=one.now)))

        file = await add(host, "alice", "--to", "any", "--no-dns")
        (listed,) = (await host.ask("client", "list"))["clients"]

    assert tunnelled(file) == sorted(RANGES)
    assert listed["to"] == ["any"]


@in_a_loop
async def test_a_gateway_that_cannot_pass_on_to_an_exit_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        one = host.site.administrator
        await host.site.submit(one.join(CAROL, TOKEN, name="carol"))
        for name, node in (("four", BOB), ("five", CAROL)):
            await host.site.submit(one.approve(node, "0.0.0.0/0"))
            await host.site.submit(one.announce(node, site(name, "0.0.0.0/0", since=one.now)))
        await add(host, "alice", "--to", "five")

        other = await host.refusal("client", "add", "bob", "--gateway", "hub", "--to", "four")
        own = ("--gateway", "web", "--endpoint", "192.0.2.2", "--to", "five")
        itself = await host.refusal("client", "add", "bob", *own)

    assert "the exit of clients that enter by hub is five" in other
    assert "web is a gateway of four itself" in itself


@in_a_loop
async def test_the_gateway_is_the_clients_server_of_names_and_reached_by_the_tunnel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        file = await add(host, "alice", "--to", "web")

        assert (file.dns, file.dns_search) == (("100.80.0.11",), ("prod.mesh",))
        assert "100.80.0.11/32" in tunnelled(file)
        assert (await host.ask("client", "show", "alice"))["changed"] == []


@in_a_loop
async def test_whom_others_may_call_keeps_its_mapping_in_a_nat(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        assert (await add(host, "alice")).peers[0].persistent_keepalive == 25
        assert (await add(host, "bob", "--to", "web")).peers[0].persistent_keepalive is None


@in_a_loop
async def test_a_file_of_a_given_key_has_no_private_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        file = await add(host, "alice", "--public-key", str(KEY))
        (listed,) = (await host.ask("client", "list"))["clients"]

    assert file.private_key is None
    assert listed["key"] == str(KEY)


@in_a_loop
async def test_a_private_key_is_in_no_file_but_the_clients(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        out = tmp_path / "alice.conf"
        await add(host, "alice", "--out", str(out))

        private = parse(out.read_text()).private_key
        assert private is not None
        assert out.stat().st_mode & 0o777 == 0o600
        holders = files_with(private.base64(), tmp_path)
        assert holders == [out]


@in_a_loop
async def test_the_file_alone_is_on_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        status, out, error = await host.run("client", "add", "alice", "--gateway", "hub", "--to", "web")

    assert status == 0
    assert parse(out).peers
    assert error.startswith("alice is a client, and may begin to web.\nBy hub it has 100.80.")


@in_a_loop
async def test_a_qr_code_is_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with a_host(tmp_path, capsys) as host:
        png, out = tmp_path / "alice.png", tmp_path / "alice.conf"
        names = ("--png", str(png), "--out", str(out))
        status, shown, _ = await host.run("client", "add", "alice", "--gateway", "hub", "--qr", *names)

    wanted = BytesIO()
    code = segno.make(out.read_text(), error="l")
    code.save(wanted, kind="png", scale=4)
    assert status == 0
    assert png.read_bytes() == wanted.getvalue()
    assert code.version in range(10, 15)  # addresses are longer or shorter
    assert 30 <= len(shown.splitlines()) <= 42


# -- What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["hub"], "hub is a node of prod: choose another name for the client."),
        (["alice"], "alice is a client already: choose another name, or `wgpy mesh client remove alice`."),
        (["bob", "--gateway", "nobody"], "there is no node nobody to enter by; there are hub, web."),
        (
            ["bob", "--to", "nobody"],
            "there is no node and no site nobody; the nodes are hub, web, the sites none.",
        ),
        (
            ["bob", "--to", "site:web"],
            "there is no node and no site web; the nodes are hub, web, the sites none.",
        ),
        (
            ["bob", "--to", "nobody:22/tcp"],
            "there is no node and no site nobody; the nodes are hub, web, the sites none.",
        ),
        (
            ["bob", "--gateway", "web"],
            (
                "web has no public address at which a client could dial it, only 10.0.0.2:51820: give one "
                "with --endpoint HOST[:PORT], or `wgpy mesh endpoint HOST` on web."
            ),
        ),
        (
            ["bob", "--gateway", "web", "--gateway", "hub", "--endpoint", "192.0.2.9"],
            "--endpoint is for one gateway: give one --gateway, or add the client once for each.",
        ),
        (
            ["bob", "--public-key", str(KEY)],
            f"{KEY} is the key of alice: make another pair with `wgpy genkey`.",
        ),
        (
            ["bob", "--public-key", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "--qr"],
            "a QR code holds the private key, which stays on the device with --public-key.",
        ),
        (["bob", "--out", "/"], "/ is there already: give another name, or remove it."),
        (["bob", "--out", "/proc/none/bob"], "/proc/none/bob cannot be written: No such file or directory."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@in_a_loop
async def test_what_cannot_be_is_one_sentence_and_adds_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    async with a_host(tmp_path, capsys) as host:
        await add(host, "alice", "--public-key", str(KEY))
        gateway = [] if "--gateway" in arguments else ["--gateway", "hub"]

        is_usage = "--endpoint" in arguments or "--qr" in arguments  # which do not go with the others
        refused = await host.refusal("client", "add", *arguments, *gateway, status=2 if is_usage else 1)
        assert refused == sentence

        assert [one["name"] for one in (await host.ask("client", "list", "--all"))["clients"]] == ["alice"]


@in_a_loop
async def test_a_host_that_is_no_node_says_by_which_node_a_client_enters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        assert await host.refusal("client", "add", "alice") == (
            "this host is no node: say by which node the client enters, with --gateway NODE."
        )


@in_a_loop
async def test_without_segno_there_is_no_qr_code_and_all_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "segno", None)
    async with a_host(tmp_path, capsys) as host:
        assert await host.refusal("client", "add", "alice", "--gateway", "hub", "--qr") == (
            "a QR code needs segno: install wgpy with its extra, as in `pip install 'wgpy[clients]'`; "
            "--out FILE needs nothing."
        )
        await add(host, "alice")


@in_a_loop
async def test_a_network_whose_addresses_are_used_up_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = Site.create(tmp_path / "site")
    async with served.serve():
        one = served.administrator
        one.sign(
            Network, name="prod", addresses=IPv4Network("100.80.0.8/29"), addresses6=ADDRESSES6,
            pool=IPv4Network("100.96.0.0/12"), mtu=1380,
        )  # fmt: skip
        one.invite(TOKEN)
        one.join(ALICE, TOKEN, name="hub", endpoints=(HUB,))
        await served.submit_all()
        host = KeyHost(served, copy_key(served, tmp_path / "host"), capsys)
        for number in range(5):
            await add(host, f"c{number}")

        assert await host.refusal("client", "add", "more", "--gateway", "hub") == (
            "all 6 addresses of 100.80.0.8/29 are taken."
        )


# -- Later -------------------------------------------------------------------------------------------


@in_a_loop
async def test_what_would_need_a_new_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with a_host(tmp_path, capsys) as host:
        one = host.site.administrator
        await add(host, "alice")
        assert (await host.ask("client", "show", "alice"))["changed"] == []

        await host.site.submit(
            one.join(
                ALICE,
                TOKEN,
                name="hub",
                sequence=2,
                key=PublicKey(bytes(31) + b"\x07"),
                endpoints=(Endpoint("192.0.2.7", 51820),),
                routes=prefixes("10.42.3.0/24"),
            )
        )

        assert (await host.ask("client", "show", "alice"))["changed"] == [
            "hub has another WireGuard key",
            "the file dials 192.0.2.1:51820, and hub publishes 192.0.2.7:51820",
            "10.42.3.0/24 can be reached now, which the file does not lead into the tunnel",
        ]
        _, text, _ = await host.run("client", "show", "alice")
        assert "For a new file: `wgpy mesh client remove alice`, and add it again." in text


@in_a_loop
async def test_nodes_that_come_need_no_new_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with a_host(tmp_path, capsys) as host:
        one = host.site.administrator
        await add(host, "alice", "--to", "tag:servers")
        await host.site.submit(one.remove(BOB))

        assert (await host.ask("client", "show", "alice"))["changed"] == []
        _, text, _ = await host.run("client", "show", "alice")
        assert "Its file is right." in text


@in_a_loop
async def test_rules_are_for_clients_by_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        await add(host, "alice")
        assert await host.refusal("allow", "client:bob", "web", "--yes") == (
            "there is no client bob; there are alice."
        )

        tried = await host.ask("allow", "web", "hub", "--dry-run")
        assert tried["clients_would_keep_only"] == {"alice": []}
        _, text, _ = await host.run("allow", "client:alice", "web", "--dry-run")
        assert "The client alice can begin only to web." in text

        allowed = await host.ask("allow", "client:alice", "web:5432/tcp", "--yes")
        assert allowed["allowed"] == "client:alice node:web:5432/tcp"
        assert (await host.ask("client", "show", "alice"))["changed"] == []

        removed = await host.ask("client", "remove", "alice")
        assert removed["rules"] == ["client:alice to web:5432/tcp"]
        assert await host.refusal("client", "remove", "alice") == "alice is removed already."
        assert await host.refusal("client", "show", "carol") == "there is no client carol; there are none."
        assert (await host.ask("client", "list"))["clients"] == []
