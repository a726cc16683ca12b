"""What a node keeps on disk survives what happens to disks, and is for its owner alone."""

import json
import os
import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.network import NOW, Administrator, key_of, prefixes
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PrivateKey
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import Departure, Node, admit, decode
from wgpy.mesh.signing import Signed
from wgpy.mesh.topology import derive
from wgpy.mesh.wire import Delta, encode_line, write_signed
from wgpy.node.files import Journal, NetworkKeyFile, NodeFile, StorageError, write_file

IDENTITY, TOKEN = key_of(7), key_of(8)
JOURNAL = "records.jsonl"


@pytest.fixture
def admin() -> Administrator:
    admin = Administrator()
    admin.found()
    admin.invite(TOKEN)
    return admin


@pytest.fixture
def node(admin: Administrator) -> NodeFile:
    return NodeFile(
        network=admin.key.verify_key(),
        url="https://vpn.example.com:51820",
        key_hash=bytes(range(32)),
        interface="mesh0",
        listen_port=51820,
        identity=IDENTITY,
        key=PrivateKey(b"\x0a" * 32),
        token=TOKEN.verify_key(),
        admitted=NOW,
        admission=admit(TOKEN, admin.network, IDENTITY.verify_key(), NOW),
        name="n7",
        address=IPv4Address("100.80.0.7"),
        routes=prefixes("10.42.7.0/24", "fd00:7::/64"),
        endpoints=(Endpoint("192.0.2.7", 51820), Endpoint("2001:db8::7", 40000)),
        sequence=4,
    )


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file grows beyond this many bytes: what comes after them fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


# -- Files that are replaced ---------------------------------------------------------------------


def test_a_node_is_read_as_it_was_saved(node: NodeFile, tmp_path: Path) -> None:
    node.save(tmp_path / "prod")

    assert NodeFile.load(tmp_path / "prod") == node


def test_what_holds_secrets_is_for_its_owner_alone(node: NodeFile, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        node.save(tmp_path / "prod")
        Journal(tmp_path / "prod").append(Delta(1, ()))
    finally:
        os.umask(before)

    assert mode_of(tmp_path / "prod") == 0o700
    assert {mode_of(path) for path in (tmp_path / "prod").iterdir()} == {0o600}


def test_no_secret_is_printed_by_accident(node: NodeFile, admin: Administrator) -> None:
    network = NetworkKeyFile(admin.key, node.url, node.key_hash, 3, NOW)
    printed = f"{node!r} {node} {network!r} {network}"

    for secret in (node.identity, node.key, admin.key):
        assert secret.base64() not in printed
        assert secret.hex() not in printed
        assert repr(bytes(secret)) not in printed


def test_the_networks_key_is_read_as_it_was_saved(admin: Administrator, tmp_path: Path) -> None:
    saved = NetworkKeyFile(admin.key, "https://vpn.example.com", bytes(32), 3, NOW)
    saved.save(tmp_path / "network.key")

    assert NetworkKeyFile.load(tmp_path / "network.key") == saved
    assert mode_of(tmp_path / "network.key") == 0o600


def test_a_file_that_cannot_be_written_leaves_the_old_one(node: NodeFile, tmp_path: Path) -> None:
    node.save(tmp_path)

    with full_disk(100), pytest.raises(StorageError, match=r"node\.json cannot be written: File too large"):
        replace(node, name="other").save(tmp_path)

    assert NodeFile.load(tmp_path) == node
    assert [path.name for path in tmp_path.iterdir()] == ["node.json"]


def test_what_an_interrupted_writer_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".x.new").write_bytes(b"half, and longer than what comes")

    write_file(tmp_path / "x", b"whole")

    assert (tmp_path / "x").read_bytes() == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "is not there"),
        (b"", "is damaged"),
        (b"[]", "is damaged"),
        (b"{}", "is damaged"),
        (b"\xff", "is damaged"),
        (b"[" * 100_000, "is damaged"),
    ],
    ids=["none", "empty", "a list", "without fields", "no text", "deep"],
)
def test_a_file_that_cannot_be_read_says_what_to_do(
    data: bytes | None, sentence: str, tmp_path: Path
) -> None:
    if data is not None:
        (tmp_path / "node.json").write_bytes(data)

    with pytest.raises(StorageError, match=sentence) as raised:
        NodeFile.load(tmp_path)

    assert str(raised.value).isprintable()


