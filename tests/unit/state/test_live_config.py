"""The configuration that the running server uses, for commands while its file is half edited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pdns.config.schema import Config, Feed, LoadedRecords, State, Upstream
from pdns.state import live_config
from pdns.state.lock import StateDirectory

BROKEN = '[[feed]]\nname = "ne'


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """Of a server that runs, started with `pdns.toml` beside it."""
    path = tmp_path / "state"
    directory = StateDirectory(path, "pdns.toml")
    write(path, tmp_path / "pdns.toml")
    yield path
    directory.close()


def write(state: Path, file: Path, state_dir: str = "") -> None:
    config = Config(
        upstream=Upstream(servers=("udp://127.0.0.1:9",)),
        state=State(dir=state_dir or str(state)),
        feed=(Feed(name="live", url="file:x"),),
    )
    live_config.write(state, file, config)


@pytest.mark.parametrize(
    "text",
    [
        '[state]\ndir = "state"\n' + BROKEN,
        "[state] # where\n  dir = 'state'  # here\n" + BROKEN,
        BROKEN + '\n[state]\ndir = "{state}"\n',
        '[state]\ndir = "state"\n[server]\nlisten = 7\n',
    ],
)
def test_it_is_found_by_the_state_directory(state: Path, tmp_path: Path, text: str) -> None:
    """As far as that can be made out of the file, wherever the mistake is."""
    file = tmp_path / "pdns.toml"
    file.write_text(text.replace("{state}", str(state)))
    found = live_config.of_running_server(file)
    assert found is not None
    assert [feed.name for feed in found.feed] == ["live"]
    assert (state / live_config.FILE_NAME).stat().st_mode & 0o077 == 0


def test_another_file_has_another_server(state: Path, tmp_path: Path) -> None:
    """The server that runs on the directory was started with another file: its configuration says nothing about this one."""
    other = tmp_path / "other.toml"
    other.write_text(f'[state]\ndir = "{state}"\n{BROKEN}')
    assert live_config.of_running_server(other) is None


def test_without_a_server_there_is_none(tmp_path: Path) -> None:
    """Also where an earlier one has left its configuration, and where what is there is damaged."""
    file, state = tmp_path / "pdns.toml", tmp_path / "state"
    file.write_text(f'[state]\ndir = "state"\n{BROKEN}')
    assert live_config.of_running_server(file) is None
    directory = StateDirectory(state, "pdns.toml")
    write(state, file)
    (state / live_config.FILE_NAME).write_bytes(b'{"file":"x"}')
    assert live_config.of_running_server(file) is None
    write(state, file)
    directory.close()
    assert live_config.of_running_server(file) is None


def test_it_does_not_lead_elsewhere(state: Path, tmp_path: Path) -> None:
    """Root trusts the configuration file for where the state directory is, and no file that its user could have written."""
    file = tmp_path / "pdns.toml"
    file.write_text(f'[state]\ndir = "state"\n{BROKEN}')
    write(state, file, state_dir="/etc")
    found = live_config.of_running_server(file)
    assert found is not None
    assert found.state.dir == str(state)


def test_a_server_of_an_earlier_version(state: Path, tmp_path: Path) -> None:
    """It runs on when new files are installed: its `local.forward` is what the zone is that replaced it."""
    file = tmp_path / "pdns.toml"
    file.write_text('[state]\ndir = "state"\n' + BROKEN)
    path = state / live_config.FILE_NAME
    written = msgspec.json.decode(path.read_bytes())
    del written["checksum"], written["config"]["zone"]
    written["config"]["local"] = {"forward": ["corp.internal"]}
    path.write_bytes(msgspec.json.encode(written))
    found = live_config.of_running_server(file)
    assert found is not None
    assert [zone.names for zone in found.zone] == [("corp.internal",)]
    written["config"]["local"] = {"unheard_of": 1}
    path.write_bytes(msgspec.json.encode(written))
    assert live_config.of_running_server(file) is None


def test_local_records_that_are_too_long(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands need the rest of the configuration."""
    file = tmp_path / "pdns.toml"
    file.write_text('[state]\ndir = "state"\n' + BROKEN)
    live = live_config.read(state).config
    for size, table in ((1000, b"\0" * 1000), (10_000, b"")):
        monkeypatch.setattr(live_config, "MAX_BYTES", 9000)
        live_config.write(state, file, msgspec.structs.replace(live, loaded_records=LoadedRecords(table=b"\0" * size)))
        found = live_config.of_running_server(file)
        assert found is not None
        assert (found.loaded_records.table if found.loaded_records is not msgspec.UNSET else b"") == table
