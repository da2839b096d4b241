"""Commands of administrators: one process carries them out and records them. A refusal names the next step."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from feeds import audit
from feeds.commands import MAX_INDICATORS, CommandRunner
from feeds.refusals import RefusedError
from pdns.state import commands, in_force, overrides
from pdns.state.commands import Command, Outcome
from pdns.state.in_force import InForce
from pdns.state.overrides import Disabled, Indicator, Overrides, OverridesWatch, as_csv
from pdns.wire.names import from_text

EVERYTHING = InForce(overrides=2**62, generation=2**62)  # as if workers had taken up whatever there is


class Feeds:
    """Two feeds without held updates or names."""

    def names(self) -> list[str]:
        return ["alpha", "beta"]

    async def hold_back(self, feed: str, name: str, reason: str) -> str:
        return f"{feed} {name} {reason}"

    async def release(self, feed: str, _name: str) -> str:
        raise RefusedError(f"feed {feed}: no update is held")

    async def release_all(self, feed: str, category: str, kind: str) -> str:
        return f"{feed} {category} {kind}"

    async def drop(self, feed: str, name: str) -> str:
        raise OSError(28, "No space left on device", name)


def carried_out(state_dir: Path, **order: object) -> Outcome:
    return asyncio.run(CommandRunner(state_dir, Feeds()).carry_out(msgspec.convert({"user": "ann", **order}, Command)))


def audited(state_dir: Path) -> list[audit.Line]:
    return [msgspec.json.decode(line, type=audit.Line) for line in (state_dir / audit.FILE_NAME).read_bytes().splitlines()]


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ({"command": "disable", "feed": "gamma", "for_s": 60, "reason": "x"}, "no feed gamma; feeds: alpha, beta"),
        ({"command": "disable", "feed": "alpha", "reason": "x"}, "say for how long"),
        ({"command": "disable", "feed": "alpha", "for_s": 60, "reason": " \t"}, "say why"),
        ({"command": "enable", "feed": "alpha"}, "is not switched off"),
        ({"command": "release", "feed": "alpha"}, "no update is held"),
        ({"command": "release"}, "no feed ; feeds: alpha, beta"),
        ({"command": "release", "kind": "suffix"}, "no kind suffix; kinds: shrink, growth"),
        ({"command": "release", "category": "pets"}, "no category pets; categories: malware"),
        ({"command": "release", "feed": "gamma", "all": True}, "no feed gamma"),
        ({"command": "release", "name": "a.example", "all": True}, "either one name"),
        ({"command": "drop", "feed": "alpha"}, "no space left"),
        ({"command": "block", "name": "http://x/", "reason": "x"}, "expected a domain name"),
        ({"command": "block", "name": ".", "reason": "x"}, "say which name"),
        ({"command": "block", "name": "", "reason": "x"}, "say which name"),
        ({"command": "allow", "name": "192.0.2.1", "reason": "x"}, "not an address"),
        ({"command": "allow", "name": "x.example"}, "say why"),
        ({"command": "block", "name": "com", "reason": "x"}, "every name below com would be blocked: it is a public suffix"),
        ({"command": "block", "name": "*.Co.UK.", "reason": "x"}, "every name below co.uk would be blocked"),
        ({"command": "allow", "name": "co.uk", "reason": "x"}, "every name below co.uk would be allowed"),
        ({"command": "remove", "name": "x.example"}, "there is no local entry for x.example"),
    ],
)
def test_refused_with_a_reason_and_on_record(tmp_path: Path, order: dict[str, object], text: str) -> None:
    """A command that makes no sense changes nothing. The answer says what to do, and the audit log has it as not done."""
    outcome = carried_out(tmp_path, **order)
    assert not outcome.done
    assert text in outcome.text
    assert not (tmp_path / overrides.FILE_NAME).exists()
    (line,) = audited(tmp_path)
    assert (line.user, line.command, line.done, line.outcome) == ("ann", order["command"], False, outcome.text)


@pytest.mark.parametrize("command", ["block", "allow"])
def test_a_public_suffix_needs_force(tmp_path: Path, command: str) -> None:
    """A name below which anybody may register others is blocked or allowed only with `force`. The refusal says so."""
    refused = carried_out(tmp_path, command=command, name="co.uk", reason="x")
    assert (refused.done, refused.needs_force) == (False, True)
    assert carried_out(tmp_path, command=command, name="co.uk", reason="x", force=True).done
    other = carried_out(tmp_path, command=command, name="council.co.uk", reason="x")
    assert (other.done, other.needs_force) == (True, False)


def test_an_opposite_entry_that_is_replaced_is_named(tmp_path: Path) -> None:
    """A command that reverses an entry says what was there, by whom and why; one that repeats it does not."""
    carried_out(tmp_path, command="allow", name="x.example", reason="ticket 1", user="bob")
    blocked = carried_out(tmp_path, command="block", name="x.example", reason="ticket 2")
    assert blocked.text == "x.example is blocked: ticket 2; this replaces an entry by bob, which allowed it: ticket 1"
    assert carried_out(tmp_path, command="block", name="x.example", reason="y").text == "x.example is blocked: y"
    (entry,) = overrides.read(tmp_path).indicators
    assert (entry.name, entry.action) == ("x.example", "block")


def test_the_record_is_only_added_to(tmp_path: Path) -> None:
    """Each command adds a line and leaves those before untouched. A line break in a reason forges no line."""
    before = b""
    for reason in ("one", "two\n{}", "three"):
        assert carried_out(tmp_path, command="block", name="X.Example.", reason=reason).done == reason.isprintable()
        now = (tmp_path / audit.FILE_NAME).read_bytes()
        assert now.startswith(before)
        assert len(now) > len(before)
        before = now
    assert [line.reason for line in audited(tmp_path)] == ["one", "two?{}", "three"]
    (entry,) = overrides.read(tmp_path).indicators  # the last command for a name counts
    assert (entry.name, entry.reason, entry.author, entry.expires_s) == ("x.example", "three", "ann", 0.0)


def test_a_bound_on_local_entries(tmp_path: Path) -> None:
    """Beyond it an entry is refused, with the way out. The entries that exist stay."""
    many = tuple(
        Indicator(name=f"n{number}.example", action="block", reason="x", author="ann", added_s=1.0)
        for number in range(MAX_INDICATORS)
    )
    (tmp_path / overrides.FILE_NAME).write_bytes(msgspec.json.encode(Overrides(indicators=many)))
    assert "make a feed of them" in carried_out(tmp_path, command="block", name="one.example", reason="x").text
    assert carried_out(tmp_path, command="allow", name="n7.example", reason="x").done
    assert len(overrides.read(tmp_path).indicators) == MAX_INDICATORS


def test_what_ends_by_itself_ends(tmp_path: Path) -> None:
    """An expired entry is neither in force nor in the file. `OverridesWatch` is due exactly when an entry expires."""
    now_s = time.time()
    disabled = {"alpha": Disabled(reason="x", author="ann", since_s=now_s, until_s=now_s + 0.2)}
    short = Indicator(name="x.example", action="block", reason="x", author="ann", added_s=now_s, expires_s=now_s + 100)
    (tmp_path / overrides.FILE_NAME).write_bytes(msgspec.json.encode(Overrides(disabled=disabled, indicators=(short,))))
    watch = OverridesWatch(tmp_path)
    assert watch.is_due(now_s)
    assert watch.load(now_s).disabled == {"alpha"}
    assert not watch.is_due(now_s + 0.1)
    assert watch.is_due(now_s + 0.2)
    rules = watch.load(now_s + 0.2)
    assert (rules.disabled, rules.everyones.find(from_text("a.x.example")) is None) == (frozenset(), False)
    assert watch.is_due(now_s + 100)
    assert not watch.load(now_s + 100)
    assert watch.is_due(now_s)  # the clock was ahead
    assert watch.load(now_s).disabled == {"alpha"}
    runner = CommandRunner(tmp_path, Feeds())
    time.sleep(0.25)
    assert asyncio.run(runner.look())
    assert (overrides.read(tmp_path).disabled, overrides.read(tmp_path).indicators) == ({}, (short,))


def test_a_damaged_file_is_reported_once(tmp_path: Path) -> None:
    """A worker that cannot read it keeps what it has, and looks again when it is another file."""
    path = tmp_path / overrides.FILE_NAME
    path.write_bytes(b"{")
    watch = OverridesWatch(tmp_path)
    with pytest.raises(msgspec.DecodeError):
        watch.load(time.time())
    assert not watch.is_due(time.time())
    assert carried_out(tmp_path, command="block", name="x.example", reason="x").done
    assert watch.is_due(time.time())
    assert watch.load(time.time()).everyones.find(from_text("x.example")) is not None


def test_commands_are_answered_in_turn(tmp_path: Path) -> None:
    """Each command gets its own answer. The directory is empty afterwards, and a file that is no command disturbs none."""
    told: list[set[str]] = []
    in_force.write(tmp_path, EVERYTHING)

    def tell() -> None:
        told.append({path.suffix for path in (tmp_path / commands.DIRECTORY).iterdir()} & {".answer"})

    async def both() -> list[Outcome]:
        runner = CommandRunner(tmp_path, Feeds(), tell)
        (tmp_path / commands.DIRECTORY / "1-1-1.order").write_bytes(b"rubbish")
        given = [
            asyncio.to_thread(
                commands.execute, tmp_path, Command(command="block", user="ann", name=f"n{number}.example", reason="x")
            )
            for number in range(4)
        ]
        tasks = asyncio.gather(*given)
        while not tasks.done():
            await runner.look()
            await asyncio.sleep(0.01)
        return await tasks

    assert [outcome.text for outcome in asyncio.run(both())] == [f"n{number}.example is blocked: x" for number in range(4)]
    assert list((tmp_path / commands.DIRECTORY).iterdir()) == []
    assert len(told) == 4
    assert told[0] == set()  # `tell` is called before the answer is written


def test_a_kill_switch_does_not_wait(tmp_path: Path) -> None:
    """While a release waits for a list to be parsed, other commands are carried out."""

    class Busy(Feeds):
        async def release(self, feed: str, _name: str) -> str:
            await free.wait()
            return f"feed {feed}: the update is released"

    free = asyncio.Event()
    in_force.write(tmp_path, EVERYTHING)

    async def both() -> tuple[str, str]:
        runner = CommandRunner(tmp_path, Busy())
        release = Command(command="release", user="ann", feed="alpha")
        slow = asyncio.ensure_future(asyncio.to_thread(commands.execute, tmp_path, release))
        while not commands.taken(tmp_path):  # noqa: ASYNC110 (a directory tells of no event)
            await asyncio.sleep(0.01)
        work = asyncio.ensure_future(runner.look_slowly())
        switch = Command(command="disable", user="ann", feed="beta", reason="x", for_s=60.0)
        quick = asyncio.ensure_future(asyncio.to_thread(commands.execute, tmp_path, switch))
        async with asyncio.timeout(20):
            while not quick.done():
                await runner.look()
                await asyncio.sleep(0.01)
        assert not slow.done()
        free.set()
        await work
        return quick.result().text, (await slow).text

    quick, slow = asyncio.run(both())
    assert "beta is switched off" in quick
    assert slow == "feed alpha: the update is released"
    assert set(overrides.read(tmp_path).disabled) == {"beta"}


def test_an_answer_waits_until_the_change_is_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is passed on when the workers have the change. After `IN_FORCE_S` it says that they do not have it yet."""
    runner = CommandRunner(tmp_path, Feeds())
    block = Command(command="block", user="ann", name="x.example", reason="x")
    command = commands.PendingCommand(tmp_path, block)
    assert asyncio.run(runner.look())
    assert command.outcome() is None
    in_force.write(tmp_path, InForce(overrides=overrides.read(tmp_path).revision - 1))
    assert command.outcome() is None
    in_force.write(tmp_path, InForce(overrides=overrides.read(tmp_path).revision))
    outcome = command.outcome()
    assert outcome is not None
    assert outcome.text == "x.example is blocked: x"
    monkeypatch.setattr(commands, "IN_FORCE_S", 0.0)
    command = commands.PendingCommand(tmp_path, block)
    assert asyncio.run(runner.look())
    assert command.outcome() is None
    time.sleep(0.01)
    outcome = command.outcome()
    assert outcome is not None
    assert "not every worker has taken it up" in outcome.text
    assert not outcome.done


