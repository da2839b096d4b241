"""What a node believes: a store that replays, withholds, mixes or forges is refused, each with words that say what is wrong."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from feeds.fleet import trust
from feeds.fleet.object_store import open_store
from feeds.fleet.release import Urgent
from feeds.fleet.stored import NotFound, ObjectStoreError
from feeds.fleet.trusted import Found, TrustedStore, UntrustedError
from tests.unit.feeds.fleet.smallpublisher import SmallPublisher, text_of

TIMESTAMP = "metadata/timestamp.json"


@pytest.fixture
def publisher(tmp_path: Path) -> SmallPublisher:
    made = SmallPublisher(tmp_path / "publisher")
    made.publish({"a": text_of("bad.example")})
    return made


@pytest.fixture
def node(tmp_path: Path, publisher: SmallPublisher) -> TrustedStore:
    return new_node(tmp_path, publisher)


def new_node(tmp_path: Path, publisher: SmallPublisher) -> TrustedStore:
    (tmp_path / "node").mkdir(exist_ok=True)
    return TrustedStore(open_store(publisher.store.as_uri()), publisher.root_file, tmp_path / "node/metadata")


def look(node: TrustedStore, release: str = "", urgent: str = "") -> Found | None:
    found = asyncio.run(node.look("all", release, urgent))
    node.handled()
    return found


def refused(node: TrustedStore, reason: str, result: str = "refused") -> None:
    with pytest.raises(UntrustedError, match=reason) as caught:
        look(node)
    assert caught.value.result == result


def test_only_what_is_new_is_fetched(publisher: SmallPublisher, node: TrustedStore) -> None:
    """The documents come once; an unchanged pointer costs one question; urgent entries change without a new release."""
    first = look(node)
    assert first is not None
    assert first.release is not None
    assert (first.release.number, first.pointer.sequence) == (1, 1)
    received = node.bytes_total
    assert look(node, first.release_sha256, first.urgent_sha256) is None
    assert node.bytes_total == received
    publisher.urgent = Urgent(revision=5)
    publisher.sign()
    second = look(node, first.release_sha256, first.urgent_sha256)
    assert second is not None
    assert second.release is None
    assert second.urgent == Urgent(revision=5)


def test_a_replayed_pointer_is_refused(tmp_path: Path, publisher: SmallPublisher, node: TrustedStore) -> None:
    """An older state of the whole store, still within its time, is a rollback, also for a node that was started anew."""
    shutil.copytree(publisher.store, tmp_path / "old")
    publisher.publish({"a": text_of("worse.example")})
    look(node)
    shutil.rmtree(publisher.store)
    shutil.copytree(tmp_path / "old", publisher.store)
    for one in (node, new_node(tmp_path, publisher)):
        refused(one, "older than what was seen before")


def test_a_frozen_pointer_expires(tmp_path: Path, publisher: SmallPublisher, node: TrustedStore) -> None:
    """A store that withholds what is new is found out when its pointer expires, also without a new one."""
    publisher.sign(valid_s=1.0)
    look(node)
    time.sleep(1.2)
    refused(node, "has expired at .*: has the publisher stopped, or is this clock wrong", "expired")
    refused(new_node(tmp_path, publisher), "has expired at", "expired")


@pytest.mark.parametrize(
    ("ahead_s", "said"), [(0.0, "is this clock wrong"), (86400.0, "or this clock is wrong: the store says that it is")]
)
def test_clocks_are_compared(tmp_path: Path, publisher: SmallPublisher, node: TrustedStore, ahead_s: float, said: str) -> None:
    """A pointer that has expired by a clock which differs from the store's is said to be that."""
    publisher.sign(now_s=time.time() - 7200, valid_s=60.0)
    store = open_store(publisher.store.as_uri())
    store.date_s = time.time() - ahead_s
    (tmp_path / "other").mkdir()
    refused(TrustedStore(store, publisher.root_file, tmp_path / "other/metadata"), said, "expired")


