"""Local records against RFC 4592 in plain words, and against BIND with the same zone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.load import from_tables
from pdns.core.records import LocalRecords
from pdns.wire import names
from pdns.wire.names import from_text
from tests.integration.realservers import Named, ask
from tests.wire import query

TYPES = {"A": 1, "CNAME": 5, "TXT": 16, "DS": 43}
LABELS = st.sampled_from(["a", "b", "*"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(lambda labels: ".".join([*labels, "z.test"])) | st.just("z.test")
DATA = st.dictionaries(NAMES, st.sets(st.sampled_from(["A", "TXT"]), min_size=1) | NAMES, max_size=6)

Data = Mapping[str, Any]  # name -> its types, or the target of its CNAME


def above(name: str) -> list[str]:
    """The names above, nearest first, without the root."""
    labels = name.split(".")
    return [".".join(labels[at:]) for at in range(1, len(labels))]


def reference(data: Data, qname: str, qtype: str) -> Any:
    """What is said of a question: "outside", or the steps of the answer, the last of them "NODATA" or "outside" perhaps."""
    exists = set(data).union(*(above(name) for name in data))

    def node_of(name: str) -> str | None:
        """Section 3.3.1: the name itself, or the source of synthesis at its closest encloser; either may have no records."""
        if name in exists:
            return name
        encloser = next((one for one in above(name) if one in exists), None)
        wildcard = f"*.{encloser}"
        return wildcard if encloser is not None and wildcard in exists else None

    def is_left(node: str) -> bool:
        """No record stands above it, and it has none itself; or its DS is asked for, which belongs to the zone above."""
        inside = any(one in data or (f"*.{one}" in data and f"*.{one}" != node) for one in above(node))
        return not inside and (node not in data or qtype == "DS")

    steps: list[Any] = []
    name = qname
    while True:
        node = node_of(name)
        if node is None or is_left(node):
            return [*steps, "outside"] if steps else "outside"
        has = data.get(node, set())
        if isinstance(has, str):
            if qtype == "CNAME":
                return [*steps, (name, "CNAME", has)]
            steps.append((name, "CNAME", has))
            name = has
        elif qtype in has:
            return [*steps, (name, qtype)]
        else:
            return [*steps, "NODATA"]


def tables(data: Data) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for plain, has in data.items():
        name = plain[:2] + plain[2:].replace("*", "\\*")
        if isinstance(has, str):
            records.append({"name": name, "cname": has})
        else:
            records.append(
                {"name": name, **({"a": ["10.0.0.1"]} if "A" in has else {}), **({"txt": ["x"]} if "TXT" in has else {})}
            )
    return records


def steps_of(records: LocalRecords, qname: str, qtype: str) -> Any:
    found = records.answer(from_text(qname), TYPES[qtype])
    if found is None or found.left:
        return "outside"
    steps: list[Any] = []
    for owner, rrset in found.rrsets:
        kind = dns.rdatatype.to_text(dns.rdatatype.RdataType(rrset.rtype))
        data = (names.to_text(rrset.rdatas[0]),) if kind == "CNAME" else ()
        steps.append((names.to_text(owner), kind, *data))
    if found.outside:
        steps.append("outside")
    elif not found.rrsets or found.rrsets[-1][0] != found.end:
        steps.append("NODATA")
    return steps


def has_loop(data: Data) -> bool:
    """Whether a chain comes back to itself, which the configuration refuses."""
    for name in data:
        for _ in range(20):
            target = data.get(name)
            if not isinstance(target, str):
                break
            exists = set(data).union(*(above(one) for one in data))
            encloser = next((one for one in above(target) if one in exists), "")
            name = target if target in exists else f"*.{encloser}"  # noqa: PLW2901
        else:
            return True
    return False


@given(DATA, NAMES, st.sampled_from(sorted(TYPES)))
def test_any_records(data: Data, qname: str, qtype: str) -> None:
    """Any names, wildcards in any place, chains through wildcards."""
    config = {"upstream": {"servers": ["192.0.2.1"]}, "record": tables(data)}
    if has_loop(data):
        with pytest.raises(Exception, match="a loop of CNAME records"):
            from_tables(config, "pdns.toml", Path("/nonexistent"))
        return
    records = LocalRecords.of(from_tables(config, "pdns.toml", Path("/nonexistent")))
    assert steps_of(records, qname, qtype) == reference(data, qname, qtype)
    key = names.filter_key(from_text(qname))
    if steps_of(records, qname, qtype) != "outside":
        assert key in records.filter_keys or names.parent(key) in records.filter_keys, "else it would not be looked up"


ZONE = """\
$ORIGIN real.example.
$TTL 300
@ SOA ns host 1 3600 600 86400 300
@ NS ns
@ MX 10 mail
ns A 10.0.0.1
mail A 10.0.0.2
mail A 10.0.0.3
www CNAME web
web CNAME ns
out CNAME www.example.net.
a.b.c A 10.0.0.4
*.w A 10.0.0.5
*.w TXT "wild"
deep.sub.w A 10.0.0.6
host.*.w TXT "x"
*.alias CNAME www
*.lost CNAME nothing
*.*.stars TXT "y"
_ldap._tcp SRV 0 100 389 ns
svc HTTPS 1 . alpn=h2
caa CAA 0 issue "ca.example"
naptr NAPTR 1 1 "u" "s" "" ns
upper A 10.0.0.9
"""
QUESTIONS = (
    "@ ns mail www web out nothing c b.c a.b.c x.a.b.c x.c x.b.c w x.w x.y.w sub.w deep.sub.w x.sub.w x.deep.sub.w *.w x.*.w "
    "host.*.w "
    "y.host.*.w alias x.alias x.y.alias *.alias lost x.lost stars x.stars *.stars x.*.stars *.*.stars x.y.stars _tcp _ldap._tcp "
    "x._ldap._tcp svc caa naptr UPPER"
)
QTYPES = ("A", "AAAA", "MX", "TXT", "CNAME", "SRV", "HTTPS", "CAA", "NAPTR", "SOA", "NS", "PTR")


def test_the_same_as_bind(tmp_path: Path) -> None:
    """Each question about a zone has the same records and NODATA; where BIND says NXDOMAIN, the outside is asked."""
    (tmp_path / "zone").write_text(ZONE)
    tables = {"upstream": {"servers": ["192.0.2.1"]}, "local": {"zone_files": ["zone"]}}
    records = LocalRecords.of(from_tables(tables, "pdns.toml", tmp_path))
    with Named(tmp_path / "named", "real.example", ZONE) as named:
        for label in QUESTIONS.split():
            name = "real.example" if label == "@" else f"{label}.real.example"
            for qtype in QTYPES:
                theirs = ask(named.port, name, qtype)
                asked = query(name, qtype)
                found = records.answer(asked.qname, asked.qtype)
                if found is None:
                    assert theirs.rcode() == dns.rcode.NXDOMAIN, (name, qtype)
                    continue
                ours = dns.message.from_wire(found.entry(asked.qname, 0.0).render(asked, 0.0, 65535), one_rr_per_rrset=True)
                assert sorted(map(_lower, ours.answer)) == sorted(map(_lower, theirs.answer)), (name, qtype)
                is_unknown = found.outside and found.end.endswith(from_text("real.example"))  # the end of a chain
                assert theirs.rcode() == (dns.rcode.NXDOMAIN if is_unknown else dns.rcode.NOERROR), (name, qtype)
                assert bool(ours.authority) == (not found.outside and any(rrset.rdtype == 6 for rrset in theirs.authority)), (
                    name,
                    qtype,
                )


def _lower(rrset: object) -> str:
    return str(rrset).lower()
