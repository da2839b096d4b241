"""A publisher of a fleet in a directory, as small as it can be: what it is told, signed."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Mapping
from pathlib import Path

from feeds.fleet import line_diff, trust
from feeds.fleet.entries_text import NAME, Said, TextEntry, write_text
from feeds.fleet.packed import pack, path_of
from feeds.fleet.release import Delta, FeedContent, Release, StoredObject, Urgent, encode, encode_small
from feeds.fleet.signing import TIMESTAMP_PATH, PublisherKeys, snapshot_path, target_path, targets_path
from pdns.core.listing import BLOCK_SUBTREE
from pdns.wire.names import from_text, reversed_key

RINGS = ("first", "early", "all")
DAY = 20_000


def text_of(*names: str) -> bytes:
    """The canonical text of a feed that blocks these names."""
    out = io.BytesIO()
    said = Said(BLOCK_SUBTREE, DAY)
    write_text(out, [TextEntry(NAME, key, said) for key in sorted(reversed_key(from_text(name)) for name in names)])
    return out.getvalue()


class SmallPublisher:
    """Its store is `directory/store`, its keys are in `directory/keys`."""

    def __init__(self, directory: Path, feeds: tuple[str, ...] = ("a",)) -> None:
        self.store, self.keys = directory / "store", directory / "keys"
        self.store.mkdir(parents=True)
        self.keys.mkdir()
        trust.make_keys(self.keys, now_s=time.time())
        self.sequence = self.number = 0
        self.urgent = Urgent()
        self.release: Release | None = None
        self.policy = "".join(f'[[feed]]\nname = "{name}"\nurl = "fleet:{name}"\n' for name in feeds)
        self._texts: dict[str, bytes] = {}  # feed -> text
        self._known: dict[str, FeedContent] = {}

    @property
    def root_file(self) -> Path:
        return self.keys / "root.json"

    def publish(self, lists: Mapping[str, bytes], *, compiled: str = "", full: bool = False, valid_s: float = 3600.0) -> Release:
        """A new release, to all rings."""
        self.number += 1
        feeds = [self._feed(name, text, full=full) for name, text in lists.items()]
        self.release = Release(
            number=self.number,
            created_s=time.time(),
            compiled=compiled or hashlib.sha256(b"").hexdigest(),
            feeds=feeds,
            policy=self.put(self.policy.encode()),
        )
        self.sign(valid_s=valid_s)
        return self.release

    def sign(self, *, valid_s: float = 3600.0, now_s: float | None = None, keys: Path | None = None) -> None:
        """Sign what there is, under the next number."""
        self.sequence += 1
        targets = {"urgent.json": encode(self.urgent)}
        if self.release is not None:
            targets |= {f"release/{ring}.json": encode_small(self.release) for ring in RINGS}
        signer = PublisherKeys(keys or self.keys)
        files = signer.sign(self.sequence, targets, time.time() if now_s is None else now_s, valid_s)
        for name, data in targets.items():
            self.write(target_path(name, data), data)
        for version, root in signer.versions.items():
            self.write(f"metadata/{version}.root.json", root)
        self.write(targets_path(self.sequence), files.targets)
        self.write(snapshot_path(self.sequence), files.snapshot)
        self.write(TIMESTAMP_PATH, files.timestamp)

    def put(self, content: bytes) -> StoredObject:
        """An object of the store."""
        out = io.BytesIO()
        stored = pack(io.BytesIO(content), out)
        self.write(path_of(stored.sha256), out.getvalue())
        return stored

    def write(self, path: str, data: bytes) -> None:
        """A file of the store, in place of what was there."""
        (self.store / path).parent.mkdir(parents=True, exist_ok=True)
        new = (self.store / path).with_suffix(".new")
        new.write_bytes(data)
        new.replace(self.store / path)

    def _feed(self, name: str, text: bytes, *, full: bool) -> FeedContent:
        sha256, known = hashlib.sha256(text).hexdigest(), self._known.get(name)
        if known is None or full:
            whole, full_text, deltas = self.put(text), sha256, list[Delta]()
        else:
            whole, full_text, deltas = known.full, known.full_text, list(known.deltas)
        if known is not None and known.text != sha256:
            out = io.BytesIO()
            line_diff.make(io.BytesIO(self._texts[name]), io.BytesIO(text), out)
            deltas.append(Delta(before=known.text, after=sha256, object=self.put(out.getvalue())))
        entries = max(0, text.count(b"\n") - 1)
        self._texts[name] = text
        self._known[name] = FeedContent(
            name=name, text=sha256, text_bytes=len(text), entries=entries, full=whole, full_text=full_text, deltas=deltas
        )
        return self._known[name]
