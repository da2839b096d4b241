"""Configurations as text, loaded in an empty directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.config.load import load
from pdns.config.schema import Config
from pdns.errors import ConfigErrors

UPSTREAM = '[upstream]\nservers = ["192.0.2.53"]\n'
FEED = '[[feed]]\nname = "{}"\nurl = "https://feeds.example.net/{}"\n'


def make_home(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`directory` is the current one, and the home has nothing in it."""
    monkeypatch.chdir(directory)
    monkeypatch.setenv("HOME", str(directory / "home"))
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)


def loaded(text: str, *, resolv_conf: str | None = None) -> Config:
    Path("pdns.toml").write_text(text)
    if resolv_conf is not None:
        Path("resolv.conf").write_text(resolv_conf)
    return load(Path("pdns.toml"), resolv_conf=Path("resolv.conf"))


def errors(text: str, *, resolv_conf: str | None = None) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        loaded(text, resolv_conf=resolv_conf)
    return [str(error) for error in caught.value.errors]
