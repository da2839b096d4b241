"""The configuration that a bench writes, and how answers are read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from loadtest.loopback import Address
from loadtest.packets import query
from loadtest.server import ask, config_text, is_sinkhole, rcode
from pdns.config.schema import Config
from pdns.wire import names
from tests.unit.loadtest.conftest import udp_server

HERE = Address("127.0.0.1", 5300)


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    """What is written loads as a configuration, also with a space and a quote in the path."""
    feed = tmp_path / 'a "list".txt'
    text = config_text(HERE, Address("127.0.0.1", 9153), Address("127.0.0.1", 53), tmp_path, feed)
    config = msgspec.convert(tomllib.loads(text), Config)
    assert config.server.listen == ("127.0.0.1:5300",)
    assert config.server.workers == 1
    assert config.upstream.servers == ("udp://127.0.0.1:53",)
    assert config.feed[0].required
    assert config.feed[0].url == feed.as_uri()


def test_workers_can_be_left_to_the_server(tmp_path: Path) -> None:
    """0 workers, one a core, is what the offered load is measured with."""
    text = config_text(HERE, HERE, HERE, tmp_path, None, workers=0)
    assert msgspec.convert(tomllib.loads(text), Config).server.workers == 0


def test_without_a_list_there_is_no_feed(tmp_path: Path) -> None:
    """The server that memory is compared with has no feed at all."""
    text = config_text(HERE, HERE, HERE, tmp_path, None)
    assert msgspec.convert(tomllib.loads(text), Config).feed == ()


def test_sinkhole_answers_are_told_from_others() -> None:
    """NOERROR with the sinkhole address is one; SERVFAIL, an empty answer and another address are not."""
    head = query(names.from_text("x.example"))
    blocked = head[:6] + b"\0\1" + head[8:] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
    assert is_sinkhole(blocked)
    assert not is_sinkhole(blocked[:3] + b"\2" + blocked[4:])
    assert not is_sinkhole(head)
    assert not is_sinkhole(blocked[:-4] + b"\xc6\x12\0\1")
    assert rcode(b"short") == -1


def test_ask_waits_for_its_own_answer() -> None:
    """An answer with another id is ignored; without an answer the result is `None`."""
    wire = query(names.from_text("x.example"), query_id=5)
    with udp_server(lambda query: query) as address:
        assert ask(address, wire) == wire
    with udp_server(lambda query: b"\0\6" + query[2:]) as address:
        assert ask(address, wire, timeout_s=0.05) is None
