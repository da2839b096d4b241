"""Carries out the commands of administrators: the only writer of `overrides.json` and `audit.jsonl`."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec

from feeds import audit
from feeds.builder import BuildError
from feeds.credential_commands import CredentialCommands
from feeds.files import disk_reason
from feeds.kept_file import KeptFile
from feeds.protected_networks import network_key, network_text
from feeds.refusals import NeedsForceError, RefusedError, require_own
from feeds.report_closings import close_report, find_open
from feeds.suffixes import is_public_suffix
from pdns.clock import steady_s
from pdns.config.addresses import parse_allowed
from pdns.config.value_types import CATEGORIES, GUARD_KINDS
from pdns.errors import FeedError, InvalidAddress
from pdns.files.records import DamagedError
from pdns.files.safe_files import make_directory, remove
from pdns.state import commands, overrides
from pdns.state.commands import Command, CommandError, InvalidCommand, LaterCommandError, Outcome
from pdns.state.in_force import InForce
from pdns.state.overrides import Disabled, FleetOverrides, Indicator, Overrides, Paused, Tapped

MAX_INDICATORS: Final = 10_000
MAX_TAP_S: Final = 86400.0
_ABOUT_UPDATES: Final = frozenset(("hold", "release", "drop"))
_log = logging.getLogger(__name__)


class CommandedFeeds(Protocol):
    """What commands act on. Each method returns what it did, in words; raises `RefusedError`, `OSError`, `BuildError`."""

    def names(self) -> list[str]: ...
    async def hold_back(self, feed: str, name: str, reason: str) -> str: ...
    async def release(self, feed: str, name: str) -> str: ...
    async def release_all(self, feed: str, category: str, kind: str) -> str: ...
    async def drop(self, feed: str, name: str) -> str: ...


class CommandRunner:
    """One for each state directory."""

    def __init__(
        self,
        state_dir: Path,
        feeds: CommandedFeeds,
        tell: Callable[[], object] = lambda: None,
        generation: Callable[[], int] = lambda: 0,
    ) -> None:
        """`tell` is called after each command, before its result is reported, so that the effect is visible by then.

        `generation` returns the number of the live blockset.
        """
        self._state_dir = state_dir
        self._generation = generation
        self._tell = tell
        self._feeds = feeds
        self._file = KeptFile(state_dir / overrides.FILE_NAME, overrides.parse, overrides.MAX_BYTES, Overrides())
        self._enrolled = CredentialCommands(state_dir)
        self.refused_here: dict[str, str] = {}  # commands that do not fit this server's part in a fleet -> what to do instead
        self._stuck: set[str] = set()  # files that are not commands and could not be removed
        with suppress(OSError):  # ours, so that we may answer in it, whoever asks first
            make_directory(state_dir / commands.DIRECTORY, 0o750)
        self._work: dict[str, Callable[[Command], Awaitable[str]]] = {
            "hold": self._hold_back, "release": self._release, "drop": self._drop,
            "disable": self._disable, "enable": self._enable,
            "block": self._indicate, "allow": self._indicate, "remove": self._remove, "close": self._close_report,
            "pause": self._pause, "resume": self._resume, "tap": self._tap, "untap": self._untap, **self._enrolled.work(),
        }  # fmt: skip

    def add(self, work: Mapping[str, Callable[[Command], Awaitable[str]]]) -> None:
        """Further commands, by name, and what carries them out."""
        self._work.update(work)

    def overrides(self) -> Overrides:
        """The overrides that are in force now, those of the fleet among them."""
        return self._file.content.merged().at(steady_s())

    def adopt(self, fleet: FleetOverrides | None) -> bool:
        """Put what the publisher of the fleet has decided in force. True if that has changed anything. Raises `OSError`."""
        self.mend()
        if fleet == self._file.content.fleet:
            return False
        self._write(fleet=fleet)
        return True

    def inherit(self, others: FleetOverrides) -> None:
        """Make entries of `others` those of this server; where it has one about the same, that stays. Raises `OSError`."""
        merged = msgspec.structs.replace(self._own, fleet=others).merged(marked=False)
        self._write(disabled=merged.disabled, indicators=merged.indicators, paused=merged.paused)

    @property
    def _own(self) -> Overrides:
        """The overrides in force, those of the fleet apart."""
        return self._file.content.at(steady_s())

    async def look(self) -> bool:
        """Carry out the commands that take no time, and remove overrides that have expired. True if there was anything."""
        mended = self.mend() | self._enrolled.mend()  # first: a command rewrites the file
        done = await self._answer(slowly=False)
        with suppress(OSError):
            make_directory(self._state_dir / commands.DIRECTORY, 0o750)  # if something else has taken its place
        return self._remove_expired() or mended or done

    async def look_slowly(self) -> bool:
        """Carry out the commands for which a list is parsed or a blockset compiled. True if there was anything."""
        return await self._answer(slowly=True)

    async def _answer(self, *, slowly: bool) -> bool:
        done = False
        busy: set[str] = set()  # feeds of slow commands: later commands about their updates and names wait behind these
        for path in commands.taken(self._state_dir):
            try:
                order = commands.read(path)
            except FileNotFoundError:
                continue  # it was taken back
            except LaterCommandError as exc:
                _log.warning("a command of another version of the program is refused: %s", exc)
                text = f"this server is of another version and does not know that command: restart it ({exc})"
                with suppress(OSError):
                    commands.answer(path, Outcome(done=False, text=text))
                continue
            except (OSError, CommandError) as exc:
                self._discard(path, exc)
                continue
            if is_slow := _is_slow(order) or (order.command in _ABOUT_UPDATES and order.feed in busy):
                busy.add(order.feed)
            if is_slow != slowly:
                continue
            done = True
            outcome = await self.carry_out(order)
            self._tell()
            try:
                commands.answer(path, outcome)
            except OSError as exc:
                path.unlink(missing_ok=True)
                _log.warning("%s: the answer could not be given: %s", order.command, disk_reason(exc, path.parent))
        return done

    def _discard(self, path: Path, exc: OSError | CommandError) -> None:
        """Remove files that are not commands. A file that cannot be removed is reported once."""
        reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
        try:
            remove(path)
        except OSError as error:
            if path.name in self._stuck:
                return
            reason = f"{reason}; it cannot be removed: {error.strerror}"
            self._stuck = {*self._stuck, path.name} if len(self._stuck) < commands.MAX_TAKEN else {path.name}
        _log.warning("requests/%s is not a command: %s", ascii(path.name)[1:-1], ascii(reason)[1:-1])

    async def carry_out(self, order: Command) -> Outcome:
        """Carry out `order` and write it to the audit log. Never raises."""
        try:
            order = commands.checked(order)
            if instead := self.refused_here.get(order.command):
                raise RefusedError(instead)
            outcome = Outcome(done=True, text=await self._work[order.command](order))
        except InvalidCommand as exc:
            order, outcome = commands.showable(order), Outcome(done=False, text=str(exc))
        except RefusedError as exc:
            outcome = Outcome(done=False, text=str(exc), needs_force=isinstance(exc, NeedsForceError))
        except DamagedError as exc:
            outcome = Outcome(done=False, text=f"the reports cannot be read: {exc}")
        except (BuildError, FeedError) as exc:
            outcome = Outcome(done=False, text=f"it is on record, but there is no new blockset yet: {exc.reason}")
        except OSError as exc:
            outcome = Outcome(done=False, text=disk_reason(exc, self._state_dir))
        except Exception as exc:  # noqa: BLE001 (the next command may work, and this one needs an answer)
            _log.exception("%s could not be carried out", order.command)
            outcome = Outcome(done=False, text=f"internal error, see the log: {type(exc).__name__}: {exc}")
        revision = self._file.content.revision
        wanted = InForce(overrides=revision, credentials=self._enrolled.revision, generation=self._generation())
        outcome = msgspec.structs.replace(outcome, wanted=wanted)
        _log.info("%s, for %s: %s", order.command, order.user, outcome.text)
        try:
            audit.write(self._state_dir, order, outcome)
        except OSError as exc:
            _log.error("the audit line could not be written: %s", disk_reason(exc, self._state_dir))
        return outcome

    # Feeds.

    async def _hold_back(self, order: Command) -> str:
        return await self._feeds.hold_back(self._known(order.feed), _held_entry(order), _reason(order))

    async def _release(self, order: Command) -> str:
        if not order.is_bulk:
            return await self._feeds.release(self._known(order.feed), _held_entry(order))
        if order.name:
            raise RefusedError("either one name, or all of a category or kind")
        if order.kind and order.kind not in (*GUARD_KINDS, "order"):
            raise RefusedError(f"no kind {order.kind[:80]}; kinds: {', '.join(GUARD_KINDS)}, order")
        if order.category and order.category not in CATEGORIES:
            raise RefusedError(f"no category {order.category[:80]}; categories: {', '.join(CATEGORIES)}")
        return await self._feeds.release_all(self._known(order.feed) if order.feed else "", order.category, order.kind)

    async def _drop(self, order: Command) -> str:
        return await self._feeds.drop(self._known(order.feed), _held_entry(order))

    async def _disable(self, order: Command) -> str:
        feed, reason, now_s = self._known(order.feed), _reason(order), steady_s()
        if order.for_s <= 0:
            raise RefusedError("say for how long, as in --for 2h: what is switched off must come back by itself")
        entry = Disabled(reason=reason, author=order.user, since_s=now_s, until_s=now_s + order.for_s)
        self._write(disabled={**self._file.content.disabled, feed: entry})
        return f"feed {feed} is switched off until {_clock(entry.until_s)}: {reason}"

    async def _enable(self, order: Command) -> str:
        if order.feed not in self._own.disabled:
            require_own(order.feed in self.overrides().disabled, f"feed {order.feed} is switched off", "pdns feeds enable")
            raise RefusedError(f"feed {order.feed} is not switched off")
        self._write(disabled={feed: entry for feed, entry in self._file.content.disabled.items() if feed != order.feed})
        return f"feed {order.feed} is switched on again"

    def _known(self, feed: str) -> str:
        if feed not in self._feeds.names():
            raise RefusedError(f"no feed {feed}; feeds: {', '.join(self._feeds.names()) or 'none are configured'}")
        return feed

    # Local indicators.

    async def _indicate(self, order: Command) -> str:
        name, reason, now_s = _name(order), _reason(order), steady_s()
        if name in ("", "."):
            raise RefusedError("say which name")
        assert order.command in ("block", "allow")
        if not order.force and is_public_suffix(name.removeprefix("*.")):
            raise NeedsForceError(
                f"every name below {name.removeprefix('*.')} would be {_done(order.command)}: it is a public suffix"
            )
        entry = Indicator(
            name=name,
            action="block" if order.command == "block" else "allow",
            reason=reason,
            author=order.user,
            added_s=now_s,
            expires_s=now_s + order.for_s if order.for_s > 0 else 0.0,
            tenant=order.tenant,
        )
        before = {(other.tenant, other.name): other for other in self._own.indicators}
        replaced = before.pop((order.tenant, name), None)
        others = tuple(before.values())
        if len(others) >= MAX_INDICATORS:
            raise RefusedError(f"there are {len(others):,} local entries already: make a feed of them, with a file: url")
        self._write(indicators=(*others, entry))
        until = f" until {_clock(entry.expires_s)}" if entry.expires_s else ""
        said = f"{name} is {_done(entry.action)}{_for(order)}{until}: {reason}"
        if replaced is not None and replaced.action != entry.action:
            said += f"; this replaces an entry by {replaced.author}, which {_done(replaced.action)} it: {replaced.reason}"
        return said

    async def _remove(self, order: Command) -> str:
        name = _name(order)
        left = tuple(other for other in self._file.content.indicators if (other.tenant, other.name) != (order.tenant, name))
        if len(left) == len(self._file.content.indicators):
            of_fleet = any((other.tenant, other.name) == (order.tenant, name) for other in self.overrides().indicators)
            require_own(of_fleet, f"{name} has an entry{_for(order)}", "pdns indicators remove", f"pdns allow {name}")
            raise RefusedError(f"there is no local entry for {name}{_for(order)}; `pdns indicators list` shows all")
        self._write(indicators=left)
        return f"the local entry for {name}{_for(order)} is gone"

    # Tenants.

    async def _pause(self, order: Command) -> str:
        reason, now_s = _reason(order), steady_s()
        if not order.tenant:
            raise RefusedError("say which tenant")
        if order.for_s <= 0:
            raise RefusedError("say for how long, as in --for 1h: what is paused must come back by itself")
        entry = Paused(reason=reason, author=order.user, since_s=now_s, until_s=now_s + order.for_s)
        self._write(paused={**self._file.content.paused, order.tenant: entry})
        return f"nothing is blocked{_for(order)} until {_clock(entry.until_s)}: {reason}"

    async def _resume(self, order: Command) -> str:
        if order.tenant not in self._own.paused:
            require_own(order.tenant in self.overrides().paused, f"blocking is paused{_for(order)}", "pdns resume")
            raise RefusedError(f"blocking is not paused{_for(order)}")
        self._write(paused={name: entry for name, entry in self._file.content.paused.items() if name != order.tenant})
        return f"names are blocked again{_for(order)}"

    async def _tap(self, order: Command) -> str:
        now_s = steady_s()
        if not order.tenant or not order.sink:
            raise RefusedError("say which tenant, and which sink")
        if not 0 < order.for_s <= MAX_TAP_S:
            raise RefusedError("say for how long, at most 24h, as in --for 30m: a tap must end by itself")
        entry = Tapped(sink=order.sink, reason=order.reason, author=order.user, since_s=now_s, until_s=now_s + order.for_s)
        self._write(tapped={**self._file.content.tapped, order.tenant: entry})
        return f"all queries of tenant {order.tenant} go to sink {order.sink} until {_clock(entry.until_s)}"

    async def _untap(self, order: Command) -> str:
        if order.tenant not in self.overrides().tapped:
            raise RefusedError(f"there is no tap of tenant {order.tenant}")
        self._write(tapped={name: entry for name, entry in self._file.content.tapped.items() if name != order.tenant})
        return f"the tap of tenant {order.tenant} has ended"

    # Reports of mistakes.

    async def _close_report(self, order: Command) -> str:
        reason = _reason(order)
        if (report := find_open(self._state_dir, order.report)) is None:
            raise RefusedError(f"there is no open report {order.report}; `pdns reports` shows all")
        close_report(self._state_dir, report.number, order.user, reason)
        return f"report {report.number} about {report.name} is closed: {reason}"

    # The file.

    def mend(self) -> bool:
        """As `KeptFile.mend`."""
        return self._file.mend(self._write)

    def _remove_expired(self) -> bool:
        """Remove the overrides that have expired. True if there were any."""
        current, before = self._own, self._file.content
        if current == before:
            return False
        ended = [f"feed {feed} is on again" for feed in before.disabled if feed not in current.disabled]
        ended += [f"{entry.action} {entry.name} is over" for entry in before.indicators if entry not in current.indicators]
        ended += [f"names are blocked again for tenant {name}" for name in before.paused if name not in current.paused]
        ended += [f"the tap of tenant {name} has ended" for name in before.tapped if name not in current.tapped]
        try:
            self._write()
        except OSError:
            self._file.content = current
        _log.info("%s", "; ".join(ended))
        return True

    def _write(self, **changes: object) -> None:
        self._file.store(msgspec.structs.replace(self._own, **changes, revision=self._file.next_revision))


def _for(order: Command) -> str:
    return f" for tenant {order.tenant}" if order.tenant else ""


def _done(action: str) -> str:
    return "blocked" if action == "block" else "allowed"


def _is_slow(order: Command) -> bool:
    """Whether `order` needs a new blockset. A kill switch does not wait behind such commands."""
    return order.command == "release" or (order.command in _ABOUT_UPDATES and bool(order.name))


def _held_entry(order: Command) -> str:
    """The name, address or network of `order` in its canonical spelling; "" when it has none."""
    key = network_key(order.name)
    return network_text(key) if key else _name(order)


def _name(order: Command) -> str:
    """The name of `order` in its canonical spelling; "" when it has none."""
    if not order.name:
        return ""
    try:
        return str(parse_allowed(order.name))
    except InvalidAddress as exc:
        raise RefusedError(f'"{order.name[:80]}": {exc.reason}') from None


def _reason(order: Command) -> str:
    if not order.reason:
        raise RefusedError("say why, as in --reason 'a false positive, ticket 4711': others will want to know")
    return order.reason


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))
