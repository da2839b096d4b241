"""Keeps published zones in step with the live blockset and with administrators, and serves them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import dns.tsig

from feeds.builder import Builder, BuildError
from feeds.fetch.tsig import tsig_key
from feeds.files import disk_reason
from feeds.jobs import PublishJob
from feeds.publish import selection
from feeds.publish.notifier import Notifier, Spawn
from feeds.publish.server import ServedZone, TransferServer
from feeds.publish.signing import KeyFileError, SigningKey, key_from, own_key
from feeds.publish.versions import DIRECTORY, ZoneVersions
from feeds.publish.zone_file import ZoneTail
from pdns.blockset.generations import blocksets_directory
from pdns.clock import steady_s
from pdns.config.addresses import parse_endpoint, parse_network
from pdns.config.policies import policies_at
from pdns.config.schema import Config, Publish
from pdns.errors import PdnsError
from pdns.files.safe_files import make_directory, read_bounded
from pdns.state.feed_status import PublishedZone, PublishStatus
from pdns.state.overrides import Overrides
from pdns.wire.names import from_text

LOOK_EVERY_S: Final = 0.2
BETWEEN_VERSIONS_S: Final = 1.0  # so that no serial is ahead of the time
RETRY_S, MOST_RETRY_S = 2.0, 60.0
TELL_EVERY_S: Final = 1.0
LISTEN_AGAIN_S: Final = 2.0
OWN_KEY: Final = "minisign.key"
_MOST_SECRET_BYTES: Final = 4096
_log = logging.getLogger(__name__)


class PublishInputs(NamedTuple):
    """What zones are made of at the moment."""

    generation: int  # of the live blockset; 0: none
    overrides: Overrides


class _ZoneWork:
    """One zone: what it was last made of, and when it is to be tried again."""

    def __init__(self, settings: Publish, versions: ZoneVersions) -> None:
        self.settings = settings
        self.versions = versions
        self.made_of: tuple[object, ...] = ()
        self.not_before_s = 0.0
        self.retry_s = RETRY_S
        self.error = ""
        self.key: dns.tsig.Key | None = None
        self.key_error = ""

    @property
    def served(self) -> ServedZone | None:
        settings = self.settings
        if not (settings.allow_transfer or settings.tsig_name) or self.key_error:
            return None
        networks = tuple(map(parse_network, settings.allow_transfer))
        return ServedZone(settings, from_text(settings.zone), self.versions, networks, self.key)


class Publication:
    """All zones of one configuration."""

    def __init__(
        self, state_dir: Path, inputs: Callable[[], PublishInputs], spawn: Spawn, tell: Callable[[], object] = lambda: None
    ) -> None:
        """`tell` is called when `status` has changed, at most once a second."""
        self._state_dir = state_dir
        self._inputs = inputs
        self._tell = tell
        self._told = PublishStatus()
        self._tell_again_s = self._listen_again_s = 0.0
        self._config = Config()
        self._policies, self._policies_s = policies_at(self._config, 0.0), 0.0  # and the time that they are of
        self._zones: dict[str, _ZoneWork] = {}
        self._builder = Builder()  # its own: a zone that is made keeps no list waiting
        self._server = TransferServer()
        self._notified: Counter[tuple[str, str]] = Counter()
        self._notifier = Notifier(spawn, self._notified)

    async def configure(self, config: Config) -> None:
        """Publish what `config` says. Versions of an earlier process are served at once."""
        zones = {}
        for settings in config.publish:
            work = self._zones.get(settings.zone)
            if work is None:
                work = _ZoneWork(settings, ZoneVersions(self._state_dir, settings.zone))
                try:
                    await asyncio.to_thread(work.versions.resume)
                except OSError as exc:
                    _log.error("%s: %s", settings.zone, disk_reason(exc, work.versions.directory))
            work.settings, work.made_of = settings, ()
            work.key, work.key_error = await asyncio.to_thread(_tsig_key_of, settings)
            if work.key_error:
                _log.error("publish %s: not served: %s", settings.zone, work.key_error)
            zones[settings.zone] = work
        started = [work for name, work in zones.items() if name not in self._zones]
        self._zones, self._config = zones, config
        self._settle(steady_s())
        served = [zone for work in zones.values() if (zone := work.served) is not None]
        await self._server.configure(served, config.feeds.publish_listen)
        for work in started:
            if work.versions.live is not None:
                self._notify(work)

    def _settle(self, now_s: float) -> None:
        self._policies, self._policies_s = policies_at(self._config, now_s), now_s

    async def run(self) -> None:
        """Make a new version of a zone whenever something of it has changed, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for work in list(self._zones.values()):
                try:
                    await self._look(work)
                except Exception:  # noqa: BLE001 (other zones go on, and this one later)
                    _log.exception("publish %s: failed", work.settings.zone)
                    self._put_off(work, "internal error, see the log")
            self._tell_changes()
            if time.monotonic() >= self._listen_again_s:
                self._listen_again_s = time.monotonic() + LISTEN_AGAIN_S
                await self._server.listen()

    def close(self) -> None:
        """Serve and notify no more."""
        self._server.close()
        self._notifier.close()

    def status(self) -> PublishStatus:
        """Every zone as it stands."""
        zones = {name: self._status_of(name, work) for name, work in self._zones.items()}
        return PublishStatus(zones=zones, refused=dict(self._server.refused))

    def _status_of(self, name: str, work: _ZoneWork) -> PublishedZone:
        live = work.versions.live
        tail = live.tail if live is not None else ZoneTail()
        return PublishedZone(
            serial=live.serial if live is not None else 0,
            names=tail.names,
            addresses=tail.addresses,
            left_out=tail.left_out,
            error=work.error or work.key_error,
            transfers={f"{kind} {result}": n for (zone, kind, result), n in self._server.counts.items() if zone == name},
            notified={result: n for (zone, result), n in self._notified.items() if zone == name},
        )

    def _tell_changes(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._tell_again_s and (status := self.status()) != self._told:
            self._told, self._tell_again_s = status, now_s + TELL_EVERY_S
            self._tell()

    async def _look(self, work: _ZoneWork) -> None:
        inputs = self._inputs()
        now_s = steady_s()
        if not self._policies_s <= now_s < self._policies.until_s:  # the clock may have been corrected
            self._settle(now_s)
        made_of = (inputs.generation, inputs.overrides.revision, len(inputs.overrides.indicators), self._config, self._policies)
        same = made_of == work.made_of and work.versions.live is not None
        if same or time.monotonic() < work.not_before_s or (self._config.feed and not inputs.generation):
            return
        try:
            await self._make(work, inputs)
        except BuildError as exc:
            self._put_off(work, exc.reason)
        except OSError as exc:
            self._put_off(work, disk_reason(exc, work.versions.directory))
        except KeyFileError as exc:
            self._put_off(work, f"minisign_secret_file: {exc}")
        else:
            work.made_of, work.error, work.retry_s = made_of, "", RETRY_S
            work.not_before_s = time.monotonic() + BETWEEN_VERSIONS_S

    def _put_off(self, work: _ZoneWork, reason: str) -> None:
        if reason != work.error:
            _log.error("publish %s: no new version: %s", work.settings.zone, reason)
        work.error = reason
        work.not_before_s = time.monotonic() + work.retry_s
        work.retry_s = min(2 * work.retry_s, MOST_RETRY_S)

    async def _make(self, work: _ZoneWork, inputs: PublishInputs) -> None:
        """Raises `BuildError`, `OSError` and `KeyFileError`."""
        settings, versions = work.settings, work.versions
        policy = self._policies.settings[settings.policy]
        key = await asyncio.to_thread(self._signing_key, settings) if settings.file else None
        serial = versions.next_serial(time.time())
        shown = f"{settings.refresh_s} {settings.expire_s} {settings.ttl_s}"
        job = PublishJob(
            directory=str(versions.directory),
            zone=settings.zone,
            serial=serial,
            settings=shown,
            blockset=str(blocksets_directory(self._state_dir) / str(inputs.generation)) if inputs.generation else "",
            feeds=selection.blocking_feeds(self._config, policy, inputs.overrides),
            given=[feed.name for feed in self._config.feed if feed.rpz_action == "given"],
            layers=selection.layers(self._config, policy, self._policies.everyones, inputs.overrides),
            addresses=settings.addresses,
            action=policy.action if settings.action == "policy" else settings.action,
            sinkhole=list(policy.sinkhole),
            ttl_s=settings.ttl_s,
            refresh_s=settings.refresh_s,
            expire_s=settings.expire_s,
            before=str(versions.path) if versions.live is not None else "",
            text=key is not None,
            has_text=versions.has_text(settings.file),
        )
        began_s = time.monotonic()
        await asyncio.to_thread(make_directory, versions.directory, 0o750)
        try:
            made = await self._builder.publish(job)
            if made.changed:
                await asyncio.to_thread(versions.adopt, made, serial, shown)
            if key is not None:
                await asyncio.to_thread(versions.adopt_text, settings.file, key)
        finally:
            await asyncio.to_thread(versions.clean)
        if made.changed:
            changes = f"+{made.added:,} -{made.removed:,}" if made.removed is not None else "all new"
            took_s = time.monotonic() - began_s
            names = f"{made.tail.names:,} names, {made.tail.addresses:,} addresses"
            _log.info("publish %s: serial %d: %s (%s) in %.1f s", settings.zone, serial, names, changes, took_s)
            self._notify(work)

    def _notify(self, work: _ZoneWork) -> None:
        listen = self._config.feeds.publish_listen
        source = parse_endpoint(listen[0]).host if listen else ""
        if work.served is not None:
            self._notifier.tell(work.settings.zone, work.settings.notify, work.key, source)

    def _signing_key(self, settings: Publish) -> SigningKey:
        if settings.minisign_secret_file:
            return key_from(Path(settings.minisign_secret_file))
        make_directory(self._state_dir / DIRECTORY, 0o750)
        return own_key(self._state_dir / DIRECTORY / OWN_KEY)


def _tsig_key_of(settings: Publish) -> tuple[dns.tsig.Key | None, str]:
    """The key of a zone, and why it cannot be had. Blocks."""
    if not settings.tsig_name:
        return None, ""
    try:
        text = read_bounded(Path(settings.tsig_secret_file), _MOST_SECRET_BYTES, follow_links=True).decode("ascii", "replace")
    except OSError as exc:
        return None, f"tsig_secret_file: {settings.tsig_secret_file}: {exc.strerror}"
    try:
        return tsig_key(settings.tsig_name, settings.tsig_algorithm, text), ""
    except PdnsError as exc:
        return None, f"tsig_secret_file = {settings.tsig_secret_file}: {exc}"
