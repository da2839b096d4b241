"""Response policy zones: the closest encloser and the longest prefix decide, as in BIND and unbound."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.blockset.reader import Blockset
from pdns.config.schema import Config, Feed, Upstream
from pdns.core.policy import Policy
from pdns.wire.names import from_text
from tests.blocksets import compile_parsed
from tests.effort import examples
from tests.unit.feeds.reading import names, networks, odd, read

TLDS: dict[str, Any] = {"top_level_domains": True}


@pytest.mark.parametrize(
    ("zone", "blocked", "open_"),
    [
        ("*.a.test CNAME .\nb.a.test CNAME .\n", ["x.a.test", "y.x.a.test", "b.a.test"], ["a.test", "x.b.a.test"]),
        ("*.a.test CNAME .\nb.a.test CNAME rpz-passthru.\n", ["x.a.test"], ["b.a.test", "x.b.a.test"]),
        ("*.a.test CNAME .\nd.c.a.test CNAME .\n", ["x.a.test", "d.c.a.test"], ["c.a.test", "x.c.a.test", "x.d.c.a.test"]),
        ("*.a.test CNAME .\n*.b.a.test CNAME .\n", ["x.a.test", "x.b.a.test"], ["b.a.test"]),
        ("a.test CNAME .\n*.a.test CNAME .\nb.a.test CNAME .\n*.b.a.test CNAME .\n", ["a.test", "b.a.test", "x.b.a.test"], []),
        ("*.a.test CNAME rpz-passthru.\nb.a.test CNAME .\na.test CNAME .\n", ["a.test", "b.a.test"], ["x.a.test", "x.b.a.test"]),
    ],
)
def test_closest_encloser(tmp_path: Path, zone: str, blocked: list[str], open_: list[str]) -> None:
    """A wildcard does not reach below a name that the zone has (RFC 4592, 3.3.1), nor such a name itself."""
    assert decided(tmp_path, zone, [*blocked, *open_]) == set(blocked)


LABELS = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(".".join)


@examples(30)
@given(st.dictionaries(st.tuples(st.booleans(), LABELS), st.booleans(), min_size=1, max_size=6), st.lists(LABELS, min_size=1))
def test_zones_are_looked_up_as_dns_does(
    tmp_path_factory: pytest.TempPathFactory, owners: dict[tuple[bool, str], bool], asked: list[str]
) -> None:
    """Whatever names a zone has, a name is blocked when a look-up in the zone finds a record that blocks."""
    zone = "".join(
        f"{'*.' * wildcard}{name}.test CNAME {'.' if blocks else 'rpz-passthru.'}\n"
        for (wildcard, name), blocks in owners.items()
    )
    records = {("*." if wildcard else "") + f"{name}.test": blocks for (wildcard, name), blocks in owners.items()}
    exist = {".".join(owner.split(".")[at:]) for owner in records for at in range(owner.count(".") + 1)}
    expected = set()
    for text in {f"{name}.test" for name in asked}:
        name = text
        if name in exist:
            found = records.get(name)
        else:
            while name not in exist:
                name = name.partition(".")[2]
            found = records.get("*." + name)
        if found:
            expected.add(text)
    assert decided(tmp_path_factory.mktemp("zone"), zone, {f"{name}.test" for name in asked}) == expected


def decided(folder: Path, zone: str, asked: Any) -> set[str]:
    """Those of the names `asked` about that a feed with this zone blocks."""
    feed = Feed(name="zone", url="file:///zone", format="rpz")
    compile_parsed([(feed, read(zone, "rpz"))], folder / "blockset", generation=1, created_s=0.0)
    blockset = Blockset.open(folder / "blockset")
    policy = Policy(Config(upstream=Upstream(servers=("192.0.2.1",)), feed=(feed,)))
    return {name for name in asked if policy.decide(blockset, 0, from_text(name)).verdict is not None}


def test_address_exceptions() -> None:
    """Of networks and exceptions that hold an address, the longest prefix decides, and of the same one the exception."""
    zone = (
        "24.0.2.0.8.rpz-ip CNAME .\n32.1.2.0.8.rpz-ip CNAME rpz-passthru.\n26.64.2.0.8.rpz-ip CNAME rpz-passthru.\n"
        "32.65.2.0.8.rpz-ip CNAME .\n16.0.0.9.8.rpz-ip CNAME rpz-passthru.\n24.0.1.9.8.rpz-ip CNAME .\n"
        "32.7.7.7.8.rpz-ip CNAME .\n32.7.7.7.8.rpz-ip CNAME rpz-passthru.\n"
        "32.zz.db8.2001.rpz-ip CNAME .\n128.5.zz.db8.2001.rpz-ip CNAME rpz-passthru.\n"
    )
    parsed = read(zone, "rpz", addresses=True)
    assert odd(parsed) == {}
    listed = [ip_network(text) for text in networks(parsed)]

    def is_blocked(text: str) -> bool:
        return any(ip_address(text) in network for network in listed if network.version == ip_address(text).version)

    blocked = ["8.0.2.0", "8.0.2.2", "8.0.2.63", "8.0.2.128", "8.0.2.255", "8.0.2.65", "8.9.1.7", "2001:db8::4", "2001:db8:1::5"]
    assert [text for text in blocked if not is_blocked(text)] == []
    assert [text for text in ("8.0.2.1", "8.0.2.64", "8.0.2.127", "8.9.2.1", "8.7.7.7", "2001:db8::5") if is_blocked(text)] == []
    assert odd(read(zone, "rpz")) == {"network": 10}


def test_policy_on_top_level_domains() -> None:
    """Whole top-level domains, and the root, are listed where the configuration says so; exceptions for them always count."""
    zone = "* CNAME .\n*.zip CNAME .\nzip CNAME .\n*.com CNAME rpz-passthru.\n"
    assert names(read(zone, "rpz")) == {"com": "allow below"}
    assert odd(read(zone, "rpz")) == {"pattern": 1, "single_label": 2}
    assert names(read(zone, "rpz", **TLDS)) == {".": "below", "zip": "subtree", "com": "allow subtree"}
    assert names(read("*.zip\nmov\n.su\nevil.test\n", "domains", **TLDS)) == {
        "zip": "below", "mov": "subtree", "su": "subtree", "evil.test": "subtree",
    }  # fmt: skip
    assert odd(read("*.zip\nmov\n", "domains")) == {"single_label": 2}


@pytest.mark.parametrize(
    "zone",
    [
        "Z SOA a b 1 2 3 4 5\nevil.test.Z CNAME .\n*.bad.test.Z CNAME .\ngood.test.Z CNAME good.test\n",
        "Z. IN SOA a b 1 2 3 4 5\nevil.test.Z. CNAME .\n*.bad.test CNAME .\ngood.test CNAME good.test.\n",
        "$ORIGIN .\nZ SOA a b 1 2 3 4 5\n$ORIGIN test.Z.\nevil CNAME .\n*.bad CNAME .\ngood CNAME rpz-passthru.\n",
        "$ORIGIN local.\nrpz SOA a b 1 2 3 4 5\nevil.test.rpz CNAME .\n*.bad.test.rpz CNAME .\ngood.test.rpz CNAME good.test.\n",
    ],
)
def test_name_of_the_zone(zone: str) -> None:
    """The owner of the SOA record is the name of the zone, also where no name in the file has its final dot."""
    parsed = read(zone.replace("Z", "rpz.local"), "rpz")
    assert names(parsed) == {"evil.test": "exact", "bad.test": "below", "good.test": "allow exact"}
    assert odd(parsed) == {}
