"""What is held, and what is not: limits on the size of an update, and names that no list blocks by itself."""

from __future__ import annotations

import gzip
import lzma
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from feeds.popular import HELD_OF_SHIPPED, POPULAR, critical, ranked, refresh
from feeds.protected_names import Decided, ProtectedNames, Protection, protection_of
from feeds.protected_networks import network_key
from feeds.update_limits import (
    END_BY_THEMSELVES,
    PURPOSE,
    Change,
    UpdateLimits,
    Usual,
    judge,
    limits_of,
    skipped_kinds,
    usual_of,
    with_usual,
)
from pdns.blockset.annotations import DAY_S
from pdns.config.policy_schema import Tenant
from pdns.config.schema import Access, Config, Feed, Guard, Upstream
from pdns.config.value_types import GUARD_KINDS
from pdns.core.listing import ALLOW_SUBTREE, BLOCK_BELOW, BLOCK_NAME, BLOCK_SUBTREE
from pdns.errors import FeedError
from pdns.wire.names import from_reversed_key, from_text, reversed_key, to_text

LIMITS = UpdateLimits(
    max_shrink=0.3, max_growth=1.0, max_turnover=0.7, max_popular=0.01, max_popular_first=0.2, small_change=100, min_entries=1
)


@pytest.mark.parametrize(
    ("entries", "before", "kind"),
    [
        (5, 3, ""),
        (3, 100, ""),  # a small list may do as it likes
        (104, 3, "growth"),
        (1000, None, ""),
        (1000, 1000, ""),
        (574, 1000, ""),  # 30 %, and what chance does to a thousand
        (573, 1000, "shrink"),
        (2126, 1000, ""),
        (2127, 1000, "growth"),
        (696_000, 1_000_000, ""),
        (695_900, 1_000_000, "shrink"),
        (1, 1_000_000, "shrink"),
        (0, 50, "minimum"),
        (0, None, "minimum"),
    ],
)
def test_sizes(entries: int, before: int | None, kind: str) -> None:
    """A list may lose 30 % and grow to twice its size, small ones more; a difference of a hundred entries is always fine."""
    finding = judge(Change(entries=entries, before=before), LIMITS)
    assert (finding.kind if finding else "") == kind


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (Change(entries=2214, before=2214, fresh=2214, removed=2214), "turnover"),
        (Change(entries=2214, before=2214, fresh=1500, removed=1500), ""),
        (Change(entries=200, before=200, fresh=200, removed=200), "turnover"),
        (Change(entries=130, before=130, fresh=130, removed=130), ""),  # too few to tell
        (Change(entries=4000, before=2214, fresh=4000, removed=2214), "turnover"),
        (Change(entries=4000, before=2214, fresh=1800, removed=14), ""),  # it grows
        (Change(entries=1600, before=2214, fresh=0, removed=614), ""),  # it shrinks
        (Change(entries=2214, before=2214, fresh=0, removed=2214), ""),  # what left comes back
        (Change(entries=2214, before=2214, fresh=2214, removed=2214, popular=2028), "popularity"),
        (Change(entries=2240, before=2214, fresh=26, removed=0, popular=11), "popularity"),
        (Change(entries=2240, before=2214, fresh=26, removed=0, popular=9), ""),
        (Change(entries=9000, before=7000, fresh=2000, popular=31), "popularity"),
        (Change(entries=2240, before=2214, fresh=26, removed=0, popular=20, popular_before=1500), ""),  # it always lists such
        (Change(entries=1000, fresh=1000, popular=900), "popularity"),  # its first copy
        (Change(entries=18_254, fresh=18_254, popular=60), ""),
        (Change(entries=12, fresh=12, popular=9), ""),
    ],
)
def test_other_content(change: Change, kind: str) -> None:
    """Same size, other content: most of the names replaced at once, or popular names among those that are new."""
    finding = judge(change, LIMITS)
    assert (finding.kind if finding else "") == kind


