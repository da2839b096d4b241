"""The policy bundle of a release on its way into a node's configuration: the supervisor tries it, and answers."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import tomllib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from feeds.fleet.node_record import NodeDirectory, policy_text
from feeds.fleet.release import Release
from pdns.config.fleet_rules import OFFERED_BUNDLE_FILE, foreign_keys
from pdns.config.schema import Config, Feed, Guard
from pdns.config.toml_file import MAX_BYTES
from pdns.config.value_types import GUARD_KINDS
from pdns.files import safe_files
from pdns.ipc.messages import OfferBundle, RefuseBundle

ANSWER_S: Final = 120.0
NO_GUARD: Final = Guard(giants=False, popular_names=False, widest_ipv4=0, widest_ipv6=0, skip=tuple(GUARD_KINDS))
_log = logging.getLogger(__name__)


class NodePolicy:
    """One for each node."""

    def __init__(self, directory: NodeDirectory, send: Callable[[OfferBundle], object]) -> None:
        self._directory, self._send = directory, send
        self._answer: asyncio.Event = asyncio.Event()
        self._refused = ""  # SHA-256 of the bundle that the supervisor refused
        self.in_force = ""  # SHA-256 of the bundle in the live configuration; "": none
        self.error = ""  # why the bundle of the release is not in force

    def configured(self, in_force: str) -> None:
        """A configuration with that bundle is live. What was refused may fit now."""
        self.in_force, self._refused = in_force, ""
        self._answer.set()

    def refused(self, message: RefuseBundle) -> None:
        """The supervisor refuses a bundle."""
        self._refused, self.error = message.sha256, message.reason
        self._answer.set()

    def differs(self, release: Release) -> bool:
        """Whether the bundle of `release` is another one than the live configuration has."""
        return self._sha256(release) not in ("", self.in_force)

    async def offer(self, release: Release) -> None:
        """Have the bundle of `release` put in force, unless it is or was refused. Waits for the answer. Raises `OSError`."""
        bundle = self.bundle(release)
        sha256 = hashlib.sha256(bundle).hexdigest() if bundle else ""
        if not bundle or sha256 in (self.in_force, self._refused):
            self.error = self.error if bundle and sha256 == self._refused else ""
            return
        safe_files.write_whole(self._directory.path / OFFERED_BUNDLE_FILE, bundle, mode=0o640)
        self._answer.clear()
        self._send(OfferBundle())
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                while sha256 not in (self.in_force, self._refused):
                    await self._answer.wait()
                    self._answer.clear()
        if sha256 == self.in_force:
            self.error = ""
        elif sha256 != self._refused:
            self.error = f"no answer from the supervisor within {ANSWER_S:g} s"

    def bundle(self, release: Release) -> bytes:
        """The TOML of the bundle of `release`; b"" when it has none, or it is not here."""
        with suppress(OSError):
            if name := policy_text(release):
                return safe_files.read_state(self._directory.text(name), MAX_BYTES)
        return b""

    def feeds(self, release: Release) -> list[Feed]:
        """The feeds that the bundle of `release` configures; [] when it is not one for this version of the program, or says more
        of a feed than a bundle may: it is compiled before the supervisor has tried the bundle.
        """
        try:
            tables = tomllib.loads(self.bundle(release).decode())
            rows = msgspec.convert(tables.get("feed", []), list[dict[str, Any]])
            if found := [f"feed {row.get('name')}: {key}: {reason}" for row in rows for key, reason in foreign_keys(row)]:
                raise ValueError("; ".join(found[:3]))
            return msgspec.convert(rows, list[Feed])
        except (ValueError, msgspec.ValidationError, RecursionError) as exc:
            _log.error("fleet: the policy of release %d: %s", release.number, exc)
            return []

    def adapted(self, config: Config, release: Release | None) -> Config:
        """`config` as the lists of `release` are compiled by: its feeds first, in its order; nothing is held or left out.

        Feeds that the release configures anew are compiled before the workers know them: a required feed must not be missing when
        they do. Feeds that its policy takes away stay until the configuration has done so.
        """
        known = {feed.name: feed for feed in config.feed}
        ordered = list(known)
        if release is not None:
            told = {feed.name: feed for feed in self.feeds(release)}
            names = [feed.name for feed in release.feeds if feed.name in {**known, **told}]
            ordered = [*names, *(name for name in known if name not in names and name not in told)]
            known |= told
        feeds = tuple(msgspec.structs.replace(known[name], expire_after_s=0) for name in ordered)
        return msgspec.structs.replace(config, feed=feeds, guard=NO_GUARD)

    def _sha256(self, release: Release) -> str:
        bundle = self.bundle(release)
        return hashlib.sha256(bundle).hexdigest() if bundle else ""
