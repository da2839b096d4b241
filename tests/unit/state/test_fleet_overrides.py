"""Entries of a publisher beside those of a node, in one file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from feeds.commands import CommandRunner
from pdns.state import overrides
from pdns.state.commands import Command
from pdns.state.overrides import Disabled, FleetOverrides, Indicator, Overrides

THERE = Indicator(name="bad.example", action="block", reason="seen", author="alice", added_s=1.0)
OFF = Disabled(reason="bad list", author="alice", since_s=1.0, until_s=9e9)


class NoFeeds:
    def names(self) -> list[str]:
        return ["listed"]

    async def hold_back(self, feed: str, name: str, reason: str) -> str:
        raise AssertionError

    async def release(self, feed: str, name: str) -> str:
        raise AssertionError

    async def release_all(self, feed: str, category: str, kind: str) -> str:
        raise AssertionError

    async def drop(self, feed: str, name: str) -> str:
        raise AssertionError


def said(runner: CommandRunner, command: str, **order: str) -> str:
    outcome = asyncio.run(runner.carry_out(Command(command=command, user="bob", reason="x", **order)))  # type: ignore[arg-type]
    return f"{outcome.done}: {outcome.text}"


def test_entries_of_both(tmp_path: Path) -> None:
    """Readers see all, marked; the node's own entry wins; the publisher's cannot be ended here, and end when it ends them."""
    runner = CommandRunner(tmp_path, NoFeeds())
    fleet = FleetOverrides(indicators=(THERE,), disabled={"listed": OFF})
    assert runner.adopt(fleet)
    assert not runner.adopt(fleet)
    (seen,) = overrides.read(tmp_path).indicators
    assert (seen.name, seen.author) == ("bad.example", "fleet: alice")
    assert overrides.read(tmp_path).disabled["listed"].author == "fleet: alice"
    assert "use `pdns indicators remove` there, or decide otherwise for this node: pdns allow" in said(
        runner, "remove", name="bad.example"
    )
    assert "use `pdns feeds enable` there" in said(runner, "enable", feed="listed")
    assert said(runner, "allow", name="bad.example").startswith("True")
    (seen,) = overrides.read(tmp_path).indicators
    assert (seen.action, seen.author) == ("allow", "bob")
    assert said(runner, "remove", name="bad.example").startswith("True")
    assert [one.author for one in overrides.read(tmp_path).indicators] == ["fleet: alice"]
    again = CommandRunner(tmp_path, NoFeeds())
    assert again.overrides().disabled
    assert again.adopt(None)
    assert overrides.read(tmp_path).at(2.0) == Overrides(revision=overrides.read(tmp_path).revision)


def test_commands_that_do_not_fit(tmp_path: Path) -> None:
    """A command that is refused for this part in the fleet says what to do instead."""
    runner = CommandRunner(tmp_path, NoFeeds())
    runner.refused_here = {"hold": "do it there"}
    assert said(runner, "hold", feed="listed") == "False: do it there"
