"""Local records in the configuration: canonical form, every mistake with file, key and reason, and bounds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from pdns.config.load import from_tables
from pdns.config.record_rules import MAX_AT_ONE_NAME, MAX_FILE_BYTES, MAX_RECORDS
from pdns.config.record_table import RecordTable
from pdns.config.schema import Config, LoadedRecords
from pdns.errors import ConfigErrors
from pdns.ipc.config_memfd import read_config, share_config, without_records
from pdns.wire import names
from pdns.wire import protocol as p


def settled(directory: Path, **tables: Any) -> Config:
    return from_tables({"upstream": {"servers": ["192.0.2.1"]}, **tables}, "pdns.toml", directory, resolv_conf=directory / "none")


def loaded(directory: Path, **tables: Any) -> LoadedRecords:
    made = settled(directory, **tables).loaded_records
    assert made is not UNSET
    return made


def errors(directory: Path, **tables: Any) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        settled(directory, **tables)
    return [str(error).replace(f"{directory}/", "") for error in caught.value.errors]


def rdatas(made: LoadedRecords, name: str, rtype: int) -> tuple[bytes, ...]:
    node = RecordTable(made.table).get(names.from_text(name))
    rrset = node.rrset(rtype) if node is not None else None
    return rrset.rdatas if rrset is not None else ()


def pointers(made: LoadedRecords, name: str) -> list[str]:
    return [names.to_text(rdata) for rdata in rdatas(made, name, p.PTR)]


def test_canonical_form(tmp_path: Path) -> None:
    """Names in lower case without the last dot, addresses in canonical text; loading it again changes nothing."""
    tables: Mapping[str, Any] = {
        "name": "*.Corp.Example.", "aaaa": ["2001:DB8:0::1"], "ptr": ["Host.Corp.Example."],
        "srv": ["0 0 389 DC1.corp.example"], "mx": ["10 mail"],
    }  # fmt: skip
    config = settled(tmp_path, record=[tables, {"name": r"a.\*.b", "cname": "b\u00fccher.example"}])
    first, second = config.record
    assert (first.name, first.aaaa, first.ptr) == ("*.corp.example", ("2001:db8::1",), ("host.corp.example",))
    assert (second.name, second.cname) == (r"a.\*.b", "xn--bcher-kva.example")
    again = msgspec.to_builtins(config)
    del again["loaded_records"]
    assert settled(tmp_path, **again) == config


def test_no_records(tmp_path: Path) -> None:
    """Then there is no table, and nothing of it in what workers get."""
    config = settled(tmp_path)
    assert config.loaded_records is UNSET
    assert b"loaded_records" not in msgspec.json.encode(config)


def test_it_is_no_key(tmp_path: Path) -> None:
    """The file cannot set it."""
    (error,) = errors(tmp_path, loaded_records={})
    assert error.startswith("pdns.toml: loaded_records: unknown key")


def test_workers_get_the_table(tmp_path: Path) -> None:
    """Workers get it without the sections; the process of the feeds gets neither."""
    config = settled(tmp_path, record=[{"name": "a.example", "a": ["10.0.0.1"]}])
    fd = share_config(config)
    try:
        read = read_config(fd)
    finally:
        os.close(fd)
    assert read.loaded_records == config.loaded_records
    assert read.record == ()
    assert without_records(config).loaded_records is UNSET


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"name": "a.example"}, 'record[0]: "a.example" has no data: give it a, aaaa, cname, mx, txt, srv or https'),
        ({"name": "a..b", "a": ["10.0.0.1"]}, 'record[0].name: expected a domain name (empty label), got "a..b"'),
        ({"name": "a b", "a": ["10.0.0.1"]}, 'record[0].name: expected a domain name, or "*." and a domain name, got "a b"'),
        ({"name": "a.*.b", "a": ["10.0.0.1"]}, 'record[0].name: expected a domain name, or "*." and a domain name, got "a.*.b"'),
        ({"name": "10.0.0.5", "a": ["10.0.0.1"]}, 'record[0].name: expected a domain name, not an address, got "10.0.0.5"'),
        ({"name": ".", "txt": ["x"]}, 'record[0].name: expected a name below the root: this one would be every name, got "."'),
        ({"name": "*", "txt": ["x"]}, 'record[0].name: expected a name below the root: this one would be every name, got "*"'),
        ({"name": "x.localhost", "txt": ["x"]}, 'record[0].name: localhost has its own addresses (RFC 6761), got "x.localhost"'),
        ({"name": "a.b", "a": ["fd00::1"]}, 'record[0].a[0]: expected an IPv4 address, got "fd00::1"'),
        ({"name": "a.b", "mx": ["10 a", "mail"]}, "record[0].mx[1]: expected 2 values (number, name), got 1"),
        ({"name": "a.b", "srv": ["0 0 x a"]}, 'record[0].srv[0]: expected a number from 0 to 65535, got "x"'),
        ({"name": "a.b", "https": ["1 . prot=1"]}, 'record[0].https[0]: "prot" is not a known parameter'),
        ({"name": "a.b", "txt": ["a" * 20000]}, "record[0].txt[0]: data over 16,384 bytes"),
        ({"name": "a.b", "cname": "x..y"}, 'record[0].cname: expected a domain name (empty label), got "x..y"'),
        ({"name": "a.b", "ptr": ["x..y"]}, 'record[0].ptr[0]: expected a domain name (empty label), got "x..y"'),
        ({"name": "a.b", "cname": "c", "txt": ["x"]}, 'record[0].cname: "a.b" has other data as well: a CNAME record stands alone'),  # noqa: E501
        ({"name": "a.b", "ttl_s": -1, "a": ["10.0.0.1"]}, "record[0].ttl_s: expected int >= 0, got -1"),
        ({"name": "a.b", "ptr": "yes", "a": ["10.0.0.1"]}, 'record[0].ptr: expected true, false or array of strings, got "yes"'),
        ({"a": ["10.0.0.1"]}, "record[0].name: required"),
    ],
)  # fmt: skip
def test_what_is_wrong(tmp_path: Path, record: dict[str, Any], expected: str) -> None:
    """One error for one mistake."""
    assert errors(tmp_path, record=[record]) == [f"pdns.toml: {expected}"]


def test_a_name_twice(tmp_path: Path) -> None:
    """Its data belongs into one section."""
    record = {"name": "A.example", "a": ["10.0.0.1"]}
    assert errors(tmp_path, record=[record, {"name": "a.example.", "txt": ["x"]}]) == [
        'pdns.toml: record[1].name: "a.example" is already record[0]: put its data there'
    ]


@pytest.mark.parametrize(
    ("aliases", "expected"),
    [
        ({"a.t": "a.t"}, ["record[0]: a loop of CNAME records: a.t -> a.t"]),
        ({"x.t": "a.t", "a.t": "b.t", "b.t": "a.t"}, ["record[1]: a loop of CNAME records: a.t -> b.t -> a.t"]),
        ({"*.t": "x.t"}, ["record[0]: a loop of CNAME records: *.t -> *.t"]),
        (
            {f"{at}.t": f"{at + 1}.t" for at in range(20)},
            ["record[0]: more than 16 CNAME records one after the other: 0.t -> 1.t -> 2.t -> 3.t -> 16.t"],
        ),
        ({f"{at}.t": f"{at + 1}.t" for at in range(16)}, []),
        ({"*.t": "a.b.t", "x.b.t": "c.d"}, []),
    ],
)  # fmt: skip
def test_chains(tmp_path: Path, aliases: dict[str, str], expected: list[str]) -> None:
    """Loops, also through wildcards, and chains that are too long; a wildcard does not apply below a name that is closer."""
    record = [{"name": name, "cname": target} for name, target in aliases.items()]
    if expected:
        assert errors(tmp_path, record=record) == [f"pdns.toml: {one}" for one in expected]
    else:
        settled(tmp_path, record=record)


def test_pointers(tmp_path: Path) -> None:
    """The first name that has an address; not of wildcards, aliases, loopback, or a reverse name with records of its own."""
    (tmp_path / "hosts").write_text(
        "10.0.0.1 late.example\n10.0.0.2 pc.example pc\n127.0.0.1 me.example\n10.0.0.4 four.example\n"
    )
    (tmp_path / "zone").write_text("$ORIGIN 0.0.10.in-addr.arpa.\n4 PTR other.example.\n5 CNAME 5.sub\nx.example. A 10.0.0.5\n")
    made = loaded(
        tmp_path,
        record=[
            {"name": "one.example", "a": ["10.0.0.1"], "aaaa": ["fd00::1"]},
            {"name": "same.example", "a": ["10.0.0.1"]},
            {"name": "*.example", "a": ["10.0.0.3"]},
            {"name": "quiet.example", "a": ["10.0.0.6"], "ptr": False},
            {"name": "7.0.0.10.in-addr.arpa", "ptr": ["b.example", "a.example"]},
        ],
        local={"hosts_files": ["hosts"], "zone_files": ["zone"]},
    )  # fmt: skip
    found = {last: pointers(made, f"{last}.0.0.10.in-addr.arpa") for last in range(1, 8)}
    assert found == {
        1: ["one.example"],
        2: ["pc.example"],
        3: [],
        4: ["other.example"],
        5: [],
        6: [],
        7: ["b.example", "a.example"],
    }
    assert pointers(made, f"1.{'0.' * 29}d.f.ip6.arpa") == ["one.example"]
    assert pointers(made, "1.0.0.127.in-addr.arpa") == []


def test_sources_are_added_together(tmp_path: Path) -> None:
    """The same record counts once; an RRset has the lowest TTL (RFC 2181, 5)."""
    (tmp_path / "hosts").write_text("10.0.0.1 a.example\n10.0.0.2 a.example\n10.0.0.1 a.example\n")
    (tmp_path / "zone").write_text("a.example. 7 A 10.0.0.3\na.example. TXT x\n")
    record = [{"name": "a.example", "a": ["10.0.0.1", "10.0.0.1"], "ttl_s": 99}]
    made = loaded(tmp_path, record=record, local={"hosts_files": ["hosts"], "zone_files": ["zone"]})
    assert [rdata[3] for rdata in rdatas(made, "a.example", p.A)] == [1, 2, 3]
    node = RecordTable(made.table).get(names.from_text("a.example"))
    assert node is not None
    assert [(rrset.rtype, rrset.ttl_s) for rrset in node.rrsets] == [(p.A, 7), (p.TXT, 7)]
    assert made.sources == ("[[record]]", str(tmp_path / "hosts"), str(tmp_path / "zone"))


def test_a_cname_beside_data_of_another_file(tmp_path: Path) -> None:
    """The error names both places."""
    (tmp_path / "hosts").write_text("\n10.0.0.1 a.example\n")
    (error,) = errors(tmp_path, record=[{"name": "a.example", "cname": "b.example"}], local={"hosts_files": ["hosts"]})
    place = "pdns.toml: local.hosts_files[0]: hosts: line 2"
    assert error == f'{place}: "a.example" has a CNAME record and other data (record[0]): a CNAME record stands alone'


def test_bad_lines_of_a_hosts_file(tmp_path: Path) -> None:
    """They are left out and named, a bounded number of them; the others are used."""
    (tmp_path / "hosts").write_text("10.0.0.1 a\n" * 30 + "bad\n" * 25)
    made = loaded(tmp_path, local={"hosts_files": ["hosts"]})
    assert rdatas(made, "a", p.A)
    assert made.notes[0] == f'{tmp_path}/hosts: line 31: expected an address, got "bad": left out'
    assert len(made.notes) == 21
    assert made.notes[-1] == f"{tmp_path}/hosts: 5 more lines or names are left out"


def test_what_is_no_hosts_file(tmp_path: Path) -> None:
    """A page of a web server, for example: an error, so that a reload keeps what there was."""
    (tmp_path / "hosts").write_text("<html>\n<head>\n10.0.0.1 a\n")
    assert errors(tmp_path, local={"hosts_files": ["hosts"]}) == [
        'pdns.toml: local.hosts_files[0]: hosts: not a hosts file: line 1: expected an address, got "<html>"'
    ]


def test_mistakes_in_a_zone_file(tmp_path: Path) -> None:
    """Each with its line, a bounded number of them."""
    (tmp_path / "zone").write_text("localhost. A 10.0.0.1\n" + "a. A x\n" * 25)
    found = errors(tmp_path, local={"zone_files": ["zone"]})
    assert found[0] == "pdns.toml: local.zone_files[0]: zone: line 1: localhost has its own addresses (RFC 6761)"
    assert found[1] == 'pdns.toml: local.zone_files[0]: zone: line 2: expected an IPv4 address, got "x"'
    assert found[-1] == "pdns.toml: local.zone_files[0]: zone: 6 more mistakes"
    assert len(found) == 21


def test_signed_zones(tmp_path: Path) -> None:
    """What signs them is left out, and that is said."""
    (tmp_path / "zone").write_text("a. A 10.0.0.1\na. RRSIG A 8 1 1 x\na. NSEC b. A\n")
    made = loaded(tmp_path, local={"zone_files": ["zone"]})
    assert made.notes == (f"{tmp_path}/zone: 2 DNSSEC records are left out: answers from here are not signed",)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing ones, directories, pipes, which are not waited for, and large ones, of which nothing is read."""
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    found = errors(tmp_path, local={"hosts_files": ["missing", "directory"], "zone_files": ["pipe", "large"]})
    assert found == [
        "pdns.toml: local.hosts_files[0]: missing: cannot be read: No such file or directory",
        "pdns.toml: local.hosts_files[1]: directory: cannot be read: a directory, not a regular file",
        "pdns.toml: local.zone_files[0]: pipe: cannot be read: a pipe, not a regular file",
        f"pdns.toml: local.zone_files[1]: large: cannot be read: longer than {MAX_FILE_BYTES:,} bytes",
    ]


