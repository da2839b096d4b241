"""Lists that come packed."""

from __future__ import annotations

import gzip
import io
import lzma
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from feeds.zips import MAX_MEMBERS
from pdns.errors import FeedError
from tests.cost import cpu_s
from tests.unit.feeds.reading import names, read

LIST = b"one.test\ntwo.test\n"
EXPECTED = {"one.test": "subtree", "two.test": "subtree"}
BOMB_BYTES = 64 * 1024 * 1024


def zipped(*contents: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.mkdir("folder")
        for number, content in enumerate(contents):
            archive.writestr(f"folder/{number}.txt", content)
    return packed.getvalue()


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "xz": lzma.compress, "zstd": zstd, "zip": zipped}
each_packer = pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS.keys())


@each_packer
def test_lists_are_unpacked(pack: Callable[[bytes], bytes]) -> None:
    """A packed list is what is in it: its format is told, a byte order mark skipped, also when it is large."""
    assert names(read(pack(b"\xef\xbb\xbf" + LIST))) == EXPECTED
    hosts = b"".join(b"0.0.0.0 name-%d.test\n" % number for number in range(50_000))
    parsed = read(pack(hosts))
    assert (parsed.format, len(parsed.names)) == ("hosts", 50_000)


@pytest.mark.parametrize("name", ["gzip", "xz", "zstd"])
def test_several_in_a_row(name: str) -> None:
    """Streams in a row are one list."""
    assert names(read(PACKERS[name](b"one.test\ntwo") + PACKERS[name](b".test\n"))) == EXPECTED


def test_files_of_a_zip_are_one_list() -> None:
    """The files of a zip are read in turn, whatever its method; a last line without an end does not run into the next file."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert names(read(zipped(b"one.test", b"", b"two.test", method=method))) == EXPECTED


@pytest.mark.parametrize(("method", "number"), [(zipfile.ZIP_BZIP2, 12), (zipfile.ZIP_LZMA, 14)])
def test_other_methods_of_zip_are_refused(method: int, number: int) -> None:
    """What cannot be unpacked in bounded pieces is not unpacked; the reason names what can be."""
    with pytest.raises(FeedError, match=f"method {number}: only deflate and none at all are read"):
        read(zipped(b"one.test", method=method))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("offset", [16, 20, 24], ids=["checksum", "packed size", "size"])
@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_a_zip_directory_that_lies_is_refused(method: int, offset: int, change: int) -> None:
    """A file that has another checksum or size than the directory says is not read to where it says."""
    packed = bytearray(zipped(LIST * 20, method=method))
    at = packed.rindex(b"PK\x01\x02") + offset
    packed[at : at + 4] = (int.from_bytes(packed[at : at + 4], "little") + change).to_bytes(4, "little")
    with pytest.raises(FeedError, match="damaged"):
        read(bytes(packed))


@pytest.mark.parametrize("name", ["gzip", "xz", "zstd"])
def test_many_empty_streams_in_a_row_are_refused(name: str) -> None:
    """They cost time and hold nothing; some thousand are read, and any number that is not tiny."""
    empty, small = PACKERS[name](b""), PACKERS[name](b"".join(b"name-%d.test\n" % number for number in range(500)))
    assert names(read(empty * 900 + PACKERS[name](LIST))) == EXPECTED
    assert len(read(small * 1500).names) == 500
    with pytest.raises(FeedError, match="too many parts for its size"):
        read(empty * 1100 + PACKERS[name](LIST))


@each_packer
def test_truncated(pack: Callable[[bytes], bytes]) -> None:
    """A container that ends early is refused, wherever it was cut: half a list is not a list."""
    packed = pack(b"".join(b"name-%d.test\n" % number for number in range(2_000)))
    for end in (len(packed) - 1, len(packed) // 2, 20):
        with pytest.raises(FeedError, match=r"middle|damaged"):
            read(packed[:end])


@each_packer
def test_damaged(pack: Callable[[bytes], bytes]) -> None:
    """A container with a byte changed in the middle is refused."""
    packed = bytearray(pack(b"".join(b"name-%d.test\n" % (number * number) for number in range(2_000))))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(FeedError, match=r"damaged"):
        read(bytes(packed))


@each_packer
def test_too_large_when_unpacked(pack: Callable[[bytes], bytes]) -> None:
    """What unpacks to more than max_bytes is refused."""
    with pytest.raises(FeedError, match="more than 1000 bytes when unpacked"):
        read(pack(LIST * 100), max_bytes=1000)


@pytest.mark.parametrize(
    "pack", [*list(PACKERS.values())[:3], lambda data: zipped(*[data[: len(data) // 60]] * 60)], ids=[*PACKERS]
)
def test_bombs(pack: Callable[[bytes], bytes]) -> None:
    """What unpacks to hundreds of times its size is refused, long before max_bytes, without ever being held in memory."""
    packed = pack(bytes(BOMB_BYTES))
    tracemalloc.start()
    try:
        with pytest.raises(FeedError, match="more than 250 times its size: made to do harm"):
            read(packed, "domains")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < BOMB_BYTES // 2


def test_zips_with_too_many_files() -> None:
    """A zip with many files is refused by the size of its directory, before that is read."""
    with pytest.raises(FeedError, match="a zip of 65 files: at most 64"):
        read(zipped(*[b"x"] * (MAX_MEMBERS + 1)))
    many = zipped(*[b""] * 20_000)

    def refuse() -> None:
        with pytest.raises(FeedError, match="a zip of too many files"):
            read(many)

    assert cpu_s(refuse) < cpu_s(lambda: zipfile.ZipFile(io.BytesIO(many))) / 4


def test_zips_that_say_nothing() -> None:
    """A zip without a file, and one with a password, are refused with the reason."""
    with pytest.raises(FeedError, match="without a file"):
        read(zipped())
    secret = bytearray(zipped(LIST))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        secret[secret.rindex(signature) + offset] |= 1
    with pytest.raises(FeedError, match="password"):
        read(bytes(secret))


@given(st.sampled_from(sorted(PACKERS)), st.integers(0, 300), st.binary(min_size=1, max_size=6))
def test_any_damage(name: str, at: int, change: bytes) -> None:
    """Whatever is written into a container, it is read or refused; nothing else comes of it."""
    packed = bytearray(PACKERS[name](LIST * 20))
    packed[at : at + len(change)] = change
    try:
        parsed = read(bytes(packed), max_bytes=2**20)
    except FeedError:
        return
    assert len(parsed.names) + sum(lines.count for lines in parsed.odd.values()) <= parsed.lines * 4 + 4
