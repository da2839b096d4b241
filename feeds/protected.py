"""Names that no list blocks by itself, because too much hangs on them: taken out of what is compiled, and held for review.

A listed name is caught when it is protected, or when a protected one lies below it and the listing reaches that far. What is
below a protected name is not: `bad.blob.core.windows.net` is as good a listing as any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from feeds.normalise import plain_key
from pdns.addresses import parse_allowed, parse_upstream
from pdns.blockset import BLOCK_BELOW, BLOCK_SUBTREE
from pdns.config import Config
from pdns.core.names import from_reversed_key, from_text, reversed_key, to_text
from pdns.errors import InvalidAddress, InvalidName
from pdns.feedstatus import MAX_HELD_NAMES, HeldNames

GIANTS: Final = Path(__file__).parent / "giants.txt"
SUFFIXES: Final = "public_suffix_list.dat"
PROVIDERS: Final = "===BEGIN PRIVATE DOMAINS==="  # in that file, before the rules that no registry made
_RANKED = re.compile(rb"(?:\d+\s*[,\t]\s*)?([^\s,]+)").match


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """What is protected beside public suffixes. `names`: name -> why."""

    names: dict[str, str] = {}
    giants: bool = True
    popularity: str = ""  # path of a list, the most popular name first
    popularity_refuse: int = 0  # up to this rank a name cannot be released
    popularity_hold: int = 0  # up to this rank it is held
    version: str = ""  # of that list


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What administrators decided about names of one feed, as text."""

    released: tuple[str, ...] = ()  # block these all the same
    dropped: tuple[str, ...] = ()  # take these out, and speak no more of it
    out: dict[str, str] = {}  # take these out as well: name -> why


class Caught(NamedTuple):
    """Why a listed name is taken out."""

    why: str
    refused: bool = False


def protection_of(config: Config) -> Protection:
    """What `config` protects: what it names, tenants' own domains, where feeds come from, the names of upstreams."""
    names = {text.removeprefix("*."): "configured" for text in config.guard.protect}
    for tenant in config.tenant:
        names |= {text.removeprefix("*."): f"of tenant {tenant.name}" for text in tenant.domains}
    for feed in config.feed:
        if host := _host(feed.url):
            names[host] = f"where feed {feed.name} comes from"
    for server in config.upstream.servers:
        if name := parse_upstream(server).server_name:
            names[name] = "an upstream"
    guard = config.guard
    version = ""
    if guard.popularity:
        try:
            stat = Path(guard.popularity).stat()
            version = f"{stat.st_mtime_ns}-{stat.st_size}"
        except OSError:
            version = "missing"
    return Protection(
        names=names,
        giants=guard.giants,
        popularity=guard.popularity,
        popularity_refuse=guard.popularity_refuse,
        popularity_hold=guard.popularity_hold,
        version=version,
    )