def test_what_was_fine_before_is_fine_again() -> None:
    """Sizes and turnover that were in force within the last year are no finding; what is older is forgotten."""
    change = Change(entries=5_500, before=10_000, fresh=5_000, removed=9_500)
    assert judge(change, LIMITS) is not None
    known = with_usual({}, change, 100 * DAY_S)
    limits = replace(LIMITS, usual=usual_of(known.values()))
    assert judge(change, limits) is None
    assert judge(Change(entries=10_000, before=5_500, fresh=0, removed=0), limits) is None
    assert judge(replace(change, entries=4_000, removed=9_700), limits) is not None
    assert judge(Change(entries=12_500, before=5_500), limits) is not None
    later = with_usual(known, Change(entries=10_000, before=10_000), 500 * DAY_S)
    assert usual_of(later.values()) == Usual(low=10_000, high=10_000)


def test_a_list_that_was_nearly_emptied_teaches_nothing() -> None:
    """A copy that is in force although next to nothing is left makes no rule of it."""
    usual = usual_of(with_usual({}, Change(entries=10, before=10_000), DAY_S).values())
    assert usual is not None
    assert usual.low == 2_000 - 1 or usual.low == 2_000


def test_a_feed_has_limits_of_its_own() -> None:
    """Keys of a feed stand in for those of [guard], 0 included."""
    config = Config(upstream=Upstream(servers=("udp://127.0.0.1:9",)), guard=Guard(max_shrink=0.5))
    feed = Feed(name="a", url="https://feeds.example.net/a")
    assert limits_of(config, feed).max_shrink == 0.5
    own = Feed(name="a", url="https://feeds.example.net/a", max_shrink=0, max_growth=9, max_turnover=0.2, min_entries=50)
    limits = limits_of(config, own)
    assert (limits.max_shrink, limits.max_growth, limits.max_turnover, limits.min_entries) == (0, 9, 0.2, 50)
    assert judge(Change(entries=49), limits) is not None


@pytest.mark.parametrize(
    ("feed", "kept", "skipped"),
    [
        ({}, {"provider", "giant", "popular", "resolver", "own"}, set()),
        ({"category": "policy"}, {"registry", "own", "critical", "wide", "turnover"}, {"provider", "giant", "resolver"}),
        ({"category": "ads", "guard": "threat"}, {"provider", "giant", "popular", "resolver", "own"}, set()),
        ({"guard": "policy"}, {"registry", "own", "critical"}, {"provider", "giant", "popular", "upstream", "shared"}),
        ({"guard_skip": ("provider", "turnover")}, {"giant", "shrink"}, {"provider", "turnover", "wide"}),
        ({"guard": "off"}, set(), set(GUARD_KINDS)),
    ],
)  # fmt: skip
def test_what_a_feed_lets_through(feed: dict[str, Any], kept: set[str], skipped: set[str]) -> None:
    """By its category, its `guard`, its `guard_skip` and what [guard] skips for all feeds."""
    config = Config(
        upstream=Upstream(servers=("udp://127.0.0.1:9",)), guard=Guard(skip=("wide",) if "guard_skip" in feed else ())
    )
    kinds = skipped_kinds(config, Feed(name="a", url="file:///a", **feed))
    assert skipped <= kinds
    assert not kept & kinds


def listed(*entries: str) -> dict[bytes, int]:
    """Entries as a list has them: `x`, `=x` for the name alone, `*.x` for what is below, `@@x` for an exception."""
    names: dict[bytes, int] = {}
    for entry in entries:
        mark = next(mark for mark in ("=", "*.", "@@", "") if entry.startswith(mark))
        bits = {"=": BLOCK_NAME, "*.": BLOCK_BELOW, "@@": ALLOW_SUBTREE, "": BLOCK_SUBTREE}[mark]
        names[reversed_key(from_text(entry[len(mark) :]))] = bits
    return names


def live(names: dict[bytes, int]) -> set[str]:
    return {to_text(from_reversed_key(key)) for key in names}


@pytest.fixture(scope="module")
def protected_names() -> ProtectedNames:
    return ProtectedNames(
        Protection(
            names={
                "council.example": ("of tenant north", "own"),
                "www.own.example": ("configured", "own"),
                "dns.quad9.net": ("an upstream", "upstream"),
            },
            networks={"10.20.0.0/16": ("of tenant north", "network"), "192.0.2.1/32": ("a sinkhole address", "network")},
            popularity=str(POPULAR),
            popularity_hold=HELD_OF_SHIPPED,
            widest=(12, 28),
            skip={"ads": PURPOSE},
            top_level=frozenset({"registries"}),
        )
    )


