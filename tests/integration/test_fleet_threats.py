"""What somebody can do to a fleet, and what nodes do then: the rows of the threat table of docs/fleet.md."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from feeds.fleet import rings as rings_of
from feeds.fleet import trust
from feeds.fleet.apply import UnusableRelease
from feeds.fleet.gate import BlockedName, Gate, GateLimits, TrafficTotals
from feeds.fleet.object_store import open_store
from feeds.fleet.packed import path_of
from feeds.fleet.release import Heartbeat, encode
from feeds.fleet.signing import TIMESTAMP_PATH, PublisherKeys, snapshot_path, targets_path
from feeds.fleet.stored import Existing, NotFound, ObjectStoreError, TooLarge
from feeds.fleet.trusted import POINTER_BYTES, UntrustedError
from pdns.errors import PdnsError
from tests.integration.attackedstore import AttackedStore, VerifyingNode, text_of

ROOT = Path(__file__).parents[2]
DAY_S = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> AttackedStore:
    return AttackedStore(tmp_path / "fleet")


@pytest.fixture
def node(store: AttackedStore, tmp_path: Path) -> VerifyingNode:
    """A node that has applied release 1."""
    store.publish("one.test", "two.test")
    made = VerifyingNode(tmp_path / "node", store.root_file, store.url)
    assert made.poll() == 1
    return made


def refused(node: VerifyingNode, reason: str, *, kind: type[PdnsError] = UntrustedError) -> None:
    """The node says `reason`, and keeps what it has."""
    release, names = node.release, node.names
    with pytest.raises(kind, match=reason):
        node.poll()
    assert (node.release, node.names) == (release, names)


def test_rollback(store: AttackedStore, node: VerifyingNode) -> None:
    """An old pointer with all that belongs to it is refused, and does not change what the node takes next."""
    old = store.read(TIMESTAMP_PATH)
    store.publish("one.test", "three.test")
    assert node.poll() == 2
    store.put(TIMESTAMP_PATH, old)
    refused(node, "older than what was seen before")
    store.publish("four.test")
    assert node.poll() == 3


def test_freeze(store: AttackedStore, node: VerifyingNode) -> None:
    """A pointer that has expired is refused: who holds new ones back cannot do so silently."""
    store.publish("new.test", now_s=time.time() - 120, valid_s=60)
    with pytest.raises(UntrustedError, match="has expired") as caught:
        node.poll()
    assert caught.value.result == "expired"
    assert node.release == 1


def test_mix_and_match(store: AttackedStore, node: VerifyingNode) -> None:
    """Signed metadata of different moments is refused."""
    snapshot, targets = store.read(snapshot_path(1)), store.read(targets_path(1))
    store.publish("three.test")
    whole = store.read(snapshot_path(2)), store.read(targets_path(2))
    store.put(snapshot_path(2), snapshot)
    refused(node, "damaged, or of another moment|not as the signed")
    store.put(snapshot_path(2), whole[0])
    store.put(targets_path(2), targets)
    refused(node, "damaged, or of another moment|not as the signed")
    store.put(targets_path(2), whole[1])
    assert node.poll() == 2


@contextmanager
def web(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A web server that answers GET like this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answer(self)
            except OSError:  # the client has had enough
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """The test says what it needs."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/fleet"
    finally:
        server.shutdown()
        server.server_close()