def test_a_store_without_a_pointer(tmp_path: Path, publisher: SmallPublisher, node: TrustedStore) -> None:
    """Nothing was published yet, or what was published is gone: these are not the same, also after a restart."""
    (tmp_path / "empty").mkdir()
    new = TrustedStore(open_store((tmp_path / "empty").as_uri()), publisher.root_file, tmp_path / "other")
    with pytest.raises(NotFound, match=r"timestamp\.json: not there: nothing has been published to this store yet"):
        look(new)
    look(node)
    (publisher.store / TIMESTAMP).unlink()
    for one in (node, new_node(tmp_path, publisher)):
        with pytest.raises(NotFound, match=r"timestamp\.json: not there: it is gone"):
            look(one)


def test_a_number_that_no_program_has(publisher: SmallPublisher, node: TrustedStore) -> None:
    """A pointer with a number of two hundred digits is refused before it reaches the status and the metrics."""
    look(node)
    publisher.sequence = 10**200
    publisher.sign()
    refused(node, "out of all bounds")


def _web_page(publisher: SmallPublisher, _: Path) -> None:
    publisher.write(TIMESTAMP, b"<html>Log in to the hotel's network</html>")


def _other_keys(publisher: SmallPublisher, tmp_path: Path) -> None:
    (tmp_path / "thief").mkdir()
    trust.make_keys(tmp_path / "thief", now_s=time.time())
    publisher.sign(keys=tmp_path / "thief")


def _mixed(publisher: SmallPublisher, _: Path) -> None:
    publisher.publish({"a": text_of("worse.example")})
    publisher.write("metadata/2.targets.json", (publisher.store / "metadata/1.targets.json").read_bytes())


def _missing(publisher: SmallPublisher, _: Path) -> None:
    publisher.publish({"a": text_of("worse.example")})
    (publisher.store / "metadata/2.snapshot.json").unlink()


def _endless(publisher: SmallPublisher, _: Path) -> None:
    publisher.publish({"a": text_of("worse.example")})
    publisher.write("metadata/2.targets.json", b" " * 5_000_000)


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (_web_page, "not the metadata of a fleet; is it a web page"),
        (_other_keys, "not signed by the keys of the fleet"),
        (_mixed, "damaged, or of another moment"),
        (_missing, "incomplete: .*2.snapshot.json: not there"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, publisher: SmallPublisher, node: TrustedStore, deed: Callable[[SmallPublisher, Path], None], reason: str
) -> None:
    """A forged or incomplete store is refused, and believed again when it is whole and newer."""
    assert look(node) is not None
    deed(publisher, tmp_path)
    refused(node, reason)
    publisher.publish({"a": text_of("next.example")})
    found = look(node)
    assert found is not None
    assert found.release is not None
    assert found.release.number == publisher.number


def test_an_endless_document_is_not_read(tmp_path: Path, publisher: SmallPublisher, node: TrustedStore) -> None:
    """No more of a document is read than its bound."""
    look(node)
    _endless(publisher, tmp_path)
    with pytest.raises((ObjectStoreError, UntrustedError), match=r"5,000,000|bytes|[Ll]ength"):
        look(node)


def test_keys_are_rotated(publisher: SmallPublisher, node: TrustedStore) -> None:
    """A new online key, signed by the root, is believed without any change on the node; the revoked one is not any more."""
    look(node)
    old = publisher.keys.parent / "old"
    shutil.copytree(publisher.keys, old)
    trust.rotate(publisher.keys, "online", now_s=time.time())
    trust.sign(publisher.keys, next(publisher.keys.glob("root-*.pem")))
    publisher.publish({"a": text_of("next.example")})
    found = look(node)
    assert found is not None
    assert found.release is not None
    publisher.sign(keys=old)
    refused(node, "not signed by the keys of the fleet")


def test_a_wrong_root_file_is_named(tmp_path: Path, publisher: SmallPublisher) -> None:
    """The error names `root_file`."""
    (tmp_path / "root.json").write_text("{}")
    node = TrustedStore(open_store(publisher.store.as_uri()), tmp_path / "root.json", tmp_path / "metadata")
    refused(node, r"root_file = .*root.json: not the root of a fleet")
    node = TrustedStore(open_store(publisher.store.as_uri()), tmp_path / "none.json", tmp_path / "metadata")
    refused(node, r"none.json: No such file")
