"""Noticing that the configuration file is another one, and reading one version of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pdns.config.watch import FileWatch, load_version
from pdns.errors import ConfigErrors

TEXT = '[upstream]\nservers = ["192.0.2.53"]\n'


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    """What is loaded comes with the first digits of what sha256sum says."""
    path = tmp_path / "pdns.toml"
    path.write_text(TEXT)
    loaded = load_version(path)
    assert loaded.config.upstream.servers == ("udp://192.0.2.53:53",)
    assert loaded.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()[:12]


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    """As from loading itself."""
    with pytest.raises(ConfigErrors, match="no such file"):
        load_version(tmp_path / "pdns.toml")


def test_a_change_is_told_once_when_it_has_come_to_rest(tmp_path: Path) -> None:
    """Not while it is being written, not again afterwards."""
    path = tmp_path / "pdns.toml"
    path.write_text(TEXT)
    watch = FileWatch(path)
    assert not watch.changed()
    for length in (3, 9):
        path.write_text("x" * length)
        assert not watch.changed()
    assert watch.changed()
    assert not watch.changed()


def test_removal_and_return_are_changes(tmp_path: Path) -> None:
    """A file that goes away is one, and so is the one that comes."""
    path = tmp_path / "pdns.toml"
    path.write_text(TEXT)
    watch = FileWatch(path)
    path.unlink()
    assert [watch.changed(), watch.changed(), watch.changed()] == [False, True, False]
    path.write_text(TEXT)
    assert [watch.changed(), watch.changed(), watch.changed()] == [False, True, False]


def test_a_swapped_link_is_a_change(tmp_path: Path) -> None:
    """Also when the link is in the middle of the path."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "pdns.toml").write_text(TEXT)
    (tmp_path / "data").symlink_to("v1")
    (tmp_path / "pdns.toml").symlink_to("data/pdns.toml")
    watch = FileWatch(tmp_path / "pdns.toml")
    (tmp_path / "new").symlink_to("v2")
    (tmp_path / "new").replace(tmp_path / "data")
    assert [watch.changed(), watch.changed()] == [False, True]


def test_what_was_acted_on_otherwise_is_not_told(tmp_path: Path) -> None:
    """After a reload by signal, the same version is no news."""
    path = tmp_path / "pdns.toml"
    path.write_text(TEXT)
    watch = FileWatch(path)
    path.write_text(TEXT + "#")
    watch.seen()
    assert not watch.changed()
    assert not watch.changed()
