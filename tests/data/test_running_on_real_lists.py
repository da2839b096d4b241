"""The running program on 1.16 million real names: listed ones are blocked, popular ones are not.

Needs real data: PDNS_DATA names the folder where the archives are unpacked.
"""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from feeds.protected_names import Decided, ProtectedNames, Protection
from pdns.core.listing import BLOCK_SUBTREE
from pdns.wire.names import from_text, reversed_key
from tests.fakes.upstream import answer
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread
from tests.wire import answers, query_wire

DATA = Path(os.environ.get("PDNS_DATA", ""))
pytestmark = pytest.mark.skipif("PDNS_DATA" not in os.environ, reason="PDNS_DATA is not set")
_WINDOW = 32


def ask_all(port: int, names: Iterable[str]) -> dict[str, list[str]]:
    """The addresses of every name, a few questions at a time."""
    found: dict[str, list[str]] = {}
    pending = dict(enumerate(names))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(5)
        waiting: dict[int, str] = {}
        while pending or waiting:
            while pending and len(waiting) < _WINDOW:
                number = next(iter(pending))
                waiting[number & 0xFFFF] = name = pending.pop(number)
                sock.send(query_wire(name, query_id=number & 0xFFFF))
            reply = sock.recv(4096)
            found[waiting.pop(int.from_bytes(reply[:2]))] = answers(reply)
    return found


@pytest.mark.timeout(600)
def test_a_million_names_are_blocked_and_popular_ones_are_not(tmp_path: Path) -> None:
    """Of 10,000 listed names each is blocked, and so is a name below it; of the 20,000 most popular only what is listed.

    Public suffixes and giants that the list names are held back.
    """
    path = DATA / "maltrail.txt"
    listed = [name for name in path.read_text().split() if all(0 < len(label) < 64 for label in name.split("."))]
    through = dict.fromkeys(map(reversed_key, map(from_text, listed)), BLOCK_SUBTREE)
    assert ProtectedNames(Protection()).take_out(through, Decided()).held == len(set(listed)) - len(through) < 1000
    listed = [name for name in listed if reversed_key(from_text(name)) in through]
    everything = set(listed)
    popular = json.loads(next(DATA.glob("benign--MISP*/**/cisco_top20k/list.json")).read_text())["list"]
    feeds = [{"name": "maltrail", "url": path.as_uri(), "required": True}]
    with UpstreamThread(answer("192.0.2.7")) as upstream:
        config = {"upstream": {"servers": [upstream.address]}, "feed": feeds, "log": {"level": "info"}}
        with RunningPdns(tmp_path, config) as pdns:
            sample = random.Random(1).sample(listed, 10_000)
            assert {name for name, found in ask_all(pdns.dns_port, sample).items() if found != [SINKHOLE]} == set()
            below = [f"x.{name}" for name in sample if len(name) < 240]
            assert {name for name, found in ask_all(pdns.dns_port, below).items() if found != [SINKHOLE]} == set()
            blocked = {name for name, found in ask_all(pdns.dns_port, popular).items() if found == [SINKHOLE]}
            expected = {
                name for name in popular if any(".".join(name.split(".")[at:]) in everything for at in range(name.count(".") + 1))
            }
            assert blocked == expected
            assert pdns.value("blockset_entries") == len(listed)
