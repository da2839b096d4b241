"""Blocksets agree with the plain meaning of their rules, for any rules and any names."""

from __future__ import annotations

import tempfile
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pdns.blockset.layout import FeedEntry
from pdns.blockset.reader import Blockset
from pdns.core.listing import ALLOW_BELOW, ALLOW_NAME, BLOCK_BELOW, BLOCK_NAME, BLOCK_SUBTREE, Listing, Rule
from pdns.wire.names import ancestors, from_labels, reversed_key
from tests.blocksets import write_all
from tests.effort import examples

LABEL = st.sampled_from([b"a", b"b", b"ab", b"a.b", b"\x01a", b"\0", b"x" * 63])
NAME = st.lists(LABEL, max_size=4).filter(lambda labels: sum(map(len, labels)) < 240).map(from_labels) | st.just(
    from_labels([b"a" * 63] * 3 + [b"a" * 61])
)
BITS = st.integers(1, 15)
FEEDS = st.lists(st.dictionaries(NAME, BITS, max_size=8), min_size=1, max_size=4)
RULES = {BLOCK_NAME: Rule.EXACT, BLOCK_BELOW: Rule.BELOW, BLOCK_SUBTREE: Rule.SUBTREE}
NETWORK = st.builds(
    lambda address, bits: IPv4Network((address, bits), strict=False), st.integers(0, 2**32 - 1).map(lambda n: n & 0xC0A80F0F),
    st.sampled_from([0, 8, 16, 20, 24, 31, 32]),
)  # fmt: skip


def meaning(feeds: list[dict[bytes, int]], qname: bytes) -> list[Listing]:
    """What `feeds` say of `qname`, name by name from the bottom up."""
    said = []
    for name in ancestors(qname):
        block, allow = (BLOCK_NAME, ALLOW_NAME) if name == qname else (BLOCK_BELOW, ALLOW_BELOW)
        for index, feed in enumerate(feeds):
            bits = feed.get(name, 0)
            if bits & block:
                said.append(Listing(f"f{index}", name, RULES[bits & 3], False))
            if bits & allow:
                said.append(Listing(f"f{index}", name, RULES[bits >> 2], True))
    return said


def make(feeds: list[dict[bytes, int]], networks: dict[bytes, int], folder: str) -> Blockset:
    combinations: list[list[tuple[int, int]]] = []
    names = {}
    for name in sorted({name for feed in feeds for name in feed}):
        names[reversed_key(name)] = len(combinations)
        combinations.append([(index, feed[name]) for index, feed in enumerate(feeds) if name in feed])
    combinations.append([(0, BLOCK_SUBTREE)])
    write_all(
        Path(folder) / "b",
        generation=1,
        created_s=0,
        feeds=[FeedEntry(name=f"f{index}", source="", category="x") for index in range(len(feeds))],
        names=names,
        networks=dict.fromkeys(networks, len(combinations) - 1),
        combinations=combinations,
    )
    return Blockset.open(Path(folder) / "b")


@examples(150)
@given(FEEDS, st.lists(NAME, max_size=20))
def test_lookup_means_what_the_rules_say(feeds: list[dict[bytes, int]], asked: list[bytes]) -> None:
    """Every listing that applies is found, in order, and no other: for listed names, names below them, and any others."""
    with tempfile.TemporaryDirectory() as folder:
        blockset = make(feeds, {}, folder)
        names = [*asked, *(name for feed in feeds for name in feed)]
        below = [b"\1a" + name for name in names if len(name) < 250]
        for qname in [*names, *below, b"\0"]:
            assert list(blockset.lookup(qname)) == meaning(feeds, qname)
        assert sorted(blockset.listings()) == sorted(
            Listing(f"f{index}", name, RULES[part], allow)
            for index, feed in enumerate(feeds)
            for name, bits in feed.items()
            for part, allow in ((bits & 3, False), (bits >> 2, True))
            if part
        )


@examples(60)
@given(st.sets(NETWORK, max_size=12), st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_lookup_address_means_what_the_networks_say(networks: set[IPv4Network], asked: list[int]) -> None:
    """An address is listed by exactly those networks that hold it, the narrowest first."""
    keys = dict.fromkeys((network.network_address.packed + bytes((network.prefixlen,)) for network in networks), 0)
    with tempfile.TemporaryDirectory() as folder:
        blockset = make([{}], keys, folder)
        edges = [edge for network in networks for edge in (int(network.network_address), int(network.broadcast_address))]
        for number in [*asked, *edges, *(edge + 1 for edge in edges if edge + 1 < 2**32)]:
            address = IPv4Address(number)
            holding = sorted((-network.prefixlen, str(network)) for network in networks if address in network)
            found = [listing.network for listing in blockset.lookup_address(address.packed)]
            assert found == [network for _, network in holding]
