"""Files with local records, which other programs write as well."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pdns.config.hosts_file import Host, read_hosts
from pdns.config.load import from_tables
from pdns.config.zone_file import ZoneRecord, read_zone
from pdns.core.records import LocalRecords
from pdns.errors import ConfigError
from tests.fuzz.target import FileTarget


def _hosts() -> list[bytes]:
    return [
        b"127.0.0.1 localhost\n::1 localhost ip6-localhost\n10.0.0.1\tpc.corp.example pc # comment\r\n",
        b"\xef\xbb\xbf10.0.0.2 b\xc3\xbccher.example\nfe80::1%lo0 x\n10.0.0.3 a..b c 10.0.0.4\n",
    ]


def _zones() -> list[bytes]:
    return [
        (
            b"$ORIGIN corp.example.\n$TTL 1h\n@ IN SOA ns host ( 1 ; serial\n 3600 600 86400 300 )\n\tNS ns\nns A 10.0.0.53\n"
            b'www 60 IN CNAME ns\n*.w TXT "a b" "c;d" (e\n f)\n_x._tcp SRV 0 0 389 ns\nm MX 10 ns\nsix AAAA fd00::1\n'
        ),
        (
            b'$ORIGIN a.\ns HTTPS 16 t mandatory=alpn alpn="h2,h3" port=443 ech=AARhYmNk ipv4hint=10.0.0.1 ipv6hint=::1\n'
            b'c CAA 0 issue "ca"\nn NAPTR 1 1 "u" "s" "" t\nf SSHFP 1 1 ab\nt TLSA 3 1 1 ab\nu TYPE999 \\# 2 abcd\np PTR x\n'
            b"d\\.e A 10.0.0.1\n*.l CNAME m.k\nk CNAME ns.b.\nr RRSIG A 8\nv SVCB 1 . key99=\\001\n"
        ),
    ]


def _check(records: LocalRecords, name: bytes, rtype: int) -> None:
    """What was read is answered, as a message that can be parsed."""
    for qtype in (rtype, 1, 255):
        found = records.answer(name, qtype)
        assert found is not None
        assert found.outside or qtype != rtype or found.rrsets
        found.message(name, qtype)


def _read(key: str, content: bytes, directory: Path) -> LocalRecords | None:
    (directory / "file").write_bytes(content)
    try:
        return LocalRecords.of(from_tables({"upstream": {"servers": ["192.0.2.1"]}, "local": {key: ["file"]}}, "x", directory))
    except ConfigError:
        return None


def _read_hosts_file(content: bytes, directory: Path) -> bool:
    records = _read("hosts_files", content, directory)
    for one in read_hosts(content) if records is not None else ():
        if records is not None and isinstance(one, Host):
            _check(records, one.name, 1 if len(one.address) == 4 else 28)
    return records is not None


def _read_zone_file(content: bytes, directory: Path) -> bool:
    records = _read("zone_files", content, directory)
    for one in read_zone(content) if records is not None else ():
        if records is not None and isinstance(one, ZoneRecord):
            _check(records, one.name, one.rtype)
    return records is not None


RECORD_FILES: Final = {"hosts file": FileTarget(_hosts, _read_hosts_file), "zone file": FileTarget(_zones, _read_zone_file)}
