"""Resolvers that tell the truth, and resolvers that do not: `unbound` with small zones of its own, one signed, one badly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dns.dnssec
import dns.name
import dns.rdataset
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.dnssectypes import Algorithm

from tests.integration.realservers import UNBOUND_SERVER, RealServer

SIGNED, BOGUS, PLAIN = "signed.example", "bogus.example", "plain.example"
MUST, KNOWN, KNOWN_ADDRESS, FORGED_ADDRESS = f"must.{PLAIN}", f"known.{PLAIN}", "203.0.113.7", "203.0.113.66"
CANARIES: Mapping[str, Any] = {
    "enabled": True,
    "interval_s": 1,
    "signed": [f"www.{SIGNED}"],
    "bogus": [f"www.{BOGUS}"],
    "resolves": [MUST],
    "empty_zone": f"empty.{PLAIN}",
    "known": [f"{KNOWN} {KNOWN_ADDRESS}"],
}
_HEAD = "@ 300 IN SOA ns host 1 3600 600 86400 60\n@ 300 IN NS ns\nns 300 IN A 203.0.113.53\nwww 300 IN A 203.0.113.80\n"
_PLAIN = f"{_HEAD}must 300 IN A 203.0.113.8\nknown 300 IN A {KNOWN_ADDRESS}\nempty 300 IN TXT empty\n"
_CONF = """\
    interface: 127.0.0.1@{port}
    module-config: "{modules}"
    ede: yes
{more}
remote-control:
    control-enable: no
"""
_AUTH = 'auth-zone:\n    name: "{zone}"\n    zonefile: "{file}"\n    for-downstream: no\n    fallback-enabled: no\n'


class SmallZones:
    """The files of the zones, and the key that two of them are signed with."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        dnskey = dns.dnssec.make_dnskey(key.public_key(), Algorithm.ECDSAP256SHA256, flags=257)
        self.anchors = [f"{zone}. DNSKEY {dnskey}" for zone in (SIGNED, BOGUS)]
        self.files: dict[str, Path] = {}
        for name, text in ((SIGNED, _HEAD), (BOGUS, _HEAD), (PLAIN, _PLAIN)):
            zone = dns.zone.from_text(text, dns.name.from_text(name), relativize=False)
            if name != PLAIN:
                with zone.writer() as writer:
                    dns.dnssec.sign_zone(zone, writer, keys=[(key, dnskey)], add_dnskey=True, dnskey_ttl=300, lifetime=86400)
            self.files[name] = directory / name
            zone.to_file(str(self.files[name]), relativize=False)
        forged = self.files[BOGUS].read_text().replace("203.0.113.80", "203.0.113.99")
        self.files[BOGUS].write_text(forged)


class SmallResolver(RealServer):
    """An `unbound` that resolves the small zones alone, and lies as its `lies` say: lines of its section `server`."""

    def __init__(self, directory: Path, zones: SmallZones, *, validates: bool = True, lies: Iterable[str] = ()) -> None:
        super().__init__("unbound", directory, f"www.{PLAIN}")
        self._zones, self._validates, self._lies = zones, validates, lies

    def _command(self) -> list[str]:
        anchors = [f'trust-anchor: "{anchor}"' for anchor in self._zones.anchors if self._validates]
        more = "\n".join(f"    {line}" for line in (*anchors, *self._lies))
        modules = "validator iterator" if self._validates else "iterator"
        text = UNBOUND_SERVER.format(directory=self._directory) + _CONF.format(port=self.port, modules=modules, more=more)
        text += "".join(_AUTH.format(zone=zone, file=file) for zone, file in self._zones.files.items())
        (self._directory / "unbound.conf").write_text(text)
        return ["-d", "-c", str(self._directory / "unbound.conf")]
