"""Where primaries say that a zone has changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.tsigkeyring
import msgspec
import pytest

from feeds.notify import NotifyListener
from pdns.config.addresses import parse_endpoint
from pdns.config.schema import Feed, Feeds
from pdns.errors import PdnsError
from pdns.net.sockets import bind_tcp, bind_udp
from tests.unit.feeds.configs import configuration


@pytest.mark.parametrize("endpoint", ["203.0.113.1:5301", "[2001:db8::1]:5301"])
def test_an_address_that_is_not_there_is_bound_all_the_same(
    tmp_path: Path, endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    """UDP and TCP are taken, so primaries are heard once an interface has the address. `close` releases both."""

    async def listen() -> None:
        listener = NotifyListener(lambda _: None)
        await listener.configure(msgspec.structs.replace(configuration(tmp_path), feeds=Feeds(notify_listen=endpoint)))
        for bind in (bind_udp, bind_tcp):
            with pytest.raises(PdnsError, match="already in use"):
                bind(parse_endpoint(endpoint))
        listener.close()
        await asyncio.sleep(0)
        for bind in (bind_udp, bind_tcp):
            bind(parse_endpoint(endpoint)).close()

    asyncio.run(listen())
    assert not caplog.records


def test_a_signature_is_demanded_where_the_zone_has_a_key(tmp_path: Path) -> None:
    """A NOTIFY without one, or by another key that we have, gets NOTAUTH, changes nothing and is counted; a feed without a key
    hears of its zone as before.
    """
    secret = tmp_path / "secret"
    secret.write_text("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==")

    def feed(name: str, zone: str, key: str = "") -> Feed:
        url, path = f"axfr://192.0.2.1:53/{zone}", str(secret) if key else ""
        return Feed(name=name, url=url, format="rpz", tsig_name=key, tsig_secret_file=path)

    told: list[str] = []
    feeds = (feed("signed", "signed.example", "one"), feed("also", "also.example", "two"), feed("plain", "plain.example"))
    listener = NotifyListener(told.append)
    asyncio.run(listener.configure(configuration(tmp_path, *feeds)))

    right = secret.read_text()

    def rcode(zone: str, key: str = "", secret_text: str = right) -> int:
        message = dns.message.make_query(zone, "SOA")
        message.flags = dns.opcode.to_flags(dns.opcode.NOTIFY) | dns.flags.AA
        if key:
            message.use_tsig(dns.tsigkeyring.from_text({key: secret_text}))
        answer = listener.answer(message.to_wire(), "192.0.2.1")
        assert answer is not None
        return answer[3] & 15

    assert rcode("signed.example") == dns.rcode.NOTAUTH
    assert rcode("signed.example", "two") == dns.rcode.NOTAUTH
    assert rcode("signed.example", "three") == dns.rcode.NOTAUTH
    assert rcode("signed.example", "one", "AAAA") == dns.rcode.NOTAUTH
    assert told == []
    assert listener.refused == {"unsigned": 1, "signature": 3}
    assert rcode("signed.example", "one") == dns.rcode.NOERROR
    assert rcode("plain.example") == dns.rcode.NOERROR
    assert told == ["signed", "plain"]
    secret.unlink()  # a key that cannot be read is still demanded
    asyncio.run(listener.configure(configuration(tmp_path, *feeds)))
    assert rcode("signed.example") == dns.rcode.NOTAUTH
    assert told == ["signed", "plain"]
