"""Names, packets and the streams made of them."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import dns.message
import pytest

from loadtest import packets, population, traffic
from loadtest.population import Population
from pdns.wire import names
from pdns.wire import protocol as p


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Population:
    return population.generated(tmp_path_factory.mktemp("names"), listed=3000, benign=500, sample=2000)


def qname(wire: bytes) -> bytes:
    return wire[12 : wire.index(0, 12) + 1]


def is_listed(name: bytes, listed: set[bytes]) -> bool:
    return any(ancestor in listed for ancestor in names.ancestors(name))


def all_listed(people: Population) -> set[bytes]:
    return {names.from_text(text) for text in people.list_file.read_text().split()}


def test_packet_file_round_trip(tmp_path: Path) -> None:
    """What is written is read back."""
    wires = [packets.query(names.from_text("a.example")), packets.query(b"\0", p.NS)]
    assert packets.write(tmp_path / "x", wires) == 2
    assert list(packets.read(tmp_path / "x")) == wires


def test_packet_file_cut_short(tmp_path: Path) -> None:
    """A file that ends inside a packet is an error."""
    (tmp_path / "x").write_bytes(b"\0\x05abc")
    with pytest.raises(ValueError, match="cut short"):
        list(packets.read(tmp_path / "x"))


def test_query_is_what_a_stub_sends() -> None:
    """RD and EDNS with 1232 bytes, one question, nothing else."""
    message = dns.message.from_wire(packets.query(names.from_text("www.example"), p.AAAA, query_id=513))
    assert (message.id, message.edns, message.payload, int(message.flags)) == (513, 0, 1232, p.RD)
    assert message.question[0].to_text() == "www.example. IN AAAA"


def test_listed_names_are_distinct_and_the_same_every_time(people: Population, tmp_path: Path) -> None:
    """The list holds as many different names as it should, and another run makes the same list."""
    texts = people.list_file.read_text().split()
    assert len(texts) == len(set(texts)) == people.listed_count == 3000
    again = population.generated(tmp_path, listed=3000, benign=500, sample=2000)
    assert again.list_file.read_bytes() == people.list_file.read_bytes()
    assert (again.listed, again.benign) == (people.listed, people.benign)


def test_benign_names_are_not_listed(people: Population) -> None:
    """No benign name is a listed one, or below one."""
    listed = all_listed(people)
    assert len(people.benign) == 500
    assert not any(is_listed(name, listed) for name in people.benign)


def test_real_lists(tmp_path: Path) -> None:
    """Real lists are found by their names; what is no plain domain name, or special, or listed, is not asked for."""
    (tmp_path / "maltrail.txt").write_text("evil.com\n192.0.2.7\nxn--a.net\nsingle\nbad.onion\n" + "x" * 70 + ".org\n")
    top = tmp_path / "lists" / "tranco10k"
    top.mkdir(parents=True)
    (top / "list.json").write_text(json.dumps({"list": ["good.org", "www.evil.com", "fine.net"]}))
    found = population.from_data(tmp_path)
    assert found is not None
    assert set(found.listed) == {names.from_text("evil.com"), names.from_text("xn--a.net")}
    assert set(found.benign) == {names.from_text("good.org"), names.from_text("fine.net")}


def test_no_real_lists(tmp_path: Path) -> None:
    """A directory without them gives None, not half a population."""
    assert population.from_data(tmp_path) is None


def test_hits_are_zipf(people: Population) -> None:
    """The first name is asked for most; all are warmed by `every_benign`."""
    asked = Counter(qname(wire) for wire in traffic.hits(people, 20_000))
    ranked = [asked[name] for name in people.benign[:4]]
    assert all(higher > lower for higher, lower in pairwise(ranked))
    assert set(asked) <= {qname(wire) for wire in traffic.every_benign(people)}


def test_first_sight_is_never_the_same_twice(people: Population) -> None:
    """Every query is a new name, each below another listed one as long as there are enough."""
    asked = [qname(wire) for wire in traffic.blocked_first_sight(people, 2000)]
    assert len(set(asked)) == 2000
    assert {names.parent(name) for name in asked} == set(people.listed)
    assert not set(asked) & {qname(wire) for wire in traffic.blocked_first_sight(people, 2000, seed=2)}


def test_blocked_seen_are_listed_names(people: Population) -> None:
    """Only listed names, all of them in the stream that warms."""
    asked = {qname(wire) for wire in traffic.blocked_seen(people, 5000)}
    assert asked <= set(people.listed)
    assert asked <= {qname(wire) for wire in traffic.every_blocked_seen(people)}


def test_never_seen_is_clean_and_new(people: Population) -> None:
    """Every query is a new name that no list holds."""
    listed = all_listed(people)
    asked = [qname(wire) for wire in traffic.never_seen(people, 2000)]
    assert len(set(asked)) == 2000
    assert not any(is_listed(name, listed) for name in asked)


def test_mix_has_its_shares(people: Population) -> None:
    """About one query in a thousand is blocked, and nine tenths of the others are popular names."""
    listed, benign = set(people.listed), set(people.benign)
    asked = [qname(wire) for wire in traffic.mix(people, 50_000)]
    blocked = sum(name in listed for name in asked)
    popular = sum(name in benign for name in asked)
    assert 20 < blocked < 100
    assert 0.89 < popular / (len(asked) - blocked) < 0.91


def test_same_seed_same_stream(people: Population) -> None:
    """A stream is made of its seed alone."""
    assert list(traffic.mix(people, 500, seed=3)) == list(traffic.mix(people, 500, seed=3))
    assert list(traffic.mix(people, 500, seed=3)) != list(traffic.mix(people, 500, seed=4))
