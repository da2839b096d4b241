"""Protected names: too much depends on them for a list to block them. They are taken out of lists, and held for review.

A listed name is caught when it is protected, or when a protected one lies below it and the listing reaches that far. What is
below a protected name is not: `bad.blob.core.windows.net` is as good a listing as any. Networks: `feeds.protected_networks`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from feeds.popular import HELD_OF_SHIPPED, POPULAR, critical, ranked
from feeds.protected_networks import ProtectedNetworks, network_key, network_text, networks_of
from feeds.update_limits import skipped_kinds
from pdns.config.addresses import parse_allowed
from pdns.config.schema import Config
from pdns.config.upstream_address import parse_upstream
from pdns.core.listing import BLOCK_BELOW, BLOCK_SUBTREE
from pdns.errors import InvalidAddress, InvalidName
from pdns.state.feed_status import MAX_HELD_NAMES, HeldNames
from pdns.wire.names import from_reversed_key, from_text, reversed_key, to_text

GIANTS: Final = Path(__file__).parent / "giants.txt"
SUFFIXES: Final = "public_suffix_list.dat"
PROVIDERS: Final = "===BEGIN PRIVATE DOMAINS==="  # in that file, before the rules that no registry made
SUFFIX_KINDS: Final = frozenset({"registry", "provider"})


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """What is protected beside public suffixes."""

    names: dict[str, tuple[str, str]] = {}  # name -> why, and its kind
    networks: dict[str, tuple[str, str]] = {}  # likewise
    giants: bool = True  # critical hosts, public resolvers and shared networks too
    popularity: str = ""  # path of a list, the most popular name first
    popularity_refuse: int = 0  # up to this rank a name cannot be released
    popularity_hold: int = 0  # up to this rank it is held
    version: str = ""  # of that list
    widest: tuple[int, int] = (0, 0)  # the shortest prefixes of IPv4 and IPv6 that go through
    skip: dict[str, frozenset[str]] = {}  # feed -> kinds that go through in it
    top_level: frozenset[str] = frozenset()  # feeds in which a top-level domain is no public suffix, for they mean it


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What administrators decided about names and networks of one feed, as text."""

    released: tuple[str, ...] = ()  # block these all the same
    dropped: tuple[str, ...] = ()  # take these out, and do not report them again
    out: dict[str, str] = {}  # take these out as well: name -> why


class Caught(NamedTuple):
    """Why a listed name is taken out."""

    why: str
    kind: str  # of pdns.config.schema.GUARD_KINDS, or "order"
    refused: bool = False


def protection_of(config: Config) -> Protection:
    """What `config` protects: what it names, tenants' own domains, where feeds come from, upstreams, its own networks."""
    names = {text.removeprefix("*."): ("configured", "own") for text in config.guard.protect}
    for tenant in config.tenant:
        names |= {text.removeprefix("*."): (f"of tenant {tenant.name}", "own") for text in tenant.domains}
    for feed in config.feed:
        if host := _host(feed.url):
            names[host] = (f"where feed {feed.name} comes from", "own")
    for server in config.upstream.servers:
        if name := parse_upstream(server).server_name:
            names.setdefault(name, ("an upstream", "upstream"))
    guard = config.guard
    version = ""
    if guard.popularity:
        try:
            stat = Path(guard.popularity).stat()
            version = f"{stat.st_mtime_ns}-{stat.st_size}"
        except OSError:
            version = "missing"
    protection = Protection(
        names=names,
        networks=networks_of(config),
        giants=guard.giants,
        popularity=guard.popularity,
        popularity_refuse=guard.popularity_refuse,
        popularity_hold=guard.popularity_hold,
        version=version,
        widest=(guard.widest_ipv4, guard.widest_ipv6),
        skip={feed.name: kinds for feed in config.feed if (kinds := skipped_kinds(config, feed))},
        top_level=frozenset(feed.name for feed in config.feed if feed.top_level_domains),
    )
    if guard.popularity or not guard.popular_names:
        return protection
    return replace(protection, popularity=str(POPULAR), popularity_refuse=0, popularity_hold=HELD_OF_SHIPPED, version="shipped")


