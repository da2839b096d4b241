"""Checksums and signatures: a list that nobody vouches for changes nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
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
from pdns.config import Feed
from pdns.errors import FeedError
from pdns.feedstatus import FeedStatus
from tests.unit.feeds_process.configs import blockers, configuration, files
from tests.unit.feeds_process.feedserver import FeedServer

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

    def sign(self, content: bytes) -> bytes:
        signature = self._key.sign(hashlib.blake2b(content).digest())
        comment = b"today"
        over_both = base64.b64encode(self._key.sign(signature + comment))
        main = base64.b64encode(b"ED" + self._id + signature)
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
    return verify_file(directory / "content", signature, key)


def test_signatures_of_minisign(tmp_path: Path) -> None:
    """Both forms that minisign writes are accepted; the trusted comment comes back."""
    assert check(LIST, PREHASHED, tmp_path) == "timestamp:1 file:list.txt"
    assert check(LIST, LEGACY, tmp_path) == "legacy"
    assert check(LIST, PREHASHED.replace(b"\n", b"\r\n"), tmp_path) == "timestamp:1 file:list.txt"


@pytest.mark.parametrize("signature", [PREHASHED, LEGACY], ids=["prehashed", "legacy"])
def test_altered_content_and_comments(tmp_path: Path, signature: bytes) -> None:
    """One octet of the list, of the signature or of its trusted comment, and it is refused; the untrusted comment is free."""
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


def test_a_demand_that_is_new_is_met_by_a_new_fetch(server: FeedServer, tmp_path: Path) -> None:
    """A copy from before the key was configured is not called current on the server's word: it is fetched, and verified."""
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