def test_too_many_records(tmp_path: Path) -> None:
    """The error comes at the first that is too many."""
    lines = (f"10.{at >> 16}.{at >> 8 & 255}.{at & 255} h{at}\n" for at in range(MAX_RECORDS + 1))
    (tmp_path / "hosts").write_text("".join(lines))
    reason = f"more than {MAX_RECORDS:,} local records: a list of names to block belongs in [[feed]]"
    assert errors(tmp_path, local={"hosts_files": ["hosts"]}) == [
        f"pdns.toml: local.hosts_files[0]: hosts: line {MAX_RECORDS + 1}: {reason}"
    ]
    assert errors(tmp_path, record=[{}] * (MAX_RECORDS + 1)) == [f"pdns.toml: record: {reason}, got {MAX_RECORDS + 1:,}"]


def test_too_many_records_of_one_name(tmp_path: Path) -> None:
    """Bounded in number and in size: an answer has to fit into a message."""
    (tmp_path / "hosts").write_text("".join(f"10.0.{at >> 8}.{at & 255} a\n" for at in range(MAX_AT_ONE_NAME + 1)))
    assert errors(tmp_path, local={"hosts_files": ["hosts"]}) == [
        f'pdns.toml: local.hosts_files[0]: hosts: line {MAX_AT_ONE_NAME + 1}: "a" has more than 1,000 records'
    ]
    assert errors(tmp_path, record=[{"name": "a.b", "txt": [f"{at}" + "x" * 16000 for at in range(3)]}]) == [
        'pdns.toml: record[0]: "a.b" has more TXT records than fit into a message'
    ]
    addresses = [f"10.0.{at >> 8}.{at & 255}" for at in range(900)]
    assert errors(tmp_path, record=[{"name": "*.a.b", "a": addresses}]) == [  # an alias may lead to a long name
        'pdns.toml: record[0]: "*.a.b" has more A records than fit into a message'
    ]


