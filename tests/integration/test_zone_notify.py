"""A primary that says that its zone has changed (NOTIFY): who is heard, how it is answered, how often the zone is looked at."""

from __future__ import annotations

import socket
import time
from datetime import datetime
from functools import partial
from pathlib import Path

import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsigkeyring
import dns.zone
import msgspec
import pytest

from loadtest.loopback import free_port
from pdns.config.schema import Config, Feed, Feeds, Log
from pdns.state.feed_status import FeedsStatus
from tests.integration.feedsprocess import FeedsProcess
from tests.integration.realservers import Named
from tests.integration.running_pdns import SINKHOLE, RunningPdns
from tests.integration.zones import ORIGIN, SECRET, feed_of, signed, zone_text
from tests.unit.feeds.configs import blockers, configuration


def attempted_since(told_s: float, status: FeedsStatus) -> bool:
    """Whether the zone was looked at after `told_s`."""
    return status.feeds["zone"].last_attempt_s >= told_s


def listening(state_dir: Path, feed: Feed, port: int) -> Config:
    feeds = Feeds(notify_listen=f"127.0.0.1:{port}")
    return msgspec.structs.replace(configuration(state_dir, feed), feeds=feeds, log=Log(level="debug"))


def notify(zone_name: str = ORIGIN) -> dns.message.Message:
    message = dns.message.make_query(zone_name, "SOA")
    message.flags = dns.opcode.to_flags(dns.opcode.NOTIFY) | dns.flags.AA
    return message


@pytest.mark.realtime
@pytest.mark.long
def test_a_primary_that_tells_is_heard(tmp_path: Path) -> None:
    """A change at BIND is live without being asked for: a second after its NOTIFY at most, the zone is looked at."""
    port, state_dir = free_port(), tmp_path / "state"
    with Named(tmp_path / "named", ORIGIN, zone_text(), tsig=SECRET, notify_port=port) as named:
        feed = signed(named.port, tmp_path, refresh_s=3600)
        with FeedsProcess(listening(state_dir, feed, port)) as process:
            process.wait(lambda status: status.feeds["zone"].loaded)
            time.sleep(1.1)  # so that no word from before is still to be acted on
            named.update(add=["told.example 60 CNAME ."])
            changed_s = time.time()
            status = process.wait(lambda status: status.feeds["zone"].last_attempt_s > changed_s - 0.5)
            assert status.feeds["zone"].last_result == "updated"
            told = [line for line in process.log if "its primary says that the zone has changed" in line]
            assert told, process.log
            assert status.feeds["zone"].last_attempt_s - datetime.fromisoformat(told[-1].split()[0]).timestamp() < 1
            assert blockers(state_dir, "told.example") == {"zone"}


def test_a_primary_is_heard_where_clients_are_served(tmp_path: Path) -> None:
    """NOTIFY to the port of DNS: taken by a worker, passed on, and the change is live long before the next refresh."""
    with Named(tmp_path / "named", ORIGIN, zone_text()) as named:
        url = f"axfr://127.0.0.1:{named.port}/{ORIGIN}"
        feed = {"name": "zone", "url": url, "format": "rpz", "refresh_s": 86400, "required": True}
        with RunningPdns(tmp_path, {"feed": [feed]}) as pdns:
            named.update(add=["told.example 60 CNAME ."])
            message = dns.message.make_query(ORIGIN, "SOA")
            message.flags = dns.flags.AA | dns.opcode.to_flags(dns.opcode.NOTIFY)
            time.sleep(1.1)  # a zone is looked at once a second
            answer = dns.query.udp(message, "127.0.0.1", port=pdns.dns_port, timeout=60)
            assert answer.rcode() == dns.rcode.NOERROR
            pdns.wait_for(lambda: pdns.addresses("told.example") == [SINKHOLE], "the change")


@pytest.mark.realtime
@pytest.mark.long
def test_who_is_answered_and_how(tmp_path: Path) -> None:
    """Over UDP and TCP: a primary gets an answer for its zone (RFC 1996), an error for anything else, a stranger nothing."""
    port = free_port()
    with Named(tmp_path / "named", ORIGIN, zone_text()) as named:
        feed = feed_of(named.port, refresh_s=3600)
        with FeedsProcess(listening(tmp_path / "state", feed, port)) as process:
            process.first()
            for ask in (dns.query.udp, dns.query.tcp):
                time.sleep(1.1)
                told_s = time.time()
                answer = ask(notify(), "127.0.0.1", timeout=5, port=port)
                assert (answer.rcode(), answer.opcode()) == (dns.rcode.NOERROR, dns.opcode.NOTIFY)
                assert answer.flags & (dns.flags.QR | dns.flags.AA) == dns.flags.QR | dns.flags.AA
                assert answer.question == notify().question
                status = process.wait(partial(attempted_since, told_s))
                assert status.feeds["zone"].last_attempt_s - told_s < 1
                assert status.feeds["zone"].last_result == "unchanged"
                assert ask(notify("other.example"), "127.0.0.1", timeout=5, port=port).rcode() == dns.rcode.NOTAUTH
                query = dns.message.make_query(ORIGIN, "SOA")
                assert ask(query, "127.0.0.1", timeout=5, port=port).rcode() == dns.rcode.NOTIMP
            with pytest.raises(dns.exception.Timeout):
                dns.query.udp(notify(), "127.0.0.1", timeout=0.5, port=port, source="127.0.0.2")
            with pytest.raises((EOFError, OSError)):
                dns.query.tcp(notify(), "127.0.0.1", timeout=5, port=port, source="127.0.0.2")
            assert process.end() == 0
    assert sum("127.0.0.2 is not the primary" in line for line in process.log) == 1


@pytest.mark.realtime
@pytest.mark.long
def test_a_thousand_words_are_one_look_a_second(tmp_path: Path) -> None:
    """Whoever forges the primary's address cannot make us keep it busy."""
    port = free_port()
    with (
        Named(tmp_path / "named", ORIGIN, zone_text()) as named,
        FeedsProcess(listening(tmp_path / "state", feed_of(named.port, refresh_s=3600), port)) as process,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        process.first()
        began = time.monotonic()
        while time.monotonic() - began < 2:
            sender.sendto(notify().to_wire(), ("127.0.0.1", port))
            time.sleep(0.002)
        time.sleep(1.5)
        status = process.wait(lambda status: bool(status.feeds))
        assert 2 <= sum(status.feeds["zone"].results.values()) <= 6
