"""The lock on the state directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pdns.errors import ConfigError
from pdns.state.lock import StateDirectory


def test_one_at_a_time(tmp_path: Path) -> None:
    """Who comes second is told who is there; after `close` it is free."""
    path = tmp_path / "a" / "state"
    first = StateDirectory(path, "pdns.toml")
    with pytest.raises(ConfigError) as raised:
        StateDirectory(path, "pdns.toml")
    me = os.getpid()
    said = f"pdns.toml: state.dir: {path} is in use by another pdns serve (process {me}): to stop it, `kill {me}`"
    assert str(raised.value) == said
    first.close()
    StateDirectory(path, "pdns.toml").close()


def test_it_is_made_for_us_alone(tmp_path: Path) -> None:
    """A directory that is made is closed to others."""
    StateDirectory(tmp_path / "state", "pdns.toml").close()
    assert (tmp_path / "state").stat().st_mode & 0o007 == 0


def test_one_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """Where there is a file already, the error names the key and the path."""
    (tmp_path / "state").write_text("")
    with pytest.raises(ConfigError, match=r"^pdns.toml: state.dir: .*/state: file exists$"):
        StateDirectory(tmp_path / "state", "pdns.toml")