def mirror(store: AttackedStore, spoil: Callable[[str, bytes], bytes]) -> Callable[[BaseHTTPRequestHandler], None]:
    """Serves the store, with each object as `spoil` makes it."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        path = request.path.removeprefix("/fleet/")
        file = store.directory / path
        data = spoil(path, file.read_bytes()) if file.is_file() else b""
        request.send_response(200 if file.is_file() else 404)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    return answer


def test_endless_data(store: AttackedStore, node: VerifyingNode) -> None:
    """A pointer that never ends is given up after its bound."""
    sent = [0]

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(10_000):
            request.wfile.write(b"x" * 65536)
            sent[0] += 65536

    with web(endless) as url:
        node.url = url
        refused(node, f"more than {POINTER_BYTES:,}", kind=TooLarge)
    assert sent[0] < 100 * 65536  # the rest of 655 MB was not asked for


def test_an_object_longer_than_signed(store: AttackedStore, node: VerifyingNode) -> None:
    """An object that is longer than the release says is not read to its end."""
    release = store.publish("three.test")
    path = path_of(release.feeds[0].deltas[-1].object.sha256)
    store.put(path, store.read(path) + b"x" * 1_000_000)
    store.put(path_of(release.feeds[0].full.sha256), b"y" * 1_000_000)
    refused(node, "more than", kind=TooLarge)


def test_store_credentials_that_write(store: AttackedStore, node: VerifyingNode, tmp_path: Path) -> None:
    """Who can write to the store but has no key makes nodes take nothing: a list, a release and a root of his own are refused."""
    mine = AttackedStore(tmp_path / "mine")
    mine.sequence = 5
    mine.publish("victim.example")
    shutil.copytree(mine.directory, store.directory, dirs_exist_ok=True)
    refused(node, "not signed by the keys of the fleet|not as the signed")
    store.put("metadata/2.root.json", mine.read("metadata/1.root.json"))
    refused(node, "not signed by the keys of the fleet|not the metadata|older")


def test_store_credentials_that_delete(store: AttackedStore, node: VerifyingNode) -> None:
    """Without its objects the store gives nothing, and the node keeps what it has, also a part of them."""
    release = store.publish("three.test")
    for content in (release.feeds[0].full, release.feeds[0].deltas[-1].object):
        (store.directory / path_of(content.sha256)).unlink()
    refused(node, "not there", kind=ObjectStoreError)
    shutil.rmtree(store.directory / "metadata")
    refused(node, "not there", kind=NotFound)


def test_store_credentials_that_read(store: AttackedStore) -> None:
    """The store holds no key: nothing in it is secret but what lists and policy say."""
    store.publish("one.test")
    secrets = [path.read_bytes().split(b"\n")[1] for path in store.keys.glob("*.pem")]
    assert len(secrets) == 2
    for file in store.directory.rglob("*"):
        assert not file.is_file() or not any(secret in file.read_bytes() for secret in secrets)


def test_stolen_online_key(store: AttackedStore, node: VerifyingNode, tmp_path: Path) -> None:
    """After a revocation that root keys have signed, nodes refuse what the stolen key signs, whatever its number."""
    stolen = PublisherKeys(store.keys)
    trust.rotate(store.keys, "online", now_s=time.time())
    for key in store.keys.glob("root-*.pem"):
        trust.sign(store.keys, key)
    store.publish("two.test")
    assert node.poll() == 2
    store.sequence = 1_000_000
    forged = msgspec.structs.replace(store.publish("victim.example", keys=stolen), number=1_000_000)
    assert forged.number == 1_000_000
    refused(node, "not signed by the keys of the fleet|not as the signed")
    assert tmp_path.exists()


def test_root_key_below_the_threshold(tmp_path: Path) -> None:
    """One root key of two cannot change the keys."""
    store = AttackedStore(tmp_path / "fleet", roots=2, threshold=2)
    store.publish("one.test")
    node = VerifyingNode(tmp_path / "node", store.root_file, store.url)
    assert node.poll() == 1
    trust.rotate(store.keys, "online", now_s=time.time())
    said = trust.sign(store.keys, min(store.keys.glob("root-*.pem")))
    assert "still needs signatures" in said[0]
    store.put("metadata/2.root.json", (store.keys / "new.root.json").read_bytes())
    refused(node, "not signed by the keys of the fleet")


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        ("objects/", "not the bytes that the release names"),
        ("targets/", "damaged, or of another moment|not as the signed documents say"),
        ("metadata/1.targets", "damaged, or of another moment|not as the signed documents say"),
        ("metadata/1.snapshot", "damaged, or of another moment|not as the signed documents say"),
        (TIMESTAMP_PATH, "not signed by the keys of the fleet|not the metadata of a fleet"),
    ],
)
def test_malicious_mirror(store: AttackedStore, tmp_path: Path, which: str, reason: str) -> None:
    """A mirror that changes one byte of anything gives nothing, and it is said what does not fit."""
    store.publish("one.test")
    node = VerifyingNode(tmp_path / "node", store.root_file, "")

    def flipped(path: str, data: bytes) -> bytes:
        at = len(data) // 2
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if path.startswith(which) else data

    with web(mirror(store, flipped)) as node.url, pytest.raises(PdnsError, match=reason):
        node.poll()
    assert node.release == 0
    with web(mirror(store, lambda _, data: data)) as node.url:
        assert node.poll() == 1


def test_html_with_status_200(store: AttackedStore, node: VerifyingNode) -> None:
    """A portal's page in place of every object is refused, and said to be one."""
    page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
    store.publish("two.test")
    with web(mirror(store, lambda *_: page)) as node.url:
        refused(node, "is it a web page")


