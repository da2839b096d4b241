"""What people type and others will read on a terminal or in a log: bounded, on one line, and in the order in which it stands."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from feeds import audit
from feeds.commands import CommandRunner
from pdns.free_text import FreeTextError, accepted, visible
from pdns.state import commands, overrides
from pdns.state.commands import Command, InvalidCommand, PendingCommand, parse_duration
from pdns.state.overrides import Indicator
from tests.unit.feeds.test_commands import Feeds, audited

HOSTILE = {
    "bidi": "ticket \u202e4711", "isolate": "a\u2066b", "escape": "\x1b[2J\x1b]0;x\a", "line": "one\ntwo", "return": "one\rtwo",
    "separator": "one\u2028two", "c1": "a\x9b31mb", "zero width": "a\u200bb", "tag": "a\U000e0041b", "nul": "a\0b",
    "surrogate": "a\udcffb", "private": "a\ue000b", "long": "x" * 201, "60 kB": "\u202e" * 30_000,
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_refused(text: str) -> None:
    """With a reason that quotes nothing of it; shown all the same, it cannot change what stands around it."""
    with pytest.raises(FreeTextError) as caught:
        accepted("reason", text, 200)
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 200
    assert visible(text).isprintable()
    assert len(visible(text)) <= 500


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("  ticket 4711\t", "ticket 4711"),
        ("Größe\u00a0日本語 🙂\u05d0", "Größe 日本語 🙂\u05d0"),
        ("x" * 200, "x" * 200),
    ],
)
def test_accepted(text: str, expected: str) -> None:
    """Any language; every space is one."""
    assert accepted("reason", text, 200) == expected


FIELDS = ("reason", "user", "name", "feed", "category", "kind")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("text", ["\u202e" * 20_000, "a\x1b[31m", "x" * 5000], ids=["bidi", "escape", "long"])
def test_no_way_around(tmp_path: Path, field: str, text: str) -> None:
    """Such a command is refused before it is written; one that comes as a file is refused, and neither the log's line, the
    answer nor the record has more of it than is safe.
    """
    good = {"command": "block", "user": "ann", "name": "x.example", "reason": "x"}
    order = msgspec.convert({**good, field: text}, Command)
    with pytest.raises(InvalidCommand, match=field):
        PendingCommand(tmp_path, order)
    assert list(tmp_path.rglob("*.order")) == []
    outcome = asyncio.run(CommandRunner(tmp_path, Feeds()).carry_out(order))
    assert not outcome.done
    assert field in outcome.text
    assert outcome.text.isascii()
    assert len(outcome.text) < 300
    (line,) = audited(tmp_path)
    assert all(value.isprintable() for value in msgspec.structs.asdict(line).values() if isinstance(value, str))
    assert (tmp_path / audit.FILE_NAME).stat().st_size < 2000
    assert not (tmp_path / overrides.FILE_NAME).exists()


@pytest.mark.parametrize("for_s", [-1.0, 1e18, 999999999 * 604800.0, commands.MAX_FOR_S + 1])
@pytest.mark.parametrize("command", ["disable", "block", "allow"])
def test_durations_are_bounded(tmp_path: Path, command: str, for_s: float) -> None:
    """Commands from every source."""
    order = msgspec.convert(
        {"command": command, "user": "ann", "feed": "alpha", "name": "x.example", "reason": "x", "for_s": for_s}, Command
    )
    with pytest.raises(InvalidCommand, match="at most"):
        PendingCommand(tmp_path, order)
    outcome = asyncio.run(CommandRunner(tmp_path, Feeds()).carry_out(order))
    assert (outcome.done, "at most 366 days" in outcome.text) == (False, True)


@pytest.mark.parametrize("text", ["999999999w", "367d", "53w", "999999999"])
def test_long_times(text: str) -> None:
    """As the command line and the API spell them."""
    with pytest.raises(ValueError, match="at most 366 days"):
        parse_duration(text)
    assert parse_duration("366d") == commands.MAX_FOR_S


def test_what_was_accepted_before_is_shown_safely(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Entries from an earlier version, or written by somebody else: no control character reaches the terminal, no time raises."""
    from pdns.cli import indicators  # noqa: PLC0415 (the command line takes long to import)

    (tmp_path / "pdns.toml").write_text(f'[upstream]\nservers = ["192.0.2.1"]\n[state]\ndir = "{tmp_path}"\n')
    entry = Indicator(
        name="x.example", action="block", reason="\u202eevil\x1b[2J", author="ann\n", added_s=1.0, expires_s=time.time() + 1e15
    )
    (tmp_path / overrides.FILE_NAME).write_bytes(msgspec.json.encode(overrides.Overrides(indicators=(entry,))))
    assert indicators.show(tmp_path / "pdns.toml") == 0
    shown = capsys.readouterr().out
    assert "?evil?[2J" in shown
    assert all(line.isprintable() for line in shown.splitlines())