@pytest.mark.parametrize(
    "entry",
    [
        "com", "co.uk", "gov.uk", "github.io", "*.com", "=co.uk", "anything.ck", "compute.amazonaws.com", "localto.net",
        "google.com", "=google.com", "*.google.com", "windows.net", "amazonaws.com", "nhs.uk",
        "council.example", "own.example", "*.own.example", "www.own.example", "=dns.quad9.net",
        "login.microsoftonline.com", "microsoftonline.com", "ocsp.digicert.com", "=digicert.com", "download.windowsupdate.com",
        "www.google.com", "cdn.jsdelivr.net", "crl3.digicert.com", "adobelogin.com", "www.msftconnecttest.com",
    ],
)  # fmt: skip
def test_caught(protected_names: ProtectedNames, entry: str) -> None:
    """Protected names, and names above them where the listing reaches down, are taken out, and the rest is left."""
    names = listed(entry, "evil.example")
    held = protected_names.take_out(names, Decided())
    assert live(names) == {"evil.example"}
    assert (held.held, list(held.names)) == (1, [entry.removeprefix("*.").removeprefix("=")])
    assert next(iter(held.names.values()))


@pytest.mark.parametrize(
    "entry",
    [
        "evil.com", "bad.blob.core.windows.net", "evil.github.io", "evil.localto.net",
        "x.google.com", "evil.microsoftonline.com", "x.login.live.com", "www.ck", "a.b.ck", "bad.s3.amazonaws.com",
        "=own.example", "x.www.own.example", "@@google.com", "@@com", "notgoogle.com",
    ],
)  # fmt: skip
def test_let_through(protected_names: ProtectedNames, entry: str) -> None:
    """A name below a protected one, a name beside it, and an exception are let through."""
    names = listed(entry)
    assert protected_names.take_out(names, Decided()).held == 0
    assert len(names) == 1


def test_a_list_with_that_purpose(protected_names: ProtectedNames) -> None:
    """Feeds about policy may list dynamic DNS, resolvers and advertisers; not registries' suffixes, own names, critical hosts."""
    entries = ["duckdns.org", "dns.google", "dns.quad9.net", "doubleclick.net", "google-analytics.com"]
    names = listed(*entries, "co.uk", "council.example", "login.live.com")
    held = protected_names.take_out(names, Decided(), "ads")
    assert live(names) == set(entries)
    assert held.kinds == {"co.uk": "registry", "council.example": "own", "login.live.com": "critical"}
    assert protected_names.take_out(listed(*entries), Decided()).held == len(entries)


def test_a_list_of_top_level_domains(protected_names: ProtectedNames) -> None:
    """A feed that means top-level domains lists one though it is a public suffix, and though suffixes are below it.

    Suffixes that are longer stay held in it, and so does a top-level domain that holds protected names.
    """
    entries = ["zip", "*.mov", "gdn", "ac.ck", "co.gg", "uk", "evil.example"]
    names = listed(*entries)
    held = protected_names.take_out(names, Decided(), "registries")
    assert live(names) == {"zip", "mov", "gdn", "evil.example"}
    assert (held.kinds["ac.ck"], held.kinds["co.gg"]) == ("registry", "registry")
    assert held.kinds["uk"] not in ("registry", "provider")
    other = protected_names.take_out(listed(*entries), Decided(), "other").kinds
    assert {name: other.get(name) for name in ("zip", "mov", "gdn")} == dict.fromkeys(("zip", "mov", "gdn"), "registry")