def test_a_command_without_an_answer_is_withdrawn(tmp_path: Path) -> None:
    """After the timeout the command is removed, so that it is not carried out unexpectedly later."""
    with pytest.raises(commands.CommandError, match="no answer within"):
        commands.execute(tmp_path, Command(command="enable", user="ann", feed="alpha"), timeout_s=0.1)
    assert list((tmp_path / commands.DIRECTORY).iterdir()) == []


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("7D", 604800), ("1.5h", 5400)]
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    """Numbers with a usual unit are accepted."""
    assert commands.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1h", "h", "soon", "1y", "1h30m", "٣h", "9" * 20])
def test_other_texts_are_no_length_of_time(text: str) -> None:
    """They are refused, and the message says what to write."""
    with pytest.raises(ValueError, match="write 30m, 2h, 7d or 1w"):
        commands.parse_duration(text)


def test_cells_are_no_formulas() -> None:
    """The CSV has one line for each entry and no cell that a spreadsheet would calculate."""
    entry = Indicator(name="x.example", action="block", reason='=cmd|"/c calc"!A1', author="@ann", added_s=1.0)
    assert as_csv([entry]) == (
        'name,action,reason,author,added_s,expires_s,tenant\nx.example,block,"\'=cmd|""/c calc""!A1",\'@ann,1.0,0.0,\n'
    )


