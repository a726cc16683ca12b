"""The certificate of a coordinator: read again when its files change, and never replaced by half a pair."""

import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.mesh.certificates import self_signed
from tests.mesh.coordinator import ALICE, Site, in_a_loop
from tests.mesh.processes import Process
from wgpy.mesh.clock import written
from wgpy.mesh.invitation import BY_NAME
from wgpy.node.coordinator_client import Address, Denied, Unreachable

KEY, CERTIFICATE = "tls.key", "tls.crt"


def other_site(tmp_path: Path) -> tuple[Site, Site]:
    """A site, and one whose certificate the first one gets."""
    return Site.create(tmp_path / "prod"), Site.create(tmp_path / "other")


def renew(site: Site, other: Site, *names: str) -> None:
    for name in names:
        (other.folder / name).replace(site.folder / name)


def expect(site: Site, other: Site) -> None:
    """Expect the other site's key at the site's address."""
    site.address = Address(site.address.url, other.address.key_hash)


@in_a_loop
async def test_files_that_changed_are_read_for_the_next_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site, other = other_site(tmp_path)
    caplog.set_level("INFO")
    async with site.serve():
        assert await site.submit() == []
        renew(site, other, KEY, CERTIFICATE)
        expect(site, other)

        assert await site.submit() == []
        assert await site.submit() == []
    assert caplog.text.count("the certificate was read again") == 1


@in_a_loop
async def test_a_subscription_outlives_the_certificate_that_it_began_with(tmp_path: Path) -> None:
    site, other = other_site(tmp_path)
    async with site.serve():
        await site.found(ALICE)
        async with site.follow(ALICE) as alice:
            await alice.received()
            renew(site, other, KEY, CERTIFICATE)
            expect(site, other)
            await site.submit(site.administrator.rule("any", "any"))

            assert (await alice.received()).records


@pytest.mark.parametrize("name", [KEY, CERTIFICATE])
@in_a_loop
async def test_half_a_pair_keeps_the_former_one_until_the_other_half_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    site, other = other_site(tmp_path)
    async with site.serve():
        renew(site, other, name)

        assert await site.submit() == []
        assert await site.submit() == []
        assert caplog.text.count("the former certificate stays in force") == 1
        assert "are not a certificate and its key" in caplog.text

        renew(site, other, *({KEY, CERTIFICATE} - {name}))
        expect(site, other)
        assert await site.submit() == []


@pytest.mark.parametrize("content", [b"", b"-----BEGIN", None])
@pytest.mark.parametrize("name", [KEY, CERTIFICATE])
@in_a_loop
async def test_what_is_broken_or_gone_keeps_the_former_pair(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, content: bytes | None
) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        if content is None:
            (site.folder / name).unlink()
        else:
            (site.folder / name).write_bytes(content)

        assert await site.submit() == []
    assert caplog.text.count("the former certificate stays in force") == 1


@in_a_loop
async def test_a_link_to_newer_files_is_a_change(tmp_path: Path) -> None:
    site, other = other_site(tmp_path)
    live, archive = tmp_path / "live", tmp_path / "archive"
    for number, source in enumerate((site, other)):
        shutil.copytree(source.folder, archive / str(number))
    live.symlink_to(archive / "0")
    for name in KEY, CERTIFICATE:
        (site.folder / name).unlink()
        (site.folder / name).symlink_to(live / name)
    async with site.serve():
        assert await site.submit() == []

        (tmp_path / "new").symlink_to(archive / "1")
        (tmp_path / "new").replace(live)

        with pytest.raises(Denied, match="another key"):
            await site.submit()
        expect(site, other)
        assert await site.submit() == []


@in_a_loop
async def test_a_certificate_that_was_renewed_is_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site, renewed = other_site(tmp_path)
    async with site.serve() as served:
        renew(site, renewed, KEY, CERTIFICATE)

        served.renew()

        expect(site, renewed)
        assert await site.submit() == []
        (site.folder / "tls.key").write_bytes(b"")
        served.renew()
        assert "are not a certificate and its key" in caplog.text
        assert await site.submit() == []


@in_a_loop
async def test_a_hangup_reads_it_again_and_ends_nothing(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    process = Process(site)
    await site.found(ALICE)
    async with site.follow(ALICE) as alice:
        await alice.received()

        process.send(signal.SIGHUP)

        await site.submit(site.administrator.rule("any", "any"))
        assert (await alice.received()).records
    _, log = process.end(signal.SIGTERM)
    assert "the certificate was read again" in log


@pytest.mark.parametrize(
    ("days", "what"), [((-2, -1), "certificate has expired"), ((1, 2), "certificate is not yet valid")]
)
@in_a_loop
async def test_a_certificate_that_a_clock_refuses_is_refused_with_what_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: tuple[int, int], what: str
) -> None:
    site = Site.create(tmp_path)
    for name, content in zip((CERTIFICATE, KEY), self_signed("127.0.0.1", days), strict=True):
        (site.folder / name).write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(site.folder / CERTIFICATE))
    async with site.serve():
        site.address = Address(site.address.url, BY_NAME)
        today = written(int(time.time()))[:10]

        with pytest.raises(Unreachable, match=f"does not answer: {what}, and this host's clock says {today}"):
            await site.submit()
