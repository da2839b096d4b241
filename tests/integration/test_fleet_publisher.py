"""A publisher, the real program, with a bucket of an S3 server; its bucket is read as TUF demands."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from feeds.fleet import packed, trust
from feeds.fleet.entries_text import read_text
from feeds.fleet.object_store import open_store
from feeds.fleet.release import MAX_OBJECT_BYTES, Release, Urgent, decode
from feeds.fleet.stored import NotFound
from tests.integration.running_pdns import RunningPdns, feed
from tests.integration.test_fleet_node import pdns_of, status

KEYS = "[default]\naws_access_key_id = key\naws_secret_access_key = secret\n"


@pytest.fixture
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/fleet", method="PUT")):  # a bucket
        pass
    yield f"http://{host}:{port}"
    server.stop()


class _Bucket(FetcherInterface):
    def __init__(self, endpoint: str, credentials: Path) -> None:
        self._endpoint, self._credentials = endpoint, credentials

    def read(self, path: str) -> bytes:
        async def ask() -> bytes:
            store = open_store("s3://fleet/national", self._endpoint, "", str(self._credentials))
            data, _ = await store.get(path, MAX_OBJECT_BYTES)
            assert isinstance(data, bytes)
            return data

        return asyncio.run(ask())

    def _fetch(self, url: str) -> list[bytes]:  # type: ignore[override]  # it goes through it once
        try:
            return [self.read(url.removeprefix("store:///"))]
        except NotFound:
            raise DownloadHTTPError("not there", 404) from None


class _BucketReader:
    def __init__(self, bucket: _Bucket, root: bytes, directory: Path) -> None:
        self._bucket, self._root, self._directory = bucket, root, directory

    def target(self, name: str) -> bytes:
        updater = Updater(
            str(self._directory), "store:///metadata/", str(self._directory), "store:///targets/",
            fetcher=self._bucket, bootstrap=self._root,
        )  # fmt: skip
        info = updater.get_targetinfo(name)
        assert info is not None
        return Path(updater.download_target(info, str(self._directory / "target"))).read_bytes()

    def keys(self, ring: str) -> set[bytes]:
        """What the only feed lists."""
        release = decode(self.target(f"release/{ring}.json"), Release)
        known = release.feeds[0]
        text = packed.unpack(self._bucket.read(packed.path_of(known.full.sha256)), known.full)
        assert known.full_text == known.text  # a list that is this short is packed as a whole each time
        return {entry.key for entry in read_text(text)}

    def urgent(self) -> Urgent:
        return decode(self.target("urgent.json"), Urgent)


def test_a_publisher_with_a_bucket(tmp_path: Path, s3: str) -> None:
    """A confined feeds process signs and uploads. A change goes to ring first, an entry at once, a rollback to all rings."""
    keys, node, state = tmp_path / "keys", tmp_path / "node", tmp_path / "publisher"
    for directory in (keys, node, state):
        directory.mkdir()
    trust.make_keys(keys, now_s=time.time())
    (tmp_path / "credentials").write_text(KEYS)
    lists = feed(tmp_path, "listed", "one.example")
    path = Path(str(lists["url"]).removeprefix("file://"))
    fleet = {"role": "publisher", "store": "s3://fleet/national", "endpoint": s3, "keys_dir": str(keys)}
    config = {"feed": [lists], "fleet": {**fleet, "credentials_file": str(tmp_path / "credentials")}}
    reader = _BucketReader(_Bucket(s3, tmp_path / "credentials"), (keys / "root.json").read_bytes(), node)
    with RunningPdns(state, config) as publisher:
        publisher.wait_for(lambda: status(publisher).sequence >= 1, "the first release")
        assert reader.keys("all") == {b"\7example\3one"}
        assert publisher.get("/readyz")[0] == 200
        path.write_text("one.example\ntwo.example\n")
        publisher.wait_for(lambda: status(publisher).rings.get("first") == 2, "the change")
        publisher.wait_for(lambda: len(reader.keys("first")) == 2, "the change in the bucket")
        assert len(reader.keys("all")) == 1
        pdns_of(publisher, "allow", "two.example", "--reason", "a mistake")
        publisher.wait_for(lambda: [one.name for one in reader.urgent().indicators] == ["two.example"], "the entry in the bucket")
        pdns_of(publisher, "fleet", "promote", "2", "all")
        assert len(reader.keys("all")) == 2
        pdns_of(publisher, "fleet", "rollback", "1")
        assert len(reader.keys("first")) == len(reader.keys("all")) == 1
        publisher.wait_for(lambda: status(publisher).pinned, "the status")
        assert not status(publisher).last_error
