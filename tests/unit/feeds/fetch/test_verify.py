"""Checksums and signatures: a list that does not match them changes nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import time
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from feeds.fetch import Fetched, SourceError, Unchanged, Validators
from feeds.fetch.http import fetch
from feeds.fetch.minisign import BadSignature, verify_file
from feeds.fetch.network import Network
from feeds.fetch.verify import published_checksum, signature_url
from feeds.refresh import build_once
from pdns.config.schema import Feed
from pdns.errors import FeedError
from pdns.state.feed_status import FeedStatus
from tests.unit.feeds.configs import blockers, configuration, files
from tests.unit.feeds.feedserver import FeedServer

LIST = b"bad.example\nworse.example\n"

# Made by minisign 0.11 over LIST.
KEY = "RWQRvch1nBmcQI+sp5MZ9ByQUJwomroaby+A2ZIxDUbHtTOYQoo9JPn4"
PREHASHED = b"""untrusted comment: signature from minisign secret key
RUQRvch1nBmcQANmbPMi6ziAO/KQANlBA5QLc0Z7b5Fp6PCrPeY7iccmqXZdoninoAsazGB9q4KHloV6gTjVUTrVhVTlwVl6MwA=
trusted comment: timestamp:1 file:list.txt
ZgqC5J0jDOGZxvTLlXDO5pLJqgLvr2ZD4yS7clKn9mqQAFnAaRPb67vQVh/1vPYH8eUA9QM6PqFfzL2X2AtpDA==
"""
LEGACY = b"""untrusted comment: signature from minisign secret key
RWQRvch1nBmcQIJeX2jfn9X39VCwRu95+JnfVrCWezgBdXDMTTYImDcoRk9p95TSSsViAK4GIyohoBVb3X2qiMrKyRshKvR1EgU=
trusted comment: legacy
szkUYwFLuAX7+iA307O7kKx/P2qd1yfJpJCAB/tWXEIDbvIRkNvO5BovhkrtfmjCjbYKwy846bIEz2eKxJA/Dw==
"""


class Signer:
    """A publisher."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._id = b"publish1"
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key = base64.b64encode(b"Ed" + self._id + public).decode()

    def sign(self, content: bytes, comment: bytes = b"today", *, prehashed: bool = True) -> bytes:
        signature = self._key.sign(hashlib.blake2b(content).digest() if prehashed else content)
        over_both = base64.b64encode(self._key.sign(signature + comment))
        main = base64.b64encode((b"ED" if prehashed else b"Ed") + self._id + signature)
        return b"untrusted comment: x\n" + main + b"\ntrusted comment: " + comment + b"\n" + over_both + b"\n"


def get(feed: Feed, into: Path, known: Validators | None = None) -> Fetched | Unchanged:
    async def run() -> Fetched | Unchanged:
        trusted = ssl.create_default_context()
        try:
            return await fetch(feed, known, into, Network((), trusted, trusted))
        finally:
            await asyncio.sleep(0.001)

    return asyncio.run(run())


def refused(feed: Feed, into: Path) -> FeedError:
    with pytest.raises(FeedError) as caught:
        get(feed, into)
    assert not into.exists()
    return caught.value


def check(content: bytes, signature: bytes, directory: Path, key: str = KEY) -> str:
    (directory / "content").write_bytes(content)
    return verify_file(directory / "content", signature, key).comment


def test_signatures_of_minisign(tmp_path: Path) -> None:
    """Both forms that minisign writes are accepted; the trusted comment comes back."""
    assert check(LIST, PREHASHED, tmp_path) == "timestamp:1 file:list.txt"
    assert check(LIST, LEGACY, tmp_path) == "legacy"
    assert check(LIST, PREHASHED.replace(b"\n", b"\r\n"), tmp_path) == "timestamp:1 file:list.txt"