class ProtectedNames:
    """All names of a `Protection`, public suffixes included, ready to be compared with lists."""

    def __init__(self, protection: Protection) -> None:
        """Raises `OSError` when the popularity list cannot be read."""
        self._at: dict[bytes, list[Caught]] = {}
        self._above: dict[bytes, list[Caught]] = {}
        wildcards, self._excepted = self._add_suffixes()
        self._wildcard = re.compile(b"|".join(map(re.escape, sorted(wildcards, key=len, reverse=True)))).match
        if protection.popularity:
            self._add_popular(protection)
        if protection.giants:
            for line in GIANTS.read_text(encoding="ascii").split():
                self._add(_key(line), Caught(f"{line}: too many depend on it", "giant"))
            for name, purpose in critical():
                self._add(_key(name), Caught(f"{name}: {purpose}", "critical"))
        for name, (why, kind) in protection.names.items():
            self._add(_key(name), Caught(f"{name}: {why}", kind))
        self._networks = ProtectedNetworks(protection.networks, protection.widest, shipped=protection.giants)
        self._skip = protection.skip
        self._top_level = protection.top_level

    def sieve(self, decided: Decided, feed: str = "") -> Sieve:
        """A sieve for the list of `feed`."""
        return Sieve(self, decided, self._skip.get(feed, frozenset()), top_level=feed in self._top_level)

    def take_out(self, names: dict[bytes, int], decided: Decided, feed: str = "") -> HeldNames:
        """Remove protected names from `names`, the entries of one list; returns those removed."""
        sieve = self.sieve(decided, feed)
        sieve(names)
        return sieve.held

    def caught(
        self, names: Mapping[bytes, int], skip: frozenset[str], skip_of_top_level: frozenset[str]
    ) -> Iterator[tuple[bytes, Caught]]:
        """What of `names` is caught, but for the kinds to skip, some of them in top-level domains; the last reason counts."""

        def reason(key: bytes, reasons: list[Caught]) -> Caught | None:
            return _first(reasons, skip_of_top_level if key and _is_one_below(key, 0) else skip)

        for key in names.keys() & self._above.keys():
            if names[key] & BLOCK_BELOW and (found := reason(key, self._above[key])) is not None:
                yield key, found
        if "registry" not in skip:
            for key in names:
                if (base := self._wildcard(key)) is not None and _is_one_below(key, base.end()) and key not in self._excepted:
                    yield key, Caught(f"{to_text(from_reversed_key(key))}: a public suffix", "registry")
        for key in names.keys() & self._at.keys():
            if names[key] & BLOCK_SUBTREE and (found := reason(key, self._at[key])) is not None:
                yield key, found

    def caught_networks(self, networks: Mapping[bytes, int], skip: frozenset[str]) -> Iterator[tuple[bytes, Caught]]:
        """Likewise of networks."""
        for key in networks:
            for why, kind in self._networks.reasons(key):
                if kind not in skip:
                    yield key, Caught(why, kind)
                    break

    def _add(self, key: bytes, caught: Caught) -> None:
        if key:
            self._at.setdefault(key, []).append(caught)
        end = 0
        while end < len(key):
            self._above.setdefault(key[:end], []).append(caught)
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
            self._add(key, Caught(f"{rule}: a public suffix", "registry" if registries else "provider"))
        return wildcards, excepted

    def _add_popular(self, protection: Protection) -> None:
        """The most popular last, so that the best rank counts."""
        for rank, key in reversed(list(ranked(Path(protection.popularity), protection.popularity_hold))):
            why = f"{to_text(from_reversed_key(key))}: number {rank:,} of the popular names"
            self._add(key, Caught(why, "popular", refused=rank <= protection.popularity_refuse))


class Sieve:
    """Takes protected names and networks out of one list, part by part; `held` has those taken out so far."""

    def __init__(self, protected: ProtectedNames, decided: Decided, skip: frozenset[str], *, top_level: bool = False) -> None:
        self._protected = protected
        self._skip = skip
        self._skip_of_top_level = skip | SUFFIX_KINDS if top_level else skip
        self._decisions = {form: _DecidedEntries.of(decided, form) for form in (NAMES, NETWORKS)}
        self._counts = [0, 0]
        self._told: tuple[dict[str, Caught], dict[str, Caught]] = {}, {}

    @property
    def held(self) -> HeldNames:
        """The names and networks that were taken out so far."""
        held, refused = self._told
        return HeldNames(
            held=self._counts[0],
            refused=self._counts[1],
            names={text: caught.why for text, caught in held.items()},
            refused_names={text: caught.why for text, caught in refused.items()},
            kinds={text: caught.kind for text, caught in held.items()},
        )

    def __call__(self, names: dict[bytes, int]) -> None:
        """Take protected names out of `names`."""
        self._take(names, self._protected.caught(names, self._skip, self._skip_of_top_level), NAMES)

    def networks(self, networks: dict[bytes, int]) -> None:
        """Take protected networks out of `networks`."""
        self._take(networks, self._protected.caught_networks(networks, self._skip), NETWORKS)

    def _take(self, entries: dict[bytes, int], caught: Iterator[tuple[bytes, Caught]], form: _Form) -> None:
        decided = self._decisions[form]
        found = dict(caught)
        found.update((key, reason) for key, reason in decided.out.items() if key in entries)
        for key, reason in found.items():
            if key in decided.released and not reason.refused:
                continue
            del entries[key]
            if key in decided.dropped:
                continue
            self._counts[reason.refused] += 1
            told = self._told[reason.refused]
            if len(told) < MAX_HELD_NAMES:
                told[form.text(key)] = reason


class _Form(NamedTuple):
    """How names or networks are converted between text and key."""

    key: Callable[[str], bytes]
    text: Callable[[bytes], str]


class _DecidedEntries(NamedTuple):
    """The decisions of administrators about the names or the networks of a feed, by key."""

    released: frozenset[bytes]
    dropped: frozenset[bytes]
    out: dict[bytes, Caught]

    @classmethod
    def of(cls, decided: Decided, form: _Form) -> _DecidedEntries:
        return cls(
            frozenset(form.key(text) for text in decided.released if _form_of(text) is form),
            frozenset(form.key(text) for text in decided.dropped if _form_of(text) is form),
            {form.key(text): Caught(f"{text}: {why}", "order") for text, why in decided.out.items() if _form_of(text) is form},
        )


def _form_of(text: str) -> _Form:
    return NETWORKS if network_key(text) else NAMES


def _first(reasons: list[Caught], skip: frozenset[str]) -> Caught | None:
    """The reason to tell: one that cannot be released, else the last."""
    found = None
    for reason in reasons:
        if reason.kind not in skip and (found is None or not found.refused):
            found = reason
    return found


def _is_one_below(key: bytes, end: int) -> bool:
    return end < len(key) and end + 1 + key[end] == len(key)


def _key(text: str) -> bytes:
    return reversed_key(from_text(text))


NAMES: Final = _Form(_key, lambda key: to_text(from_reversed_key(key)))
NETWORKS: Final = _Form(network_key, network_text)


def _host(url: str) -> str:
    """The name of the host in `url`; "" for an address or a file."""
    host = urlsplit(url).hostname or ""
    if not host or ":" in host or host.rpartition(".")[2].isdigit():
        return ""
    try:
        return str(parse_allowed(host))
    except InvalidAddress:
        return ""