class Protected:
    """All names of a `Protection`, public suffixes included, ready to be compared with lists."""

    def __init__(self, protection: Protection) -> None:
        """Raises `OSError` when the popularity list cannot be read."""
        self._at: dict[bytes, Caught] = {}
        self._above: dict[bytes, Caught] = {}
        wildcards, self._excepted = self._add_suffixes()
        self._wildcard = re.compile(b"|".join(map(re.escape, sorted(wildcards, key=len, reverse=True)))).match
        if protection.giants:
            for line in GIANTS.read_text(encoding="ascii").split():
                self._add(_key(line), Caught(f"{line}: too many depend on it"))
        if protection.popularity:
            self._add_popular(protection)
        for name, why in protection.names.items():
            self._add(_key(name), Caught(f"{name}: {why}"))

    def take_out(self, names: dict[bytes, int], decided: Decided) -> HeldNames:
        """Remove from `names`, the entries of one list, what must not go live by itself; says what that was."""
        released, dropped = set(map(_key, decided.released)), set(map(_key, decided.dropped))
        held: dict[str, str] = {}
        refused: dict[str, str] = {}
        counts = [0, 0]
        caught = {_key(name): Caught(f"{name}: {why}") for name, why in decided.out.items()}
        for key, found in {**dict(self._caught(names)), **{key: found for key, found in caught.items() if key in names}}.items():
            if key in released and not found.refused:
                continue
            del names[key]
            if key in dropped:
                continue
            counts[found.refused] += 1
            told = refused if found.refused else held
            if len(told) < MAX_HELD_NAMES:
                told[to_text(from_reversed_key(key))] = found.why
        return HeldNames(held=counts[0], refused=counts[1], names=held, refused_names=refused)

    def sieve(self, decided: Decided) -> Sieve:
        """Does `take_out` with a list that comes in parts."""
        return Sieve(self, decided)

    def _caught(self, names: Mapping[bytes, int]) -> Iterator[tuple[bytes, Caught]]:
        for key in names.keys() & self._above.keys():
            if names[key] & BLOCK_BELOW:
                yield key, self._above[key]
        for key in names:
            if (base := self._wildcard(key)) is not None and _is_one_below(key, base.end()) and key not in self._excepted:
                yield key, Caught(f"{to_text(from_reversed_key(key))}: a public suffix")
        for key in names.keys() & self._at.keys():
            if names[key] & BLOCK_SUBTREE:
                yield key, self._at[key]

    def _add(self, key: bytes, caught: Caught) -> None:
        """Where several reasons fit, one that cannot be released counts, else the last."""
        if key and (caught.refused or not self._at.get(key, caught).refused):
            self._at[key] = caught
        end = 0
        while end < len(key):
            above = key[:end]
            if caught.refused or not self._above.get(above, caught).refused:
                self._above[above] = Caught(f"above {caught.why}", caught.refused)
            end += 1 + key[end]

    def _add_suffixes(self) -> tuple[set[bytes], set[bytes]]:
        """Adds every public suffix; returns the keys of `x` in each rule `*.x` of a registry, and of exceptions to such rules.

        Where a provider has such a rule (`*.localto.net`), each of its customers is a suffix, and may be as bad as any.
        """
        wildcards: set[bytes] = set()
        excepted: set[bytes] = set()
        text = resources.files("publicsuffixlist").joinpath(SUFFIXES).read_text(encoding="utf-8")
        registries = True
        for line in text.splitlines():
            registries &= PROVIDERS not in line
            rule = line.partition(" ")[0]
            if not rule or rule.startswith("//"):
                continue
            try:
                if rule.startswith("!"):
                    excepted.add(_key(rule[1:]))
                    continue
                key = _key(rule.removeprefix("*."))
            except InvalidName:
                continue
            if rule.startswith("*.") and registries:
                wildcards.add(key)
            self._add(key, Caught(f"{rule}: a public suffix"))
        return wildcards, excepted

    def _add_popular(self, protection: Protection) -> None:
        """The most popular last, so that the best rank counts."""
        for rank, key in reversed(list(_ranked(Path(protection.popularity), protection.popularity_hold))):
            why = f"{to_text(from_reversed_key(key))}: number {rank:,} of the popular names"
            self._add(key, Caught(why, refused=rank <= protection.popularity_refuse))


def _ranked(path: Path, most: int) -> Iterator[tuple[int, bytes]]:
    """The first `most` names of a list, a name or `rank,name` on each line, and where they stand."""
    rank = 0
    with path.open("rb") as file:
        for line in file:
            if rank >= most:
                return
            if (found := _RANKED(line.strip().lower())) is not None and (key := plain_key(found[1])) is not None:
                rank += 1
                yield rank, key


def _is_one_below(key: bytes, end: int) -> bool:
    return end < len(key) and end + 1 + key[end] == len(key)


def _key(text: str) -> bytes:
    return reversed_key(from_text(text))


def _host(url: str) -> str:
    """The name of the host in `url`; "" for an address or a file."""
    host = urlsplit(url).hostname or ""
    if not host or ":" in host or host.rpartition(".")[2].isdigit():
        return ""
    try:
        return str(parse_allowed(host))
    except InvalidAddress:
        return ""


class Sieve:
    """Takes out of the parts of one list what must not go live; `held` says what that was so far."""

    def __init__(self, protected: Protected, decided: Decided) -> None:
        self.held = HeldNames()
        self._protected = protected
        self._decided = decided

    def __call__(self, names: dict[bytes, int]) -> None:
        """Do so with this part."""
        taken, held = self._protected.take_out(names, self._decided), self.held
        if taken.held or taken.refused:
            self.held = HeldNames(
                held=held.held + taken.held,
                refused=held.refused + taken.refused,
                names=_first({**held.names, **taken.names}),
                refused_names=_first({**held.refused_names, **taken.refused_names}),
            )


def _first(names: dict[str, str]) -> dict[str, str]:
    return dict(islice(names.items(), MAX_HELD_NAMES))
