"""A response policy zone, and feeds that are transferred from it."""

from __future__ import annotations

from pathlib import Path

from pdns.config.schema import Feed
from pdns.wire.names import from_text, reversed_key

ORIGIN = "rpz.example"
SECRET = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTI="
HEAD = "@ 60 SOA localhost. host {serial} 86400 3600 604800 60\n@ 60 NS localhost.\n"
RECORDS = "bad.example 60 CNAME .\n*.worse.example 60 CNAME .\nfine.example 60 CNAME rpz-passthru.\n"


def zone_text(serial: int = 1, records: str = RECORDS) -> str:
    return HEAD.format(serial=serial) + records


def feed_of(port: int, **more: object) -> Feed:
    return Feed(name="zone", url=f"axfr://127.0.0.1:{port}/{ORIGIN}", format="rpz", **more)  # type: ignore[arg-type]


def signed(port: int, directory: Path, secret: str = SECRET, **more: object) -> Feed:
    path = directory / f"secret-{secret[:4]}"
    path.write_text(secret + "\n")
    return feed_of(port, tsig_name="transfer-key", tsig_secret_file=str(path), **more)


def key(name: str) -> bytes:
    return reversed_key(from_text(name))
