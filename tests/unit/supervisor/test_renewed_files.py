"""Files that are replaced while the server runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pdns.config.certificate_files import CertificatePair, read_pair
from pdns.errors import InvalidCertificate
from pdns.supervisor.renewed_files import PATIENCE_S, RenewedFiles
from tests.certificates import Issued, issue, write_pair

OLD, NEW = issue(), issue()


class Pair:
    """A pair of files, and how often its files were found broken."""

    def __init__(self, cert: Path, key: Path) -> None:
        self.failures = 0
        self.now_s = 100.0
        self.files: RenewedFiles[CertificatePair] = RenewedFiles(
            "listener[0]", (cert, key), lambda: read_pair(cert, key), self.fail
        )

    def fail(self) -> None:
        self.failures += 1

    def looks(self, times: int = 2, step_s: float = 0.25) -> list[bool]:
        results = []
        for _ in range(times):
            self.now_s += step_s
            results.append(self.files.look(self.now_s))
        return results

    @property
    def used(self) -> str:
        return self.files.value.details.sha256


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(*write_pair(tmp_path, OLD))


def replace(directory: Path, issued: Issued, name: str) -> None:
    """As an atomic rename does it: a new inode."""
    write_pair(directory, issued, name="new-")
    (directory / f"new-{name}").rename(directory / name)


def test_unchanged_files_are_left_alone(pair: Pair) -> None:
    """Nothing is read while nothing changes."""
    assert pair.looks(5) == [False] * 5


def test_a_renewal_is_used_once_at_rest(pair: Pair, tmp_path: Path) -> None:
    """The first look sees the change, the second one that it is over."""
    write_pair(tmp_path, NEW)
    assert pair.looks(3) == [False, True, False]
    assert pair.used == NEW.sha256


def test_the_same_content_again_is_nothing_new(pair: Pair, tmp_path: Path) -> None:
    """A file that was only touched changes nothing."""
    write_pair(tmp_path, OLD)
    assert pair.looks(3) == [False] * 3


def test_both_files_are_waited_for(pair: Pair, tmp_path: Path) -> None:
    """The certificate comes first, the key a while later: no error in between, and the old pair is in force."""
    replace(tmp_path, NEW, "fullchain.pem")
    assert pair.looks(10) == [False] * 10
    assert (pair.used, pair.failures, pair.files.problem) == (OLD.sha256, 0, "")
    replace(tmp_path, NEW, "privkey.pem")
    assert pair.looks() == [False, True]
    assert pair.used == NEW.sha256


def test_links_that_are_swapped(tmp_path: Path) -> None:
    """As certbot does it: links in `live`, numbered files in `archive`."""
    archive, live = tmp_path / "archive", tmp_path / "live"
    for directory in (archive, live):
        directory.mkdir()
    write_pair(archive, OLD, name="1-")
    for name in ("fullchain.pem", "privkey.pem"):
        (live / name).symlink_to(f"../archive/1-{name}")
    pair = Pair(live / "fullchain.pem", live / "privkey.pem")
    write_pair(archive, NEW, name="2-")
    assert pair.looks() == [False, False]
    for name in ("privkey.pem", "fullchain.pem"):
        (live / name).unlink()
        assert pair.looks(1) == [False]
        (live / name).symlink_to(f"../archive/2-{name}")
        assert pair.looks(1) == [False]
    assert pair.looks(2).count(True) == 1
    assert pair.used == NEW.sha256
    assert pair.failures == 0


def test_broken_files_leave_the_previous_ones(pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After some patience it is said once for each version, and repaired files are used."""
    cert = tmp_path / "fullchain.pem"
    cert.write_text("half a certif")
    pair.looks()
    assert pair.failures == 0
    pair.looks(int(PATIENCE_S) + 5, step_s=1.0)
    assert pair.failures == 1
    said = f"listener[0].cert_file: expected a file with PEM certificates: {cert} has none"
    assert pair.files.problem == said
    assert caplog.messages == [f"{said}: not used, the previous one stays in force"]
    cert.unlink()
    pair.looks(3)
    assert pair.failures == 2
    assert "cannot be read" in pair.files.problem
    assert pair.used == OLD.sha256
    write_pair(tmp_path, NEW)
    assert True in pair.looks(3)
    assert (pair.used, pair.files.problem) == (NEW.sha256, "")


def test_a_previous_version_put_back(pair: Pair, tmp_path: Path) -> None:
    """The problem is over, without anything new."""
    cert = tmp_path / "fullchain.pem"
    cert.rename(tmp_path / "aside.pem")
    pair.looks(int(PATIENCE_S) + 5, step_s=1.0)
    assert pair.files.problem
    (tmp_path / "aside.pem").rename(cert)
    pair.looks(3)
    assert pair.files.problem == ""


def test_a_file_that_is_written_slowly(pair: Pair, tmp_path: Path) -> None:
    """Half of a file is never used, and is no failure."""
    write_pair(tmp_path, NEW)
    whole = (tmp_path / "fullchain.pem").read_bytes()
    for size in range(0, len(whole), 100):
        (tmp_path / "fullchain.pem").write_bytes(whole[:size])
        os.utime(tmp_path / "fullchain.pem")
        assert pair.looks(1) == [False]
    (tmp_path / "fullchain.pem").write_bytes(whole)
    assert True in pair.looks(3)
    assert pair.failures == 0


def test_broken_at_the_start(tmp_path: Path) -> None:
    """Nothing is in force then."""
    cert, key = write_pair(tmp_path, OLD)
    key.unlink()
    with pytest.raises(InvalidCertificate):
        Pair(cert, key)