@pytest.mark.parametrize("signature", [PREHASHED, LEGACY], ids=["prehashed", "legacy"])
def test_altered_content_and_comments(tmp_path: Path, signature: bytes) -> None:
    """One byte of the list, of the signature or of its trusted comment, and it is refused; the untrusted comment is free."""
    for content in (LIST + b"x", LIST[:-1], b""):
        with pytest.raises(BadSignature, match="it is not over this list"):
            check(content, signature, tmp_path)
    with pytest.raises(BadSignature, match="trusted comment was altered"):
        check(
            LIST,
            signature.replace(b"trusted comment: ", b"trusted comment: new ").replace(
                b"untrusted comment: new ", b"untrusted comment: "
            ),
            tmp_path,
        )
    with pytest.raises(BadSignature, match="it is not over this list"):
        check(LIST, signature.replace(b"ccmq", b"ccmr").replace(b"n9X3", b"n9X4"), tmp_path)
    check(LIST, signature.replace(b"signature from minisign", b"anything"), tmp_path)


def test_other_keys_and_nonsense(tmp_path: Path) -> None:
    """A signature by another key says which; what is no signature file is refused."""
    with pytest.raises(BadSignature, match="by the key 409C199C75C8BD11, not by minisign_key, which is 316873696C627570"):
        check(LIST, PREHASHED, tmp_path, Signer().key)
    same_number = base64.b64encode(base64.b64decode(KEY)[:10] + base64.b64decode(Signer().key)[10:]).decode()
    with pytest.raises(BadSignature, match="it is not over this list"):
        check(LIST, PREHASHED, tmp_path, same_number)
    for nonsense in (b"", b"<html>", PREHASHED[:80], PREHASHED.replace(b"RUQR", b"RUUR"), b"\n\n\n\n\n"):
        with pytest.raises(BadSignature, match="not a minisign signature file"):
            check(LIST, nonsense, tmp_path)


def test_a_signed_list(server: FeedServer, tmp_path: Path) -> None:
    """The signature is looked for beside the list, or where it is said to be; without one there is no list."""
    signer = Signer()
    server.serve("/list", LIST, etag='"1"')
    feed = Feed(name="sample", url=server.url("/list"), minisign_key=signer.key)
    assert refused(feed, tmp_path / "new").reason == "signature: the server said 404 Not Found"
    server.serve("/list.minisig", signer.sign(LIST))
    first = get(feed, tmp_path / "new")
    assert get(feed, tmp_path / "again", first.validators) == Unchanged(first.validators)
    server.serve("/elsewhere", signer.sign(LIST))
    get(msgspec.structs.replace(feed, signature_url=server.url("/elsewhere")), tmp_path / "new")
    (tmp_path / "new").unlink()
    server.serve("/list.minisig", signer.sign(LIST + b"x"))
    error = refused(feed, tmp_path / "new")
    assert isinstance(error, SourceError)
    assert error.result == "signature"
    assert error.reason.startswith("signature refused: it is not over this list")
    server.serve("/list.minisig", b"x" * 10_000)
    assert "longer than 8,192 bytes" in refused(feed, tmp_path / "new").reason


def test_a_newly_configured_key_needs_a_new_fetch(server: FeedServer, tmp_path: Path) -> None:
    """A copy from before the key was configured does not count as unchanged: the list is fetched again and verified."""
    signer = Signer()
    server.serve("/list", LIST, etag='"1"')
    feed = Feed(name="sample", url=server.url("/list"))
    known = get(feed, tmp_path / "new").validators
    server.serve("/list.minisig", signer.sign(LIST))
    assert isinstance(get(msgspec.structs.replace(feed, minisign_key=signer.key), tmp_path / "new", known), Fetched)
    assert isinstance(get(feed, tmp_path / "new", known), Unchanged)