@pytest.mark.parametrize(
    ("network", "kind"),
    [
        ("8.0.0.0/8", "wide"), ("1.0.0.0/11", "wide"), ("2a00::/20", "wide"),
        ("1.1.1.1", "resolver"), ("8.8.8.0/24", "resolver"), ("9.9.9.9/32", "resolver"), ("2001:4860:4860::8888", "resolver"),
        ("198.41.0.0/24", "resolver"),
        ("104.16.132.229", "shared"), ("151.101.1.69", "shared"), ("13.107.246.40", "shared"), ("20.190.160.1", "shared"),
        ("185.199.108.153", "shared"), ("2606:4700::6810:84e5", "shared"), ("104.16.0.0/12", "shared"),
        ("10.20.30.40", "network"), ("10.16.0.0/12", "network"), ("192.0.2.1", "network"), ("192.0.2.0/24", "network"),
        ("45.66.230.5", ""), ("185.220.101.0/24", ""), ("42.128.0.0/12", ""), ("8.8.9.0/24", ""), ("192.0.2.2", ""),
        ("2a0e:b107::/32", ""),
    ],
)  # fmt: skip
def test_networks(protected_names: ProtectedNames, network: str, kind: str) -> None:
    """Addresses are held like names: too wide, a public resolver, shared by many sites, or our own; and released like names."""
    key = network_key(network)
    networks = {key: BLOCK_SUBTREE, network_key("45.66.230.6"): BLOCK_SUBTREE}
    sieve = protected_names.sieve(Decided())
    sieve.networks(networks)
    assert (key in networks) == (not kind)
    assert list(sieve.held.kinds.values()) == ([kind] if kind else [])
    assert len(networks) == 2 - bool(kind)
    released = protected_names.sieve(Decided(released=tuple(sieve.held.names)))
    networks = {key: BLOCK_SUBTREE}
    released.networks(networks)
    assert list(networks) == [key]


def test_decisions(protected_names: ProtectedNames) -> None:
    """A released name stays in, a dropped one goes without a word, a name that was held by order goes with its reason."""
    names = listed("google.com", "windows.net", "co.uk", "evil.example", "good.example")
    decided = Decided(released=("google.com",), dropped=("co.uk",), out={"good.example": "ticket 7", "not.listed": "x"})
    held = protected_names.take_out(names, decided)
    assert live(names) == {"google.com", "evil.example"}
    assert set(held.names) == {"windows.net", "good.example"}
    assert held.names["good.example"] == "good.example: ticket 7"


@pytest.mark.parametrize("written", ["{name}\n", "{rank},{name}\n", "{rank}\t{name}\r\n"])
def test_popular_names(tmp_path: Path, written: str) -> None:
    """Up to the first rank a name is refused, whoever releases it; up to the second held; below it goes through. A name above
    a popular one counts as that one.
    """
    path = tmp_path / "popular"
    path.write_text("".join(written.format(rank=rank, name=f"p{rank}.number{rank}.example") for rank in range(1, 41)))
    rules = Protection(giants=False, popularity=str(path), popularity_refuse=10, popularity_hold=20)
    names = listed("p1.number1.example", "number10.example", "p11.number11.example", "number20.example", "p21.number21.example")
    held = ProtectedNames(rules).take_out(names, Decided(released=("p1.number1.example", "number20.example")))
    assert live(names) == {"number20.example", "p21.number21.example"}
    assert set(held.refused_names) == {"p1.number1.example", "number10.example"}
    assert set(held.names) == {"p11.number11.example"}
    assert (held.held, held.refused) == (1, 2)


def test_what_a_configuration_protects() -> None:
    """What it names, tenants' own domains, the hosts of feeds and the names of upstreams; no address, no file, and not what one
    tenant merely allows.
    """
    config = Config(
        upstream=Upstream(servers=("tls://192.0.2.1:853#dns.example.net", "udp://192.0.2.2:53")),
        feed=(
            Feed(name="web", url="https://user:secret@feeds.example.org:8443/list"),
            Feed(name="address", url="http://192.0.2.3/list"),
            Feed(name="file", url="file:///list", top_level_domains=True),
        ),
        tenant=(
            Tenant(name="north", networks=("10.0.0.0/8",), allow=("a.example",), domains=("council.example", "*.school.example")),
        ),
        guard=Guard(protect=("own.example",)),
    )
    protection = protection_of(config)
    assert protection.top_level == frozenset({"file"})
    assert set(protection.names) == {
        "own.example", "council.example", "school.example", "feeds.example.org", "dns.example.net"
    }  # fmt: skip
    assert {"192.0.2.1/32", "192.0.2.2/32", "10.0.0.0/8", "127.0.0.1/32", "192.168.0.0/16"} <= set(protection.networks)
    open_to_all = msgspec.structs.replace(config, access=Access(networks=("0.0.0.0/0",)))
    assert "0.0.0.0/0" not in protection_of(open_to_all).networks  # nothing could be listed any more