def test_corrupted_object(store: AttackedStore, node: VerifyingNode) -> None:
    """A damaged delta is not used: the node takes the whole text; when that is damaged too, it keeps what it has."""
    release = store.publish("one.test", "three.test")
    delta, full = release.feeds[0].deltas[-1].object, release.feeds[0].full
    data, whole = store.read(path_of(delta.sha256)), store.read(path_of(full.sha256))
    store.put(path_of(delta.sha256), data[:-1] + bytes([data[-1] ^ 1]))
    refused(node, "not the bytes that the release names", kind=UnusableRelease)
    store.put(path_of(full.sha256), whole[:-1] + b"\0")
    refused(node, "not the bytes that the release names", kind=UnusableRelease)
    store.put(path_of(delta.sha256), data)
    assert node.poll() == 2
    assert node.names == text_of("one.test", "three.test")


def test_compressed_bomb(store: AttackedStore, node: VerifyingNode) -> None:
    """An object that unpacks to more than the release says is given up at that size, even when the online key signed it."""
    bomb = store.store_object(b"N" + b"\0" * 200_000_000)
    honest = store.publish("one.test")
    content = msgspec.structs.replace(honest.feeds[0], full=msgspec.structs.replace(bomb, unpacked_bytes=100), deltas=[])
    lying = msgspec.structs.replace(honest, number=3, feeds=[msgspec.structs.replace(content, text="1" * 64, full_text="1" * 64)])
    store.sequence += 1
    targets = {f"release/{ring}.json": encode(lying) for ring in ("first", "early", "all")}
    store.sign({**targets, "urgent.json": b"{}"}, PublisherKeys(store.keys), 3600.0, time.time())
    refused(node, "unpacks to another size|damaged", kind=UnusableRelease)


@pytest.mark.parametrize(("wrong_by_s", "result"), [(-DAY_S, "expired"), (DAY_S, "")])
def test_wrong_clock(store: AttackedStore, node: VerifyingNode, wrong_by_s: float, result: str) -> None:
    """A node whose clock is a day ahead says so and keeps what it has; one that is a day behind goes on, and never goes back."""
    old = store.read(TIMESTAMP_PATH)
    store.publish("three.test", now_s=time.time() + wrong_by_s)
    if result:
        with pytest.raises(UntrustedError, match="is this clock wrong") as caught:
            node.poll()
        assert caught.value.result == result
    else:
        assert node.poll() == 2
        store.put(TIMESTAMP_PATH, old)
        refused(node, "older than what was seen before")


def test_two_publishers(store: AttackedStore) -> None:
    """Of two publishers that write the same sequence number, the second one is told so before it moves the pointer."""
    import asyncio  # noqa: PLC0415 (here alone)

    opened = open_store(store.url)
    asyncio.run(opened.put(snapshot_path(1), b"one", create=True))
    with pytest.raises(Existing):
        asyncio.run(opened.put(snapshot_path(1), b"other", create=True))
    assert store.read(snapshot_path(1)) == b"one"


