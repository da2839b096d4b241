"""What a publisher compiled, as texts: a compile of the texts gives the same files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from feeds.allowance import allowance_of
from feeds.build import perform
from feeds.compile import compile_blockset
from feeds.entries import Entries
from feeds.fleet import line_diff, packed
from feeds.fleet.entries_text import read_text
from feeds.fleet.export import DELTA, FULL, TEXT
from feeds.fleet.text_to_entries import entries_from_text
from feeds.jobs import Compile, Compiled, Exported, ExportFeed, ExportJob, Failed, Parse, Parsed, Part
from feeds.protected_names import Decided, Protection
from pdns.blockset.annotations import DAY_S
from pdns.blockset.canonical import content_hash
from pdns.blockset.layout import read_manifest
from pdns.config.schema import Feed
from pdns.core.listing import LOCAL_DATA
from tests.unit.feeds.reading import bundle

NOW_S = 20_000.5 * DAY_S
MANY = "".join(f"host{number}.bulk{number % 977}.test\n" for number in range(12_000))
HOSTS = f"{MANY}protected.test\nheld.example\ngood.example\nco.uk\n8.8.8.8\n198.51.100.0/24\n2001:db8:1::/48\n"
HOSTS_BEFORE = "gone.example\nhost1.bulk1.test\n" + "".join(f"old{number}.bulk.test\n" for number in range(5_000))
ADBLOCK = "||bad.example^\n||wide.example^\n@@||ok.wide.example^\n*.below.example\n@@||good.example^\n"
STIX = bundle(
    {"pattern": "[domain-name:value = 'phish.example']", "valid_from": "2024-01-01T00:00:00Z", "name": "phishing"},
    {"pattern": "[domain-name:value = 'over.example']", "valid_until": "2024-01-01T00:00:00Z", "name": "phishing"},
    {"pattern": "[domain-name:value = 'host3.bulk3.test']", "valid_until": "2034-01-01T00:00:00Z", "name": "malware"},
)
RPZ = (
    "$ORIGIN rpz.test.\n@ 60 SOA ns.rpz.test. h.rpz.test. 1 60 60 60 60\n"
    "walled.example A 192.0.2.7\nwalled.example A 192.0.2.8\n*.walled.example CNAME redirect.example.\nno.example CNAME .\n"
    "empty.example CNAME *.\npass.example CNAME rpz-passthru.\ndrop.example CNAME rpz-drop.\n"
    "32.1.100.51.198.rpz-client-ip CNAME rpz-drop.\n"
    "24.0.113.0.203.rpz-ip CNAME *.\n"
)
FEEDS = {
    "hosts": Feed(name="hosts", url="file:///hosts", addresses=True),
    "adblock": Feed(name="adblock", url="file:///adblock"),
    "stix": Feed(name="stix", url="file:///stix", format="stix"),
    "rpz": Feed(name="rpz", url="file:///rpz", format="rpz", rpz_action="given", addresses=True),
}  # fmt: skip
CONTENT = {"hosts": HOSTS, "adblock": ADBLOCK, "stix": STIX, "rpz": RPZ}


def parsed(directory: Path, feed: Feed, content: str, before: str = "", now_s: float = NOW_S) -> str:
    raw = directory / f"{feed.name}.raw"
    raw.write_text(content)
    path = directory / f"{feed.name}-{now_s}.parsed"
    result = perform(Parse(feed, str(raw), str(path), before, now_s=now_s, seen_s=now_s))
    assert isinstance(result, Parsed), result
    return str(path)


def compiled(directory: Path, name: str, changes: dict[str, str] | None = None) -> Path:
    """A blockset as a publisher makes it: with quarantine, protected names, and what was listed before."""
    lists = {feed: parsed(directory, FEEDS[feed], (changes or {}).get(feed, content)) for feed, content in CONTENT.items()}
    earlier = parsed(directory, FEEDS["hosts"], HOSTS_BEFORE, now_s=NOW_S - 5 * DAY_S)
    content = (changes or {}).get("hosts", HOSTS)
    lists["hosts"] = parsed(directory, FEEDS["hosts"], content, earlier)
    decided = {"hosts": Decided(out={"held.example": "ordered"}, released=("good.example",))}
    parts = [Part(FEEDS[feed], path, decided.get(feed, Decided())) for feed, path in lists.items()]
    protection = Protection(names={"protected.test": ("configured", "own")}, widest=(16, 32))
    result = perform(Compile(str(directory / name), 5, NOW_S, parts, protection))
    assert isinstance(result, Compiled), result
    assert result.held["hosts"].held >= 2
    return directory / name


def exported(directory: Path, blockset: Path, into: str, **before: ExportFeed) -> Exported:
    (directory / into).mkdir()
    feeds = [before.get(feed, ExportFeed(name=feed)) for feed in FEEDS]
    job = ExportJob(directory=str(directory / into), blockset=str(blockset), feeds=feeds)
    assert allowance_of(job).descriptors > allowance_of(Compile("", 0, 0, [])).descriptors
    result = perform(job)
    assert isinstance(result, Exported), result
    return result


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported]:
    directory = tmp_path_factory.mktemp("published")
    return directory, exported(directory, compiled(directory, "blockset"), "out")


def test_texts_compile_to_the_same_files(published: tuple[Path, Exported], tmp_path: Path) -> None:
    """A compile of the texts, without any sieve, gives a blockset that is equal in every mapped file."""
    directory, result = published
    inputs = []
    for feed in result.feeds:
        text = packed.unpack((directory / "out" / f"{feed.name}{FULL}").read_bytes(), feed.full) if feed.full else None
        assert text is not None
        entries_from_text(io.BytesIO(text.read()), tmp_path / feed.name)
        inputs.append((FEEDS[feed.name], Entries(tmp_path / feed.name)))
    made = compile_blockset(inputs, tmp_path / "blockset", 77, NOW_S + 9)
    original = read_manifest(directory / "blockset")
    assert {name: made.files[name] for name in made.mapped} == {name: original.files[name] for name in original.mapped}
    assert content_hash(made) == content_hash(original) == result.compiled
    assert (made.actions, made.clients, made.counts) == (original.actions, original.clients, original.counts)
    assert [feed.entries for feed in made.feeds] == [feed.entries for feed in original.feeds]


def test_texts_say_what_was_compiled(published: tuple[Path, Exported]) -> None:
    """Held, protected, expired and gone names are not in the texts; first days, annotations, actions and clients are."""
    directory, result = published
    texts = {feed.name: (directory / "out" / f"{feed.name}{TEXT}").read_bytes() for feed in result.feeds}
    assert [feed.text_bytes for feed in result.feeds] == [len(text) for text in texts.values()]
    for absent in (b"protected", b"4held", b"4gone", b"2uk2co", b"4over"):
        assert absent not in texts["hosts"] + texts["stix"]
    entries = {name: list(read_text(io.BytesIO(text))) for name, text in texts.items()}
    days = {entry.said.first_day for entry in entries["hosts"]}
    assert days == {19_995, 20_000}
    assert b'\tt="phishing"\ts=1704067200.0\n' in texts["stix"]
    kinds = [entry.kind for entry in entries["rpz"]]
    assert sorted(kinds) == kinds
    assert (kinds.count("A"), kinds.count("C")) == (1, 1)
    assert any(entry.said.at_name is not None and entry.said.at_name.kind == LOCAL_DATA for entry in entries["rpz"])


def test_changes_are_deltas(published: tuple[Path, Exported], tmp_path: Path) -> None:
    """Of a feed that has changed there is a delta, and the whole only where the delta is too long; of others nothing."""
    directory, first = published
    changed = HOSTS.replace("host7.bulk7.test\n", "") + "new.example\n"
    before = {
        feed.name: ExportFeed(
            name=feed.name,
            before=str(directory / "out" / f"{feed.name}{TEXT}"),
            before_sha256=feed.text,
            most_delta_bytes=10_000 if feed.name == "hosts" else 0,
        )
        for feed in first.feeds
    }
    changes = {"hosts": changed, "adblock": ADBLOCK + "||more.example^\n"}
    result = exported(tmp_path, compiled(tmp_path, "blockset", changes), "out", **before)
    hosts, adblock, stix, rpz = result.feeds
    assert [feed.changed for feed in result.feeds] == [True, True, False, False]
    assert (stix.text, stix.full, stix.delta, rpz.delta) == (first.feeds[2].text, None, None, None)
    assert hosts.full is None
    assert adblock.full is not None
    assert result.compiled != first.compiled
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        f"adblock{DELTA}", f"adblock{FULL}", f"adblock{TEXT}", f"hosts{DELTA}", f"hosts{TEXT}",
    ]  # fmt: skip
    assert hosts.delta is not None
    difference = packed.unpack((out / f"hosts{DELTA}").read_bytes(), hosts.delta)
    made = io.BytesIO()
    applied = line_diff.apply(io.BytesIO(Path(before["hosts"].before).read_bytes()), difference, made, hosts.text_bytes)
    assert applied == (hosts.text, hosts.text_bytes)


def test_damaged_blockset(published: tuple[Path, Exported], tmp_path: Path) -> None:
    """A blockset that cannot be read fails the job, with the reason."""
    result = perform(ExportJob(directory=str(tmp_path), blockset=str(tmp_path / "none"), feeds=[ExportFeed(name="hosts")]))
    assert isinstance(result, Failed)
    assert "none" in result.reason
