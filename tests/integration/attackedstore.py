"""A store of a fleet in a directory, a publisher's keys, and a node: for tests of what somebody does to the store."""

from __future__ import annotations

import asyncio
import hashlib
import io
import shutil
import time
from pathlib import Path

from feeds.fleet import line_diff, trust
from feeds.fleet.apply import Applier
from feeds.fleet.node_record import NodeDirectory
from feeds.fleet.object_store import open_store
from feeds.fleet.packed import pack, path_of
from feeds.fleet.release import Delta, FeedContent, Release, StoredObject, Urgent, encode
from feeds.fleet.signing import TIMESTAMP_PATH, PublisherKeys, snapshot_path, target_path, targets_path
from feeds.fleet.trusted import Found, TrustedStore
from pdns.state.fleet_status import RINGS

HEAD = b"# head\n"


def text_of(*names: str) -> bytes:
    """Something that has the form of a text: sorted lines."""
    return b"".join(sorted([HEAD, *(b"N" + name.encode() + b"\t1\t20000\n" for name in names)]))


class AttackedStore:
    """The store, and its publisher."""

    def __init__(self, directory: Path, *, roots: int = 1, threshold: int = 1) -> None:
        self.keys, self.directory = directory / "keys", directory / "store"
        self.keys.mkdir(parents=True)
        self.directory.mkdir()
        trust.make_keys(self.keys, roots, threshold, now_s=time.time())
        self.root_file = directory / "root.json"
        shutil.copy(self.keys / "root.json", self.root_file)
        self.sequence = 0
        self._full: tuple[StoredObject, str, bytes] | None = None
        self._last = b""
        self._deltas: list[Delta] = []

    @property
    def url(self) -> str:
        return f"file://{self.directory}"

    def put(self, path: str, data: bytes) -> None:
        """What anybody can do who may write to the store."""
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def read(self, path: str) -> bytes:
        return (self.directory / path).read_bytes()

    def publish(
        self, *names: str, keys: PublisherKeys | None = None, valid_s: float = 3600.0, now_s: float | None = None
    ) -> Release:
        """A release for all rings, as a publisher writes it. The first one is whole, the others are deltas."""
        self.sequence += 1
        text = text_of(*names)
        release = Release(number=self.sequence, created_s=time.time(), compiled="0" * 64, feeds=[self._content(text)])
        targets = {f"release/{ring}.json": encode(release) for ring in RINGS} | {"urgent.json": encode(Urgent())}
        self.sign(targets, keys or PublisherKeys(self.keys), valid_s, time.time() if now_s is None else now_s)
        return release

    def sign(self, targets: dict[str, bytes], keys: PublisherKeys, valid_s: float, now_s: float) -> None:
        """Sign and write targets with the sequence of the moment."""
        signed = keys.sign(self.sequence, targets, now_s, valid_s)
        for version, data in keys.versions.items():
            self.put(f"metadata/{version}.root.json", data)
        for name, data in targets.items():
            self.put(target_path(name, data), data)
        self.put(targets_path(self.sequence), signed.targets)
        self.put(snapshot_path(self.sequence), signed.snapshot)
        self.put(TIMESTAMP_PATH, signed.timestamp)

    def store_object(self, content: bytes) -> StoredObject:
        out = io.BytesIO()
        stored = pack(io.BytesIO(content), out)
        self.put(path_of(stored.sha256), out.getvalue())
        return stored

    def _content(self, text: bytes) -> FeedContent:
        sha256 = hashlib.sha256(text).hexdigest()
        if self._full is None:
            self._full = self.store_object(text), sha256, text
        else:
            difference = io.BytesIO()
            line_diff.make(io.BytesIO(self._last), io.BytesIO(text), difference)
            before = hashlib.sha256(self._last).hexdigest()
            self._deltas.append(Delta(before=before, after=sha256, object=self.store_object(difference.getvalue())))
        self._last = text
        return FeedContent(
            name="listed", text=sha256, text_bytes=len(text), entries=text.count(b"\n") - 1, full=self._full[0],
            full_text=self._full[1], deltas=list(self._deltas),
        )  # fmt: skip


class VerifyingNode:
    """What a node does between the store and its lists, with the code of nodes."""

    def __init__(self, directory: Path, root_file: Path, url: str) -> None:
        self._state_dir, self._root_file, self.url = directory, root_file, url
        directory.mkdir(exist_ok=True)
        self.release = 0
        self.names: bytes = b""  # the text in force

    def poll(self) -> int:
        """Returns the release in force. Raises a `PdnsError` for what is refused; the release before stays then."""
        return asyncio.run(self._poll())

    async def _poll(self) -> int:
        directory = NodeDirectory(self._state_dir)
        directory.prepare()
        store = open_store(self.url)
        trusted = TrustedStore(store, self._root_file, directory.path / "metadata")
        try:
            found: Found | None = await trusted.look("all", directory.record.release_sha256, "")
            if found is not None and (release := found.release) is not None:
                await Applier(directory, trusted).bring(release)
                directory.keep_release(release)
                directory.keep(release=release.number, wanted=release.number, release_sha256=found.release_sha256)
                self.release = release.number
                self.names = directory.text(release.feeds[0].text).read_bytes()
        finally:
            await store.close()
        return self.release
