"""What a publisher who means harm could serve: bombs, containers that lie, endless and deeply nested text, text slow to match."""

from __future__ import annotations

import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from typing import Final, NamedTuple

import zstandard

from pdns.config.value_types import FeedFormat

LINE_BYTES: Final = 4096  # of a line that readers look at


class Hostile(NamedTuple):
    """A body, made when it is needed, and the format that the feed is configured to have."""

    make: Callable[[], bytes]
    format: FeedFormat = "auto"
    json_path: str = ""
    column: str = ""


def zipped(*contents: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for number, content in enumerate(contents):
            archive.writestr(zipfile.ZipInfo(f"{number}.txt"), content, method)  # without a time: the same bytes each time
    return packed.getvalue()


def zip_bomb(method: int, size_bytes: int, stated_bytes: int | None = None) -> bytes:
    """A list that unpacks to `size_bytes`, whose directory states another size, with the checksum that goes with it."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", method, allowZip64=True) as archive,
        archive.open(zipfile.ZipInfo("list.txt"), "w", force_zip64=False) as member,
    ):
        member._compressor = zipfile._get_compressor(method)  # type: ignore[attr-defined]
        member._zinfo.compress_type = method  # type: ignore[attr-defined]
        member.write(b"bomb.example\n")
        for _ in range(size_bytes >> 20):
            member.write(bytes(1 << 20))
    content = bytearray(packed.getvalue())
    if stated_bytes is not None:
        checksum = zlib.crc32(b"bomb.example\n") if stated_bytes == 13 else 0
        for magic, at in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
            found = content.rindex(magic) + at
            content[found : found + 4] = checksum.to_bytes(4, "little")
            content[found + 8 : found + 12] = stated_bytes.to_bytes(4, "little")
    return bytes(content)


def overlapping_zip(members: int) -> bytes:
    """One file that stands in the directory many times."""
    content = zipped(bytes(8 << 20))
    at = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry, rest = content[at:end], content[end:]
    directory = entry * members
    counts = members.to_bytes(2, "little") * 2 + len(directory).to_bytes(4, "little")
    return content[:at] + directory + rest[:8] + counts + rest[16:]


def sparse_tar(size_bytes: int) -> bytes:
    """A file of a GNU archive that is all hole (https://www.gnu.org/software/tar/manual/html_node/Standard.html)."""
    header = bytearray(512)
    header[:8] = b"list.txt"
    header[100:108], header[124:136], header[136:148] = b"0000644\0", b"00000000000\0", b"00000000000\0"
    header[156:157], header[257:265] = b"S", b"ustar  \0"
    header[386:410] = b"%011o\0" % size_bytes + b"00000000000\0"
    header[483:495] = b"%011o\0" % size_bytes
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


def linked_tar(target: bytes) -> bytes:
    """A link inside an archive: to itself, or to nothing."""
    header = bytearray(512)
    header[:4] = b"link"
    header[100:108], header[124:136], header[136:148] = b"0000644\0", b"00000000000\0", b"00000000000\0"
    header[156:157], header[157 : 157 + len(target)], header[257:265] = b"2", target, b"ustar  \0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


def _zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


def _lines(line: bytes, count: int = 300) -> bytes:
    return b"".join(b"name-%d.example\n" % number for number in range(20)) + (line[:LINE_BYTES] + b"\n") * count


BODIES: Final[dict[str, Hostile]] = {
    "zip with LZMA": Hostile(lambda: zip_bomb(zipfile.ZIP_LZMA, 256 << 20)),
    "zip with bzip2": Hostile(lambda: zip_bomb(zipfile.ZIP_BZIP2, 256 << 20)),
    "zip with LZMA that lies": Hostile(lambda: zip_bomb(zipfile.ZIP_LZMA, 256 << 20, 13)),
    "zip with deflate that lies": Hostile(lambda: zip_bomb(zipfile.ZIP_DEFLATED, 128 << 20, 13)),
    "zip with deflate": Hostile(lambda: zip_bomb(zipfile.ZIP_DEFLATED, 256 << 20)),
    "zip whose files overlap": Hostile(lambda: overlapping_zip(60)),
    "empty gzip members": Hostile(lambda: gzip.compress(b"", mtime=0) * 400_000),
    "empty xz streams": Hostile(lambda: lzma.compress(b"") * 250_000),
    "empty zstd frames": Hostile(lambda: _zstd(b"") * 600_000),
    "empty zstd blocks": Hostile(lambda: b"\x28\xb5\x2f\xfd\x00\x58" + b"\0\0\0" * 2_000_000 + b"\1\0\0"),
    "gzip in gzip": Hostile(lambda: gzip.compress(gzip.compress(bytes(64 << 20)))),
    "a sparse tar file": Hostile(lambda: sparse_tar(3 << 30)),
    "a tar file with a link to itself": Hostile(lambda: linked_tar(b"link")),
    "a tar file with a link to nothing": Hostile(lambda: linked_tar(b"nothing")),
    "one endless line": Hostile(lambda: b"a.example\n" + b"x" * (48 << 20)),
    "one endless name": Hostile(lambda: b"a.example\n" + b"a." * (24 << 20), "domains"),
    "empty lines": Hostile(lambda: b"a.example\n" + b"\n" * (4 << 20)),
    "carriage returns": Hostile(lambda: b"a.example\n" + b"\r" * (4 << 20)),
    "JSON nested deeply": Hostile(lambda: b'{"a":' * 2_000_000, "json", "a"),
    "JSON nested in a line": Hostile(lambda: b'{"a":"x.example"}\n' + b"[" * 900_000 + b"\n", "jsonl", "a"),
    "JSON of one endless string": Hostile(lambda: b'["' + b"a." * (16 << 20) + b'"]', "json", "[]"),
    "JSON line of nulls": Hostile(lambda: b"[" + b"null," * 200_000 + b'"a.example"]\n', "jsonl", "[]"),
    "JSON line that begins like a section": Hostile(
        lambda: b'{"a":"x.example"}\n' + (b"[" + b"allow" * 190_000 + b"\n") * 3, "jsonl", "a"
    ),
    "MISP wrapped in wrappers": Hostile(
        lambda: b'{"response":' * 900 + b"[" + b'{"type":"domain","value":"a.example"},' * 50_000 + b"{}]" + b"}" * 900, "misp"
    ),
    "MISP wrapped in arrays": Hostile(lambda: b"[" * 900 + b"1," * 500_000 + b"1" + b"]" * 900, "misp"),
    "STIX pattern of brackets": Hostile(
        lambda: (
            b'{"objects":[{"type":"indicator","pattern":"[domain-name:value = \'a.example\' OR a:b = 1]' + b")" * 5000 + b'["}]}'
        ),
        "stix",
    ),
    "adblock rules that disable": Hostile(
        lambda: b"||a.example^\n" + _lines(b"a" + b"$" * 300 + b",badfilter" * 370 + b" x"), "adblock"
    ),
    "adblock rules in brackets": Hostile(lambda: _lines(b"[" + b"allow" * 800, 3000), "adblock"),
    "RPZ parentheses": Hostile(lambda: b"a.example CNAME .\n(" + b"\n" * (4 << 20), "rpz"),
    "RPZ wildcards over long names": Hostile(
        lambda: b"*.x CNAME .\n" + b"".join(b"%d." % number + b"a." * 110 + b"x CNAME .\n" for number in range(30_000)), "rpz"
    ),
    "RPZ exceptions in networks": Hostile(
        lambda: (
            b"1.0.0.0.0.rpz-ip CNAME .\n"
            + b"".join(b"128.%x.%x.zz.2.rpz-ip CNAME rpz-passthru.\n" % divmod(number, 65536) for number in range(30_000))
        ),
        "rpz",
    ),
    "hosts with many names": Hostile(lambda: _lines(b"0.0.0.0 " + b"1.1 " * 1000, 200), "hosts"),
    "unbound without end": Hostile(lambda: b"local-zone:\n" * 1_000_000, "unbound"),
    "BIND without end": Hostile(lambda: b'zone "a.example" {' + b"{ x y z\n" * 1_000_000, "bind"),
    "dnsmasq slashes": Hostile(lambda: _lines(b"address=" + b"/" * 4000, 2000), "dnsmasq"),
    "dnsmasq slashes, fewer a line": Hostile(lambda: _lines(b"address=" + b"/" * 990, 2000), "dnsmasq"),
    "dnsmasq values of one byte": Hostile(lambda: _lines(b"address=/" + b"1/" * 990, 2500), "dnsmasq"),
    "hosts with values of one byte": Hostile(lambda: _lines(b"0" + b" 1" * 990, 2500), "hosts"),
    "domains of one byte": Hostile(lambda: b"a.example\n" + b"1\n" * 1_000_000, "domains"),
    "CSV quotes": Hostile(lambda: b"domain,x\na.example,1\n" + (b'"' + b"," * 60_000 + b"\n") * 100, "csv", column="domain"),
    "CSV columns": Hostile(lambda: b"domain" + (b"," * 60_000 + b"\na.example") * 100, "csv", column="domain"),
    "wide characters": Hostile(lambda: b"\xff\xfe" + "\U0010ffff.".encode("utf-16-le") * 2_000_000),
}