def test_a_checksum(server: FeedServer, tmp_path: Path) -> None:
    """One that matches is enough; another one, or none, is a refusal that says what was expected."""
    server.serve("/list", LIST)
    feed = Feed(name="sample", url=server.url("/list"), checksum_url=server.url("/sums"))
    assert refused(feed, tmp_path / "new").reason == "checksum_url: the server said 404 Not Found"
    server.serve("/sums", hashlib.sha256(LIST).hexdigest().encode() + b"  list\n")
    get(feed, tmp_path / "new")
    (tmp_path / "new").unlink()
    server.serve("/sums", hashlib.sha256(b"old").hexdigest().encode())
    error = refused(feed, tmp_path / "new")
    assert isinstance(error, SourceError)
    assert (error.result, hashlib.sha256(b"old").hexdigest()[:16] in error.reason) == ("signature", True)
    server.serve("/sums", b"<html>sorry</html>")
    assert refused(feed, tmp_path / "new").reason == "checksum_url has no SHA-256 for this list"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{a}", "{a}"), ("{A}\n", "{a}"), ("{a}  list.txt\n{b}  other.txt\n", "{a}"),
        ("{b} *x/other.txt\n{a} *x/list.txt\n", "{a}"),
        ("SHA256 (list.txt) = {a}\nSHA256 (other) = {b}\n", "{a}"), ("# sums\n\n{a}  ./list.txt\n", "{a}"),
        ("{a}  renamed\n", "{a}"),
        ("{a}  one\n{b}  two\n", None), ("{a}\n{b}\n", None), ("", None), ("{a}0", None), ("x{a}", None),
    ],
)  # fmt: skip
def test_checksum_files(document: str, expected: str | None) -> None:
    """What sha256sum and its relatives write, bare hashes, and nothing where it is not clear which file is meant."""
    a, b = "0123456789abcdef" * 4, "f" * 64
    text = document.format(a=a, b=b, A=a.upper())
    assert published_checksum(text.encode(), "list.txt") == (expected and expected.format(a=a))


def test_where_signatures_are() -> None:
    """Beside the list, with the query that the list has."""
    assert signature_url("https://example.net/a/list.txt") == "https://example.net/a/list.txt.minisig"
    assert signature_url("https://example.net/list?key=1") == "https://example.net/list.minisig?key=1"


def test_what_is_not_vouched_for_is_held(server: FeedServer, tmp_path: Path) -> None:
    """The whole way: a new list with the old one's signature changes nothing, and is counted as that; its own lets it live."""
    signer = Signer()
    server.serve("/list", LIST)
    server.serve("/list.minisig", signer.sign(LIST))
    feed = Feed(name="sample", url=server.url("/list"), minisign_key=signer.key)

    def refresh() -> FeedStatus:
        return build_once(configuration(tmp_path, feed)).feeds["sample"]

    assert refresh().last_result == "updated"
    before = files(tmp_path / "feeds"), files(tmp_path / "blocksets")
    server.serve("/list", b"new.example\n")
    said = refresh()
    assert (said.last_result, said.results) == ("signature", {"signature": 1})
    assert "one of the two is older than the other" in said.last_error
    assert (files(tmp_path / "feeds"), files(tmp_path / "blocksets")) == before
    assert blockers(tmp_path, "bad.example") == {"sample"}
    server.serve("/list.minisig", signer.sign(b"new.example\n"))
    assert refresh().last_result == "updated"
    assert (blockers(tmp_path, "bad.example"), blockers(tmp_path, "new.example")) == (set(), {"sample"})


def stamped(timestamp: float, name: str = "list") -> bytes:
    """A trusted comment as minisign writes it."""
    return f"timestamp:{timestamp:.0f}\tfile:{name}\thashed".encode()


@pytest.mark.long
def test_an_old_list_with_its_signature_is_refused(server: FeedServer, tmp_path: Path) -> None:
    """Whoever has kept a list of last month, and its valid signature, cannot put it in force again, before or after a restart;
    the same list again and a newer one are fine. It is a result of its own.
    """
    signer, now_s = Signer(), time.time()
    feed = Feed(name="sample", url=server.url("/list"), minisign_key=signer.key)

    def publish(name: bytes, comment: bytes) -> FeedStatus:
        server.serve("/list", name + b"\n")
        server.serve("/list.minisig", signer.sign(name + b"\n", comment))
        return build_once(configuration(tmp_path, feed)).feeds["sample"]

    assert publish(b"old.example", stamped(now_s - 2000)).last_result == "updated"
    assert publish(b"new.example", stamped(now_s - 1000)).last_result == "updated"
    for comment in (stamped(now_s - 1001), stamped(0), b"today"):
        said = publish(b"old.example", comment)
        assert (said.last_result, said.results) == ("outdated", {"outdated": 1}), comment
        assert "older than" in said.last_error
        assert blockers(tmp_path, "new.example") == {"sample"}
        assert blockers(tmp_path, "old.example") == set()
    assert publish(b"new.example", stamped(now_s - 1000)).last_result == "unchanged"
    assert publish(b"newer.example", stamped(now_s - 1000)).last_result == "updated"
    assert publish(b"newest.example", stamped(now_s - 999)).last_result == "updated"