def put_in_the_way(path: Path, kind: str) -> None:
    """Put something that is no command at the path of one."""
    match kind:
        case "directory":
            path.mkdir()
        case "directory with a file":
            path.mkdir()
            (path / "x").touch()
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as unix:
                unix.bind(str(path))
        case "link to a pipe":
            os.mkfifo(path.with_name("pipe"))
            path.symlink_to("pipe")
        case "link to itself":
            path.symlink_to(path.name)
        case "link to a command":
            path.with_name("elsewhere").write_bytes(msgspec.json.encode(Command(command="enable", user="eve", feed="alpha")))
            path.symlink_to("elsewhere")
        case "sparse file":
            with path.open("wb") as file:
                file.truncate(1 << 40)
        case "not UTF-8":
            path.write_bytes(b'{"command":"enable","user":"\xff"}')
        case "nested deeply":
            path.write_bytes(b'{"command":"enable","user":"x","y":' + b"[" * 30_000)


@pytest.mark.parametrize("suffix", [commands.ORDER_SUFFIX, commands.ANSWER_SUFFIX])
@pytest.mark.parametrize(
    "kind",
    [
        "directory", "directory with a file", "pipe", "socket", "link to a pipe", "link to itself", "link to a command",
        "sparse file", "not UTF-8", "nested deeply",
    ],
)  # fmt: skip
def test_other_files_delay_no_command(tmp_path: Path, kind: str, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    """Anything else in the directory is removed with a warning. The command behind it is carried out at once."""
    in_force.write(tmp_path, EVERYTHING)

    async def both() -> str:
        runner = CommandRunner(tmp_path, Feeds())
        path = tmp_path / commands.DIRECTORY / f"1-1-1{suffix}"
        put_in_the_way(path, kind)
        with suppress(OSError):
            os.utime(path, (0, 0), follow_symlinks=False)  # an answer that was not fetched for long
        order = Command(command="block", user="ann", name="x.example", reason="x")
        given = asyncio.ensure_future(asyncio.to_thread(commands.execute, tmp_path, order))
        async with asyncio.timeout(20):
            while not given.done():
                await runner.look()
                await runner.look_slowly()
                await asyncio.sleep(0.01)
        return given.result().text

    assert asyncio.run(both()) == "x.example is blocked: x"
    left = {path.suffix for path in (tmp_path / commands.DIRECTORY).iterdir()}
    assert not left & {commands.ORDER_SUFFIX, commands.ANSWER_SUFFIX}
    said = [record.getMessage() for record in caplog.records if "1-1-1" in record.getMessage()]
    assert len(said) == (1 if suffix == commands.ORDER_SUFFIX else 0)


@pytest.mark.parametrize("kind", ["directory with a file", "pipe", "link to a pipe", "sparse file", "not UTF-8", "nested deeply"])
def test_an_unreadable_answer_is_an_error(tmp_path: Path, kind: str) -> None:
    """The caller gets an error and does not wait for a writer that never comes."""
    command = commands.PendingCommand(tmp_path, Command(command="enable", user="ann", feed="alpha"))
    (given,) = commands.taken(tmp_path)
    put_in_the_way(given.with_suffix(commands.ANSWER_SUFFIX), kind)
    with pytest.raises(commands.CommandError, match="answer"):
        command.outcome()


def test_more_commands_than_are_taken_at_a_time(tmp_path: Path) -> None:
    """At most `MAX_TAKEN` files that look like commands are read at a time, the oldest first."""
    directory = tmp_path / commands.DIRECTORY
    directory.mkdir()
    for number in range(commands.MAX_TAKEN + 100):
        (directory / f"{number}-1-1.order").touch()
    assert len(commands.taken(tmp_path)) == commands.MAX_TAKEN
    runner = CommandRunner(tmp_path, Feeds())
    for _ in range(2):
        asyncio.run(runner.look())
    assert list(directory.iterdir()) == []
