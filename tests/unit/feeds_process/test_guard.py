"""What is held, and what is not: limits on the size of an update, and names that no list blocks by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from feeds.guard import Limits, judge, limits_of
from feeds.protected import Decided, Protected, Protection, protection_of
from pdns.blockset import ALLOW_SUBTREE, BLOCK_BELOW, BLOCK_NAME, BLOCK_SUBTREE
from pdns.config import Config, Feed, Guard, Tenant, Upstream
from pdns.core.names import from_reversed_key, from_text, reversed_key, to_text

LIMITS = Limits(max_shrink=0.3, max_growth=1.0, small_change=100, min_entries=1)


@pytest.mark.parametrize(
    ("entries", "before", "kind"),
    [
        (5, 3, ""),
        (3, 100, ""),  # a small list may do as it likes
        (104, 3, "growth"),
        (1000, None, ""),
        (1000, 1000, ""),
        (700, 1000, ""),
        (699, 1000, "shrink"),
        (2000, 1000, ""),
        (2001, 1000, "growth"),
        (1, 1_000_000, "shrink"),
        (0, 50, "minimum"),
        (0, None, "minimum"),
    ],
)
def test_sizes(entries: int, before: int | None, kind: str) -> None:
    """A list may lose 30 % and grow to twice its size, and move by up to a hundred entries whatever that is of it."""
    finding = judge(entries, before, LIMITS)
    assert (finding.kind if finding else "") == kind


def test_a_feed_has_limits_of_its_own() -> None:
    """Keys of a feed stand in for those of [guard], 0 included."""
    config = Config(upstream=Upstream(servers=("udp://127.0.0.1:9",)), guard=Guard(max_shrink=0.5))
    feed = Feed(name="a", url="https://feeds.example.net/a")
    assert limits_of(config, feed).max_shrink == 0.5
    own = Feed(name="a", url="https://feeds.example.net/a", max_shrink=0, max_growth=9, min_entries=50)
    assert limits_of(config, own) == Limits(max_shrink=0, max_growth=9, small_change=100, min_entries=50)
    assert judge(49, None, limits_of(config, own)) is not None


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
def protected() -> Protected:
    return Protected(Protection(names={"council.example": "of tenant north", "www.own.example": "configured"}))


@pytest.mark.parametrize(
    "entry",
    [
        "com", "co.uk", "gov.uk", "github.io", "*.com", "=co.uk", "anything.ck", "compute.amazonaws.com", "localto.net",
        "google.com", "=google.com", "*.google.com", "windows.net", "amazonaws.com", "nhs.uk",
        "council.example", "own.example", "*.own.example", "www.own.example",
    ],
)  # fmt: skip
def test_caught(protected: Protected, entry: str) -> None:
    """Protected names, and names above them where the listing reaches down, are taken out, and the rest is left."""
    names = listed(entry, "evil.example")
    held = protected.take_out(names, Decided())
    assert live(names) == {"evil.example"}
    assert (held.held, list(held.names)) == (1, [entry.removeprefix("*.").removeprefix("=")])
    assert next(iter(held.names.values()))


@pytest.mark.parametrize(
    "entry",
    [
        "evil.com", "bad.blob.core.windows.net", "evil.github.io", "evil.localto.net",
        "x.google.com", "www.ck", "a.b.ck", "bad.s3.amazonaws.com",
        "=own.example", "x.www.own.example", "@@google.com", "@@com", "notgoogle.com",
    ],
)  # fmt: skip
def test_let_through(protected: Protected, entry: str) -> None:
    """What is below a protected name, beside it, or an exception, is none of the guard's business."""
    names = listed(entry)
    assert protected.take_out(names, Decided()).held == 0
    assert len(names) == 1


def test_decisions(protected: Protected) -> None:
    """A released name stays in, a dropped one goes without a word, a name that was held by order goes with its reason."""
    names = listed("google.com", "windows.net", "co.uk", "evil.example", "good.example")
    decided = Decided(released=("google.com",), dropped=("co.uk",), out={"good.example": "ticket 7", "not.listed": "x"})
    held = protected.take_out(names, decided)
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
    held = Protected(rules).take_out(names, Decided(released=("p1.number1.example", "number20.example")))
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
            Feed(name="file", url="file:///list"),
        ),
        tenant=(
            Tenant(name="north", networks=("10.0.0.0/8",), allow=("a.example",), domains=("council.example", "*.school.example")),
        ),
        guard=Guard(protect=("own.example",)),
    )
    assert set(protection_of(config).names) == {
        "own.example", "council.example", "school.example", "feeds.example.org", "dns.example.net"
    }  # fmt: skip


def test_the_giants_are_names() -> None:
    """Some hundred names, each once, sorted, each a name that a list could hold."""
    giants = (Path(__file__).parents[3] / "feeds/giants.txt").read_text().split()
    assert giants == sorted(set(giants))
    assert 300 < len(giants) < 1000
    assert {"google.com", "microsoft.com", "office.com", "gov.uk", "nhs.uk", "cloudfront.net", "amazonaws.com"} <= set(giants)
    assert [to_text(from_text(name)) for name in giants] == giants