def _heartbeat(node: str, release: int, *refused: int) -> Heartbeat:
    return Heartbeat(node=node, ring="first", version="1", written_s=0.0, release=release, refused=list(refused), reason="harm")


def test_forged_heartbeat() -> None:
    """Who may write heartbeats cannot bring a release to a ring that it was not offered for, nor early, nor past a refusal that
    was seen; by claiming a refusal, he can hold one back.
    """
    rings = rings_of.offered(rings_of.offered(rings_of.Rings(), 1, 0.0), 2, 10.0)
    praise = [_heartbeat(f"forged{at}", 99) for at in range(50)]
    assert rings_of.advanced(rings, praise, 600.0, 1, 20.0).releases == {"first": 2, "early": 1, "all": 1}
    seen = rings_of.advanced(rings, [_heartbeat("north", 1, 2)], 600.0, 1, 20.0)
    later = rings_of.advanced(seen, praise, 600.0, 1, 10_000.0)
    assert later.releases == {"first": 2, "early": 1, "all": 1}
    veto = rings_of.advanced(rings, [*praise, _heartbeat("forged", 1, 2)], 600.0, 1, 10_000.0)
    assert veto.releases["all"] == 1


def test_bad_list() -> None:
    """A list of popular names: the gate of a node in the first ring refuses it by its own numbers, and no other ring gets it."""
    gate = Gate(GateLimits(queries=1000, blocked_times=3.0, servfail_share=0.05))
    for at in range(11):
        gate.saw(TrafficTotals(at * 10_000, at * 100, 0), at * 60.0)
    gate.begin(610.0)
    gate.saw(TrafficTotals(102_000, 1900, 0), 620.0)
    popular = [BlockedName(b"\x07popular\x04test\x00", 880, 40)]
    reason = gate.judge(popular, lambda _: True, 620.0)
    assert "popular.test" in reason
    assert gate.judge(popular, lambda _: False, 620.0) == ""  # names that were listed before are no reason
    rings = rings_of.offered(rings_of.offered(rings_of.Rings(), 1, 0.0), 2, 10.0)
    refusal = [_heartbeat("north", 1, 2), _heartbeat("south", 2)]
    for now_s in (20.0, 700.0, 100_000.0):
        rings = rings_of.advanced(rings, refusal, 600.0, 1, now_s)
    assert rings.releases == {"first": 2, "early": 1, "all": 1}


def test_publisher_taken_over(store: AttackedStore, node: VerifyingNode) -> None:
    """Who has the publisher's key can publish until root keys, which are elsewhere, revoke it; then nodes follow the new
    key, even to lower numbers.
    """
    stolen = PublisherKeys(store.keys)
    honest = store.sequence
    store.sequence = 1_000_000
    store.publish("victim.example", keys=stolen)
    assert node.poll() == 1_000_001
    (key_id,) = [line.split()[-1] for line in trust.describe(store.keys) if line.startswith("online key")]
    trust.revoke(store.keys, key_id, now_s=time.time())
    for key in store.keys.glob("root-*.pem"):
        trust.sign(store.keys, key)
    store.sequence = honest
    store.publish("one.test", "five.test")
    assert node.poll() == honest + 1
    assert node.names == text_of("one.test", "five.test")


def test_every_row_has_its_test() -> None:
    """The table of docs/fleet.md names, in each row, a test that exists; and every test of this file is named there."""
    page = (ROOT / "docs/fleet.md").read_text()
    table = page.partition("## What the scheme protects against")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!---|threat)(.+) \|$", table, re.MULTILINE)
    assert len(rows) >= 18
    named: set[str] = set()
    for row in rows:
        tests = re.findall(r"\(\.\./(tests/[\w/]+\.py)\)`?(\w+)|\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)", row)
        assert tests, row
        for _, _, name, file in tests:
            assert re.search(rf"^(?:async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), (name, file)
            named.add(name)
    here = set(re.findall(r"^def (test_\w+)", Path(__file__).read_text(), re.MULTILINE)) - {"test_every_row_has_its_test"}
    assert here <= named
