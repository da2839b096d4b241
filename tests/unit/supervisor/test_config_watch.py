"""The configuration file and the files with local records that it names: a change of any is noticed once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pdns.config.load import load
from pdns.errors import ConfigErrors
from pdns.supervisor.config_watch import ConfigWatch

BASE = '[upstream]\nservers = ["192.0.2.1"]\n'


class LocalFiles:
    """A configuration and its watch, looked at as often as a test says."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.path = directory, directory / "pdns.toml"
        self.hosts, self.zone = directory / "hosts", directory / "zone"
        self.hosts.write_text("10.0.0.1 a.example\n")
        self.zone.write_text("b.example. A 10.0.0.2\n")
        self.write('hosts_files = ["hosts"]')
        self.watch = ConfigWatch(self.path)
        self.watch.follow(load(self.path))

    def write(self, local: str) -> None:
        self.path.write_text(f"{BASE}[local]\n{local}\n")

    def changed(self) -> bool:
        """Whether a change is noticed within two looks, and only one."""
        looks = [self.watch.changed() for _ in range(4)]
        assert looks.count(True) <= 1
        return True in looks[:2]


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    return LocalFiles(tmp_path)


def test_each_file(files: LocalFiles) -> None:
    """Nothing at first; then each file that changes, is replaced or leaves."""
    assert not files.changed()
    files.hosts.write_text("10.0.0.1 other.example\n")
    assert files.changed()
    files.hosts.unlink()
    assert files.changed()
    files.write('hosts_files = ["hosts"]\nnever_forward = ["x"]')
    assert files.changed()
    files.zone.write_text("")
    assert not files.changed(), "it is not named"


def test_another_set_of_files(files: LocalFiles) -> None:
    """A file that is named now is looked at, one that is not named no longer."""
    files.write('zone_files = ["zone"]')
    assert files.changed()
    files.watch.seen()
    files.watch.follow(load(files.path))
    files.hosts.write_text("")
    assert not files.changed()
    files.zone.write_text("c.example. A 10.0.0.3\n")
    assert files.changed()


def test_a_change_between_loading_and_watching(files: LocalFiles) -> None:
    """It is noticed: what counts is the version that was read."""
    files.write('zone_files = ["zone"]')
    files.watch.seen()
    config = load(files.path)
    files.zone.write_text("c.example. A 10.0.0.3\n")
    files.watch.follow(config)
    assert files.changed()


def test_a_file_that_keeps_the_configuration_from_loading(files: LocalFiles) -> None:
    """Its correction is noticed, though no configuration with it was ever live."""
    files.zone.write_text("broken")
    files.write('hosts_files = ["hosts"]\nzone_files = ["zone", "missing"]')
    files.watch.seen()
    with pytest.raises(ConfigErrors):
        load(files.path)
    files.watch.follow_broken()
    assert not files.changed()
    files.zone.write_text("c.example. A 10.0.0.3\n")
    assert files.changed()
    (files.directory / "missing").write_text("")
    assert files.changed()


@pytest.mark.parametrize("text", ["[local", "local = 1", "[local]\nhosts_files = 1", '[local]\nzone_files = [1, "\\u0000"]'])
def test_a_configuration_that_is_broken_otherwise(files: LocalFiles, text: str) -> None:
    """There is nothing more to watch."""
    files.path.write_text(text)
    files.watch.seen()
    files.watch.follow_broken()
    assert not files.changed()


def test_what_is_left_out_is_logged(files: LocalFiles, caplog: pytest.LogCaptureFixture) -> None:
    """Once for each configuration."""
    files.hosts.write_text("10.0.0.1 a.example\nbad\n")
    with caplog.at_level(logging.WARNING):
        files.watch.follow(load(files.path))
    assert [record.getMessage() for record in caplog.records] == [
        f'{files.hosts}: line 2: expected an address, got "bad": left out'
    ]