def test_a_name_may_have_few_types(tmp_path: Path) -> None:
    """As many as the table can count; one more is reported like any other mistake."""
    lines = [rf"@ TYPE{1000 + number} \# 1 00" for number in range(255)]
    local = {"zone_files": ["zone"]}
    (tmp_path / "zone").write_text("\n".join(["$ORIGIN corp.example.", *lines]))
    assert len(rdatas(loaded(tmp_path, local=local), "corp.example", 1254)) == 1
    (tmp_path / "zone").write_text("\n".join(["$ORIGIN corp.example.", *lines, r"@ TYPE2000 \# 1 00"]))
    assert errors(tmp_path, local=local) == [
        'pdns.toml: local.zone_files[0]: zone: line 257: "corp.example" has records of more than 255 types'
    ]


def test_names_of_many_labels_are_bounded(tmp_path: Path) -> None:
    """Each has up to 126 names above it, which exist as well."""
    names_of = [f"n{number}." + "a." * 100 + f"n{number}" for number in range(26_000)]
    (tmp_path / "hosts").write_text("".join(f"192.0.2.1 {name}\n" for name in names_of))
    (error,) = errors(tmp_path, local={"hosts_files": ["hosts"]})
    assert error.endswith("the names of all local records together have too many labels")


def test_one_record_over_and_over(tmp_path: Path) -> None:
    """Lines that say the same again cost no more than the first."""
    block = "".join(f"10.0.{number >> 8}.{number & 255} a\n" for number in range(MAX_AT_ONE_NAME - 1))
    (tmp_path / "hosts").write_text(block * 300)
    made = loaded(tmp_path, local={"hosts_files": ["hosts"]})
    assert len(rdatas(made, "a", p.A)) == MAX_AT_ONE_NAME - 1