def test_the_giants_are_names() -> None:
    """Some hundred names, each once, sorted, each a name that a list could hold."""
    giants = (Path(__file__).parents[3] / "feeds/giants.txt").read_text().split()
    assert giants == sorted(set(giants))
    assert 300 < len(giants) < 1000
    assert {"google.com", "microsoft.com", "office.com", "gov.uk", "nhs.uk", "cloudfront.net", "amazonaws.com"} <= set(giants)
    assert [to_text(from_text(name)) for name in giants] == giants


def test_the_shipped_lists_are_names() -> None:
    """Each line is a name that a list could hold, once; the critical ones each have a purpose."""
    popular = [key for _, key in ranked(POPULAR)]
    lines = [line for line in POPULAR.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(popular) == len(set(popular)) > 10_000
    assert 0 < HELD_OF_SHIPPED < len(popular)
    hosts = dict(critical())
    assert len(hosts) == sum(1 for _ in critical()) > 500
    assert all(hosts.values())
    assert [to_text(from_text(name)) for name in hosts] == list(hosts)


PAGE = (Path(__file__).parents[3] / "docs/feeds.md").read_text(encoding="utf-8")
ROWS = {
    kind: (what, policy, ends)
    for kind, what, policy, ends in re.findall(
        r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \| (yes|no) \|$", PAGE.partition("## What is held")[2], re.MULTILINE
    )
}


def test_the_page_lists_every_guard() -> None:
    """The table of docs/feeds.md has each kind, says rightly what goes through in feeds about policy, and what ends by itself."""
    assert list(ROWS) == [*GUARD_KINDS[:5], "order", *GUARD_KINDS[5:]]
    assert {kind for kind, row in ROWS.items() if row[1] == "goes through"} == PURPOSE
    assert {kind for kind, row in ROWS.items() if row[2] == "yes"} == END_BY_THEMSELVES
    assert {kind for kind, row in ROWS.items() if "update" in row[0]} == {*GUARD_KINDS[:5], "order"}


def test_the_page_says_what_is_shipped() -> None:
    """Counts of names as they are in the files."""
    assert f"| {sum(1 for _ in ranked(POPULAR)):,} popular names" in PAGE
    assert f"The first {HELD_OF_SHIPPED:,}," in PAGE
    assert f"| {sum(1 for _ in critical()):,} hosts by purpose" in PAGE


@pytest.mark.parametrize("pack", [None, gzip.compress, lzma.compress])
def test_refresh(tmp_path: Path, pack: Callable[[bytes], bytes] | None) -> None:
    """A ranking becomes a compact list: each name once, the first ones, in their order."""
    lines = "".join(f"{rank},name{rank}.example.com\n" for rank in [1, *range(1, 3000)]).encode()
    (tmp_path / "top").write_bytes(lines if pack is None else pack(lines))
    assert refresh(str(tmp_path / "top"), tmp_path / "out", 2000) == 2000
    assert [to_text(from_reversed_key(key)) for _, key in ranked(tmp_path / "out")] == [
        f"name{rank}.example.com" for rank in range(1, 2001)
    ]


@pytest.mark.parametrize("content", [b"", b"a.example\n" * 5000, b"<html>\n", None])
def test_refresh_by_something_else(tmp_path: Path, content: bytes | None) -> None:
    """What is no list of many names, or not there, leaves the list from before as it was."""
    (tmp_path / "out").write_text("before")
    if content is not None:
        (tmp_path / "top").write_bytes(content)
    with pytest.raises(FeedError, match="top"):
        refresh(str(tmp_path / "top"), tmp_path / "out", 2000)
    assert (tmp_path / "out").read_text() == "before"
