"""A feed over a year: the real runner, parser and guard, a clock that the test sets, and generated versions of a list."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from feeds import build
from feeds.builder import Builder, BuildError
from feeds.entries import Entries, whole
from feeds.fetch.network import Network
from feeds.jobs import Failed, Parse, Parsed
from feeds.popular import POPULAR, popular_keys
from feeds.protected_names import Decided, ProtectedNames, protection_of
from feeds.publisher import Publisher
from feeds.refresher import FeedRefresher, RefreshContext
from feeds.update_limits import limits_of
from pdns.config.policy_schema import Tenant
from pdns.config.schema import Config, Feed, Guard, Upstream
from pdns.wire.names import from_reversed_key, to_text

HOUR_S = 3600
DAY_S = 24 * HOUR_S
REFRESH_S = 12 * HOUR_S
START_S = 1.7e9


class InProcess(Builder):
    """Parses here: a process for each of a year's versions takes minutes."""

    async def parse(self, job: Parse) -> Parsed:
        result = build.parse(msgspec.json.decode(msgspec.json.encode(job), type=Parse))
        if isinstance(result, Failed):
            raise BuildError(result.reason, unusable=result.unusable)
        return result


class Unpublished(Publisher):
    """Compiles nothing. `Replay.live` works out the live names from the copy and the protected names."""

    def __init__(self) -> None:
        super().__init__(self.published)

    async def published(self) -> bool:
        return False


class Replay:
    """One feed, whose source has the lines that `publish` was given."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, loop: asyncio.Runner, **keys: object) -> None:
        self._loop = loop
        self.now_s = START_S
        self.source = directory / "list.txt"
        feed = msgspec.convert({"name": "replayed", "url": self.source.as_uri(), "refresh_s": REFRESH_S, **keys}, Feed)
        self.config = Config(
            upstream=Upstream(servers=("udp://192.0.2.53:53",)),
            feed=(feed,),
            tenant=(Tenant(name="north", networks=("10.20.0.0/16",), domains=("north.gov.example",)),),
            guard=Guard(),
        )
        clock = SimpleNamespace(time=lambda: self.now_s, monotonic=lambda: self.now_s)
        monkeypatch.setattr("feeds.refresher.time", clock)
        monkeypatch.setattr("feeds.build.popular_keys", cache(popular_keys))
        monkeypatch.setattr("feeds.entries.os.fsync", lambda _: None)
        self.runner = FeedRefresher(feed, directory / "feed", Counter(), limits_of(self.config, feed))
        self.runner.popularity = str(POPULAR)
        self.protected = ProtectedNames(protection_of(self.config))
        builder, trusted = InProcess(), ssl.create_default_context()
        publisher = Unpublished()
        self._around = RefreshContext(builder, publisher, Network((), trusted, trusted))
        self._parsed: tuple[str, set[str]] = ("", set())
        self.holds = 0  # how often it began to hold
        self.stale_s = 0.0  # the longest that an update was held
        self._held_since_s = 0.0

    def publish(self, lines: Iterable[str] | None) -> None:
        """Let the source have `lines` from now on; with None it is gone."""
        if lines is None:
            self.source.unlink(missing_ok=True)
        else:
            new = self.source.with_suffix(".new")
            new.write_text("".join(f"{line}\n" for line in lines))
            new.replace(self.source)

    def step(self) -> None:
        """Go to the time of the next refresh, and refresh."""
        self.now_s += REFRESH_S
        self._loop.run(self.runner.attempt(self._around))
        held = self.runner.quarantine.pending is not None
        if held and not self._held_since_s:
            self.holds += 1
            self._held_since_s = self.now_s
        if self._held_since_s:
            self.stale_s = max(self.stale_s, self.now_s - self._held_since_s)
        if not held:
            self._held_since_s = 0.0

    def day(self) -> None:
        """Do all refreshes of a day."""
        for _ in range(DAY_S // REFRESH_S):
            self.step()

    def live(self) -> set[str]:
        """The names that would be in force now."""
        copy = self.runner.copy
        if copy is None:
            return set()
        if self._parsed[0] != copy.sha256:
            parsed = whole(Entries(self.runner._store.parsed_path(copy)))
            names = dict(parsed.names)
            self.protected.take_out(names, Decided(), self.runner.name)
            self._parsed = copy.sha256, {to_text(from_reversed_key(key)) for key in names}
        return self._parsed[1]


def poisons(list_: Sequence[str], popular: Sequence[str], others: Sequence[str]) -> dict[str, tuple[list[str], set[str]]]:
    """Twelve ways to spoil a list: the lines of the source then, and the names among them that must not go live."""
    size = len(list_)
    half = list(list_[: size // 2])
    flood = [f"host{at}.flood{at % 97}.example.org" for at in range(20 * size)]
    sign_in = ["login.microsoftonline.com", "login.live.com", "accounts.google.com"]
    certificates = ["ocsp.digicert.com", "crl3.digicert.com", "r11.o.lencr.org", "ocsp.pki.goog"]
    updates = ["download.windowsupdate.com", "windowsupdate.com", "security.debian.org", "swcdn.apple.com"]
    suffixes = ["com", "co.uk", "gov.uk", "github.io", "*.net"]
    own = ["north.gov.example", "gov.example"]

    def spoilt(lines: list[str], bad: Iterable[str]) -> tuple[list[str], set[str]]:
        return lines, set(bad) - set(list_)

    return {
        "the most popular names, as many": spoilt(list(popular[:size]), popular[:size]),
        "half of it the most popular names": spoilt(half + list(popular[: size - len(half)]), popular[: size - len(half)]),
        "200 popular names more": spoilt([*list_, *popular[1000:1200]], popular[1000:1200]),
        "some less popular names more": spoilt([*list_, *popular[6000:6040]], popular[6000:6040]),
        "sign-in": spoilt([*list_, *sign_in], sign_in),
        "certificates": spoilt([*list_, *certificates], certificates),
        "updates": spoilt([*list_, *updates], updates),
        "public suffixes": spoilt([*list_, *suffixes], suffixes),
        "a tenant's own": spoilt([*list_, *own], own),
        "another list of the size": spoilt(list(others[:size]), others[:size]),
        "a flood": spoilt([*list_, *flood], flood),
        "a web page": spoilt(["<html><body>", "www.google.com", "</body></html>"], ["www.google.com"]),
    }