@pytest.mark.parametrize("url", ["https://a:99999", "https://[::1", "https://", "http://a", "https://a:0"])
@pytest.mark.parametrize("name", ["url", "near"])
def test_a_file_with_no_address_of_a_coordinator_is_damaged(
    node: NodeFile, name: str, url: str, tmp_path: Path
) -> None:
    node.save(tmp_path)
    file = tmp_path / "node.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: url}))

    with pytest.raises(StorageError, match="is no address of a coordinator"):
        NodeFile.load(tmp_path)


@given(position=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_nothing_but_a_state_error_comes_of_a_damaged_file(
    position: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("node")
    made = Administrator()
    made.found()
    NodeFile(
        made.key.verify_key(), "https://a", bytes(32), "mesh0", 1, IDENTITY, PrivateKey(b"\x0a" * 32),
        TOKEN.verify_key(), NOW, bytes(64), "n7", IPv4Address("100.80.0.7"), (), (),
    ).save(folder)  # fmt: skip
    data = bytearray((folder / "node.json").read_bytes())
    data[position % len(data)] = byte
    (folder / "node.json").write_bytes(data)

    with suppress(StorageError):
        NodeFile.load(folder)


# -- What a node says of itself ------------------------------------------------------------------


def test_what_a_node_says_is_genuine_and_newer_than_what_it_said(
    node: NodeFile, admin: Administrator
) -> None:
    here = (Endpoint("192.0.2.9", 51820),)

    said, signed = node.signed(here)

    record = decode(signed.body)
    assert isinstance(record, Node)
    assert (record.sequence, said.sequence, record.endpoints) == (5, 5, here)
    assert replace(said, sequence=4) == node
    ledger = admin.ledger()
    ledger.add(signed)
    (member,) = derive(ledger, NOW).members
    assert (member.name, member.key, member.address) == ("n7", node.key.public_key(), node.address)


def test_a_node_can_say_that_it_leaves(node: NodeFile, admin: Administrator) -> None:
    ledger = admin.ledger()
    ledger.add(node.departure())

    assert isinstance(decode(node.departure().body), Departure)
    assert ledger.departed() == {IDENTITY.verify_key()}


# -- The journal ---------------------------------------------------------------------------------


def journal_of(folder: Path, records: list[Signed]) -> Journal:
    """A journal that was told records one by one; revisions are 1, 2 and so on."""
    journal = Journal(folder)
    for number, signed in enumerate(records, start=1):
        journal.append(Delta(number, (signed,)))
    return journal


def read_again(folder: Path, admin: Administrator) -> tuple[int, list[Signed], Journal]:
    """What a new life makes of a journal: the revision, the records, and the journal to go on with."""
    ledger, journal = Ledger(admin.key.verify_key()), Journal(folder)
    revision = journal.load(ledger)
    return revision, list(ledger), journal


def test_a_journal_gives_back_what_it_was_told(admin: Administrator, tmp_path: Path) -> None:
    admin.join(IDENTITY, TOKEN)
    journal_of(tmp_path, admin.records)

    revision, records, _ = read_again(tmp_path, admin)

    assert revision == len(admin.records)
    assert set(records) == set(admin.records)


def test_without_a_journal_nothing_is_known(admin: Administrator, tmp_path: Path) -> None:
    revision, records, _ = read_again(tmp_path / "new", admin)

    assert (revision, records) == (0, [])


def test_a_journal_torn_anywhere_gives_the_lines_before_and_goes_on(
    admin: Administrator, tmp_path: Path
) -> None:
    journal_of(tmp_path, admin.records)
    whole = (tmp_path / JOURNAL).read_bytes()
    lines = whole.splitlines(keepends=True)
    later = admin.remove(IDENTITY)

    for length in range(len(whole)):
        (tmp_path / JOURNAL).write_bytes(whole[:length])
        kept = next(n for n in range(len(lines), -1, -1) if sum(map(len, lines[:n])) <= length)

        revision, records, journal = read_again(tmp_path, admin)
        assert (revision, records) == (kept, admin.records[:kept])
        journal.append(Delta(99, (later,)))

        revision, records, _ = read_again(tmp_path, admin)
        assert (revision, set(records)) == (99, {*admin.records[:kept], later})


@pytest.mark.parametrize("damage", [b"\0" * 40, b"\n", b"{}", b"\xff\xfe", b'{"revision":9,"records":[7]}'])
def test_behind_a_damaged_line_all_is_asked_for_again_and_what_is_good_is_kept_meanwhile(
    admin: Administrator, tmp_path: Path, damage: bytes
) -> None:
    journal_of(tmp_path, admin.records)
    first, second = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    later = admin.remove(IDENTITY)
    (tmp_path / JOURNAL).write_bytes(first + damage + b"\n" + second)

    revision, records, journal = read_again(tmp_path, admin)
    assert (revision, records) == (1, admin.records[:2])
    assert "a line" in journal.damage
    journal.append(Delta(7, (later,)))

    revision, records, journal = read_again(tmp_path, admin)
    assert (revision, records) == (7, [*admin.records[:2], later])
    assert journal.damage == ""


def test_who_only_reads_a_journal_leaves_it_to_the_node_that_writes_to_it(
    admin: Administrator, tmp_path: Path
) -> None:
    journal_of(tmp_path, admin.records)
    torn = (tmp_path / JOURNAL).read_bytes()[:-1]  # the node is about to write the rest of the line
    (tmp_path / JOURNAL).write_bytes(torn)

    ledger = Ledger(admin.key.verify_key())
    Journal(tmp_path).read(ledger)

    assert admin.records[0] in ledger
    assert (tmp_path / JOURNAL).read_bytes() == torn


def test_a_forged_line_is_not_believed(admin: Administrator, tmp_path: Path) -> None:
    forged = Signed(admin.remove(IDENTITY).body, bytes(64))
    journal_of(tmp_path, [admin.records[0], forged])

    assert read_again(tmp_path, admin)[:2] == (1, admin.records[:1])


def test_one_bit_anywhere_in_a_journal_is_damage_and_followed_from_before_its_line(
    admin: Administrator, tmp_path: Path
) -> None:
    admin.join(IDENTITY, TOKEN)
    journal_of(tmp_path, admin.records)
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    whole = b"".join(lines)

    for position in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        (tmp_path / JOURNAL).write_bytes(damaged)
        number = sum(len(b"".join(lines[: n + 1])) <= position for n in range(len(lines)))

        revision, records, journal = read_again(tmp_path, admin)

        assert revision == number
        assert set(admin.records[:number]) <= set(records) <= set(admin.records)
        assert journal.damage != "" or position == len(whole) - 1, "which is as if its end were torn"


@pytest.mark.parametrize("damage", [1, 16, 64, 128])
def test_damage_to_one_record_of_a_line_costs_no_other_record(
    admin: Administrator, tmp_path: Path, damage: int
) -> None:
    admin.join(IDENTITY, TOKEN)
    line = encode_line(Delta(3, tuple(admin.records)))
    record = json.dumps(write_signed(admin.records[1]), separators=(",", ":")).encode()
    start = line.index(record)

    for position in range(start, start + len(record), 3):
        damaged = bytearray(line)
        damaged[position] ^= damage
        (tmp_path / JOURNAL).write_bytes(damaged)

        revision, records, journal = read_again(tmp_path, admin)

        assert (revision, records) == (0, [admin.records[0], *admin.records[2:]])
        assert journal.damage != ""


def test_a_journal_whose_revision_runs_ahead_of_its_records_is_damaged(
    admin: Administrator, tmp_path: Path
) -> None:
    journal_of(tmp_path, admin.records)
    data = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(data.replace(b'"revision":2', b'"revision":9'))

    revision, records, journal = read_again(tmp_path, admin)

    assert (revision, records) == (1, admin.records)
    assert journal.damage == "a line is damaged"


def test_a_journal_without_checksums_is_read_as_it_was_by_older_versions(
    admin: Administrator, tmp_path: Path
) -> None:
    lines = [encode_line(Delta(number, (signed,))) for number, signed in enumerate(admin.records, 1)]
    (tmp_path / JOURNAL).write_bytes(b"".join(lines))

    revision, records, journal = read_again(tmp_path, admin)

    assert (revision, records, journal.damage) == (2, admin.records, "")


@pytest.mark.parametrize("line", [b'{"revision":3,"records":[],"more":1}', b'{"snapshot":{}}', b"2 {}"])
def test_of_a_journal_of_a_newer_version_all_that_is_understood_is_kept(
    admin: Administrator, tmp_path: Path, line: bytes
) -> None:
    journal_of(tmp_path, admin.records)
    before = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(line + b"\n" + before)

    assert read_again(tmp_path, admin)[1] == admin.records


def test_damage_that_a_full_disk_keeps_is_found_again_at_the_next_start(
    admin: Administrator, tmp_path: Path
) -> None:
    journal_of(tmp_path, [*admin.records, Signed(admin.remove(IDENTITY).body, bytes(64))])
    before = (tmp_path / JOURNAL).read_bytes()

    for _ in range(2):
        with full_disk(10):
            revision, records, journal = read_again(tmp_path, admin)
        assert (revision, records) == (2, admin.records[:2])
        assert "removal 3" in journal.damage
        assert (tmp_path / JOURNAL).read_bytes() == before

    assert read_again(tmp_path, admin)[2].damage != ""
    assert read_again(tmp_path, admin)[2].damage == ""


@pytest.mark.parametrize("room", [0, 1, 50])
def test_on_a_full_disk_the_journal_is_as_it_was_and_goes_on_later(
    admin: Administrator, tmp_path: Path, room: int
) -> None:
    journal = journal_of(tmp_path, admin.records)
    before = (tmp_path / JOURNAL).read_bytes()
    later = admin.remove(IDENTITY)

    for _ in range(2):
        with full_disk(len(before) + room), pytest.raises(StorageError, match="cannot be written"):
            journal.append(Delta(3, (later,)))
        assert (tmp_path / JOURNAL).read_bytes() == before

    journal.append(Delta(3, (later,)))
    assert read_again(tmp_path, admin)[:2] == (3, admin.records)


def test_who_appends_without_having_read_loses_nothing(admin: Administrator, tmp_path: Path) -> None:
    journal_of(tmp_path, admin.records[:1])

    with full_disk(1), pytest.raises(StorageError):
        Journal(tmp_path).append(Delta(2, (admin.records[1],)))
    Journal(tmp_path).append(Delta(2, (admin.records[1],)))

    assert read_again(tmp_path, admin)[:2] == (2, admin.records)


def test_compaction_keeps_all_that_counts_and_the_revision(admin: Administrator, tmp_path: Path) -> None:
    ledger, journal = admin.ledger(), journal_of(tmp_path, admin.records)
    padding = admin.records[0]
    journal.append(Delta(3, (padding,) * 3000))
    large = (tmp_path / JOURNAL).stat().st_size

    journal.compact(ledger, 77)
    small = (tmp_path / JOURNAL).stat().st_size
    assert read_again(tmp_path, admin)[:2] == (77, admin.records)

    later = admin.remove(IDENTITY)
    journal.append(Delta(78, (later,)))
    assert large > 1 << 20 > small
    assert mode_of(tmp_path / JOURNAL) == 0o600
    assert read_again(tmp_path, admin)[:2] == (78, admin.records)


def test_a_small_journal_is_left_alone(admin: Administrator, tmp_path: Path) -> None:
    journal = journal_of(tmp_path, admin.records * 5)
    before = (tmp_path / JOURNAL).read_bytes()

    journal.compact(admin.ledger(), 10)

    assert (tmp_path / JOURNAL).read_bytes() == before


def test_a_compaction_that_fails_leaves_the_journal(admin: Administrator, tmp_path: Path) -> None:
    journal = journal_of(tmp_path, admin.records)
    journal.append(Delta(3, (admin.records[0],) * 3000))
    before = (tmp_path / JOURNAL).read_bytes()

    with full_disk(10), pytest.raises(StorageError, match="cannot be written"):
        journal.compact(admin.ledger(), 3)

    assert (tmp_path / JOURNAL).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [JOURNAL]
    assert read_again(tmp_path, admin)[:2] == (3, admin.records)


def test_the_mesh_itself_looks_up_the_names_of_coordinator_and_endpoints(
    node: NodeFile,
) -> None:
    named = replace(node, hosts=("Home.Example.net:51820", "192.0.2.1:51820"))

    assert named.underlay_names == {"vpn.example.com", "home.example.net", "192.0.2.1"}
