"""A state directory of a later version, as after a downgrade: the program says what it does not read, and keeps it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from pdns.event_store.sqlite_schema import store_path
from pdns.files import records
from tests.integration.busyscene import command
from tests.integration.running_pdns import SINKHOLE, RunningPdns, feed

LATER = 99
KEPT = ("overrides.json", "feeds/example/hold.json", "feeds/example/copy.json", "hits.msgpack")


def raise_versions(state_dir: Path) -> dict[str, bytes]:
    """Give every file with a version a later one, and a checksum that fits. What the files say now."""
    found = {}
    for path in [*state_dir.rglob("*.json"), *state_dir.rglob("*.json.backup")]:
        content = msgspec.json.decode(path.read_bytes())
        content.pop("checksum", None)
        later = msgspec.defstruct("Later", [*((name, object) for name in content if name not in ("version", "format"))])
        values = [value for name, value in content.items() if name not in ("version", "format")]
        numbered = msgspec.defstruct("Numbered", [("version", int), ("format", int)], bases=(later,), kw_only=True)
        path.write_bytes(records.encode(numbered(*values, version=LATER, format=LATER)))
    for path in state_dir.glob("hits.msgpack*"):
        path.write_bytes(msgspec.msgpack.encode({**msgspec.msgpack.decode(path.read_bytes(), strict=False), "version": LATER}))
    with closing(sqlite3.connect(store_path(state_dir))) as db:
        db.execute(f"PRAGMA user_version = {LATER}")
    for name in KEPT:
        found[name] = (state_dir / name).read_bytes()
    return found


def test_a_later_state_is_kept_and_not_misread(tmp_path: Path) -> None:
    """What the feed lists is blocked from a new blockset. What administrators decided is not in force, which the log and /readyz
    say, and lies beside it, byte for byte; so does the event store.
    """
    with RunningPdns(tmp_path, {"server": {"workers": 1}, "feed": [feed(tmp_path, "example", "evil.example")]}) as pdns:
        command(pdns, "block", "local.example", "--reason", "test")
        command(pdns, "feeds", "hold", "example", "--reason", "test")
        assert pdns.addresses("evil.example") == pdns.addresses("local.example") == [SINKHOLE]
        pdns.wait_for(store_path(pdns.state_dir).exists, "events")
        assert pdns.stop() == 0
        before = raise_versions(pdns.state_dir)
        pdns.start()
        pdns.wait_for(lambda: pdns.addresses("evil.example") == [SINKHOLE], "blocked from a new blockset")
        assert pdns.addresses("local.example") != [SINKHOLE]
        for name, content in before.items():
            path = pdns.state_dir / name
            (kept,) = path.parent.glob(f"{path.name}.damaged-*")
            assert kept.read_bytes() == content, name
            assert str(kept.relative_to(pdns.state_dir)) in pdns.get("/readyz")[1]
        assert (
            "overrides.json cannot be used (it has version 99, which was written by a later version of the program)" in pdns.log
        )
        assert pdns.addresses("evil.example") == [SINKHOLE]
        pdns.wait_for(lambda: list((pdns.state_dir / "events").glob("events.db.damaged-*")), "a new event store")
        assert "expected version 1 of the event store, found 99" in pdns.log
        assert pdns.value("damaged_files") > len(KEPT)