def test_a_timestamp_from_the_future_locks_nothing_out_for_good(server: FeedServer, tmp_path: Path) -> None:
    """A publisher whose clock was wrong once is believed again a day later at the latest."""
    signer = Signer()
    feed = Feed(name="sample", url=server.url("/list"), minisign_key=signer.key)
    server.serve("/list", LIST)
    server.serve("/list.minisig", signer.sign(LIST, stamped(2**40)))
    before_s = time.time()
    signed_s = get(feed, tmp_path / "new").validators.signed_s
    assert before_s + 86399 <= signed_s <= time.time() + 86400


def test_another_key_has_its_own_time(server: FeedServer, tmp_path: Path) -> None:
    """A key that replaces another need not have signed later."""
    signer = Signer()
    server.serve("/list", LIST)
    server.serve("/list.minisig", signer.sign(LIST, stamped(1000)))
    feed = Feed(name="sample", url=server.url("/list"), minisign_key=signer.key)
    known = Validators(signed_s=2000, signed_by=KEY)
    assert get(feed, tmp_path / "new", known).validators.signed_s == 1000
    (tmp_path / "new").unlink()
    with pytest.raises(SourceError, match="older than") as caught:
        get(feed, tmp_path / "new", msgspec.structs.replace(known, signed_by=signer.key))
    assert caught.value.result == "outdated"


@pytest.mark.parametrize(
    ("comment", "fits"),
    [
        (stamped(5), True), (stamped(5, "other"), False), (b"timestamp:5 file:list", True),
        (b"timestamp:5 file:list hashed", True),
        (b"file:list.gz", False), (b"file:", False), (b"no name in it", True), (b"profile:other", True),
        (stamped(5, "some/where/list"), False), (b"file:other\tfile:list", False), (b"file:li\xffst", False),
    ],
)  # fmt: skip
def test_a_signature_for_another_list(server: FeedServer, tmp_path: Path, comment: bytes, fits: bool) -> None:
    """Of the same publisher, by the same key, over the same bytes: the name that the publisher signed is that of the url."""
    signer = Signer()
    server.serve("/list", LIST)
    server.serve("/list.minisig", signer.sign(LIST, comment))
    feed = Feed(name="sample", url=server.url("/list") + "?a=b", minisign_key=signer.key)
    if fits:
        get(feed, tmp_path / "new")
        return
    error = refused(feed, tmp_path / "new")
    assert isinstance(error, SourceError)
    assert error.result == "signature"
    assert "minisign_file" in error.reason
    if comment == stamped(5, "other"):
        get(msgspec.structs.replace(feed, minisign_file="other"), tmp_path / "new")


def test_prehashed_signatures_can_be_demanded(server: FeedServer, tmp_path: Path) -> None:
    """With minisign_prehashed the older form is refused, and a copy that was verified by it is fetched anew."""
    signer = Signer()
    server.serve("/list", LIST, etag='"1"')
    server.serve("/list.minisig", signer.sign(LIST, prehashed=False))
    feed = Feed(name="sample", url=server.url("/list"), minisign_key=signer.key)
    known = get(feed, tmp_path / "new").validators
    (tmp_path / "new").unlink()
    strict = msgspec.structs.replace(feed, minisign_prehashed=True)
    with pytest.raises(SourceError, match="prehashed"):
        get(strict, tmp_path / "new", known)
    server.serve("/list.minisig", signer.sign(LIST))
    assert isinstance(get(strict, tmp_path / "new", known), Fetched)
