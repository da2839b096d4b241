"""Actions on their way: what a list says of a name is what the blockset says of it."""

from __future__ import annotations

import tempfile
from ipaddress import IPv4Address
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from feeds.entries import Entries, whole, write_entries
from feeds.formats.actions import ListedActions
from feeds.parse import ParsedFeed
from feeds.salvage import Salvaged
from pdns.blockset.annotations import Annotations
from pdns.blockset.reader import Blockset
from pdns.core.listing import ALLOW_NAME, BLOCK_BELOW, BLOCK_NAME, LOCAL_DATA, ListedAction
from pdns.wire.names import from_text, reversed_key
from tests.blocksets import compile_parsed
from tests.effort import examples
from tests.rpz import rpz_feed

Listed = dict[bytes, tuple[int, ListedAction | None, ListedAction | None]]  # name -> bits, actions for it and below
Networks = dict[bytes, ListedAction | None]
ACTION = st.one_of(
    st.sampled_from([ListedAction(kind) for kind in ("nxdomain", "nodata", "drop", "tcp-only", "passthru")]),
    st.binary(min_size=1, max_size=5).map(lambda data: ListedAction(LOCAL_DATA, ((16, (bytes([len(data)]) + data,)),))),
)
NAMES = [from_text(name) for name in ("a.test", "b.a.test", "c.b.a.test", "b.test")]
BITS = st.sampled_from([BLOCK_NAME, BLOCK_BELOW, BLOCK_NAME | BLOCK_BELOW, ALLOW_NAME])
LISTED = st.dictionaries(st.sampled_from(NAMES), st.tuples(BITS, st.none() | ACTION, st.none() | ACTION), max_size=4)
NETWORKS = st.dictionaries(st.sampled_from([b"\xc0\0\2\0\x18", b"\xc0\0\2\1\x20"]), st.none() | ACTION)
LIST = st.tuples(LISTED, NETWORKS)


def parsed_of(listed: Listed, networks: Networks) -> ParsedFeed:
    actions = ListedActions()
    for name, (bits, at_name, below) in listed.items():
        if at_name is not None and bits & (BLOCK_NAME | ALLOW_NAME):
            actions.add_name(reversed_key(name), at_name, below=False)
        if below is not None and bits & BLOCK_BELOW:
            actions.add_name(reversed_key(name), below, below=True)
    for key, action in networks.items():
        if action is not None:
            actions.add_network(key, action)
    names = {reversed_key(name): bits for name, (bits, _, _) in listed.items()}
    return ParsedFeed(format="rpz", lines=1, names=names, networks=set(networks), odd={}, actions=actions)


@examples(100)
@given(st.lists(LIST, min_size=1, max_size=3))
def test_a_blockset_says_what_its_lists_say(lists: list[tuple[Listed, Networks]]) -> None:
    """For the name itself and for a name below it, of every feed; and what is written and read again is the same."""
    with tempfile.TemporaryDirectory() as folder:
        parsed = [parsed_of(*one) for one in lists]
        for number, one in enumerate(parsed):
            write_entries(Path(folder) / f"e{number}", one, None, 100, 0)
            again = whole(Entries(Path(folder) / f"e{number}"))
            assert (again.names, again.networks, again.actions) == (one.names, one.networks, one.actions)
        directory = Path(folder) / "blockset"
        compile_parsed(
            [(rpz_feed(f"f{number}"), one) for number, one in enumerate(parsed)], directory, generation=1, created_s=0.0
        )
        blockset = Blockset.open(directory)
        for number, (listed, networks) in enumerate(lists):
            for name, (bits, at_name, below) in listed.items():
                for asked, reach, action in ((name, BLOCK_NAME | ALLOW_NAME, at_name), (b"\1x" + name, BLOCK_BELOW, below)):
                    if not bits & reach:
                        continue
                    said = [one for one in blockset.lookup(asked) if (one.feed, one.name) == (f"f{number}", name)]
                    assert [blockset.actions[one.action] for one in said] == [action]
            for key, action in networks.items():
                found = blockset.lookup_address(key[:4])
                text = f"{IPv4Address(key[:4])}/{key[4]}"
                assert [blockset.actions[one.action] for one in found if (one.feed, one.network) == (f"f{number}", text)] == [
                    action
                ]
            salvaged = Salvaged(blockset, Annotations(blockset), f"f{number}")
            compile_again = {}
            for block in salvaged.names():
                for key, bits, said_of in zip(block.keys, block.bits, block.actions or [0] * len(block.keys), strict=True):
                    at_name, below = ([None, *salvaged.actions.table][at] for at in (said_of & 0xFFFF, said_of >> 16))
                    compile_again[key] = (bits, at_name, below)
            assert compile_again == {
                reversed_key(name): (
                    bits,
                    at_name if bits & (BLOCK_NAME | ALLOW_NAME) else None,
                    below if bits & BLOCK_BELOW else None,
                )
                for name, (bits, at_name, below) in listed.items()
            }
