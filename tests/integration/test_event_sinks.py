"""Sinks with real syslog servers: every record arrives unharmed over each transport, and through outages."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pdns.config.sink_schema import SinkSection
from pdns.errors import SinkError
from pdns.event_store.event import Event, Record
from pdns.events.delivery import Delivery
from pdns.events.sink import SinkEntry
from pdns.events.sinks import make_entry, make_sink
from pdns.events.spool import Spool
from tests.integration.apiclient import write_certificate
from tests.integration.syslogservers import Received, Rsyslog, SyslogNg, free_ports
from tests.unit.events.cefreader import parse_cef
from tests.unit.events.delivering import settle, until
from tests.unit.events.records import EVENT, FINDING, HOUR, event, hostile

SENT: list[Record] = [EVENT, FINDING, HOUR, *hostile()]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("certificate") / "server", "localhost")


@pytest.fixture(scope="module")
def rsyslog(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[Rsyslog]:
    server = Rsyslog(tmp_path_factory.mktemp("rsyslog"), free_ports(), certificate)
    server.start()
    yield server
    server.stop()


def section(server: Rsyslog | SyslogNg, transport: str, certificate: tuple[Path, Path] | None = None, **keys: Any) -> SinkSection:
    if transport == "tls" and certificate is not None:
        keys["ca_file"] = str(certificate[0])
    port = getattr(server.ports, transport)
    return SinkSection(name="siem", kind="syslog", address=f"localhost:{port}", transport=transport, **keys)  # type: ignore[arg-type]


def write(section: SinkSection, *batches: Sequence[Record]) -> None:
    async def work() -> None:
        sink = make_sink(section)
        try:
            for batch in batches:
                await sink.write(batch)
        finally:
            await sink.close()

    asyncio.run(work())


def assert_unharmed(received: list[Received], format_name: str) -> None:
    """Each message says of each record what was sent."""
    assert [message.id for message in received] == [record.id for record in SENT]
    for record, message in zip(SENT, received, strict=True):
        if format_name == "cef":
            values = parse_cef(message.text)[1]
            name, feed, tenant = (values.get(key, "") for key in ("destinationDnsDomain", "cs2", "cs5"))
        else:
            document = json.loads(message.text)
            place = "unmapped" if format_name == "ocsf" else "pdns"
            feed = document[place].get("feed", "")
            tenant = document["metadata"]["tenant_uid"] if format_name == "ocsf" else document["organization"]["name"]
            query = document.get("query", {}) if format_name == "ocsf" else document.get("dns", {}).get("question", {})
            name = query.get("hostname" if format_name == "ocsf" else "name", "")
        assert tenant == record.tenant
        if isinstance(record, Event):
            assert (name, feed) == (record.qname, record.feed)


@pytest.mark.parametrize(("transport", "format_name"), [("tcp", "ocsf"), ("tls", "cef"), ("udp", "ecs"), ("tcp", "cef")])
@pytest.mark.parametrize("confirm", [True, False])
def test_rsyslog(rsyslog: Rsyslog, certificate: tuple[Path, Path], transport: str, format_name: str, confirm: bool) -> None:
    """Rsyslog reads every record as it was, whatever is in its names and texts; confirmed ones are there on return."""
    before = len(rsyslog.received())
    keys = {"format": format_name, **({} if confirm or transport == "udp" else {"confirm": False})}
    write(section(rsyslog, transport, certificate, **keys), SENT[:10], SENT[10:])
    if confirm and transport != "udp":
        assert len(rsyslog.received()) - before == len(SENT)
    assert_unharmed(rsyslog.wait_for(before + len(SENT))[before:], format_name)


def test_a_certificate_of_another_authority(rsyslog: Rsyslog, tmp_path: Path) -> None:
    """A server whose certificate is not of the authority that is configured gets nothing."""
    other = write_certificate(tmp_path / "other", "localhost")
    before = len(rsyslog.received())
    with pytest.raises(SinkError, match=r"TLS: CERTIFICATE_VERIFY_FAILED"):
        write(section(rsyslog, "tls", other), SENT)
    assert len(rsyslog.received()) == before


@pytest.mark.parametrize("format_name", ["ocsf", "cef"])
def test_syslog_ng(tmp_path: Path, format_name: str) -> None:
    """syslog-ng reads the same."""
    server = SyslogNg(tmp_path, free_ports())
    try:
        server.start()
        write(section(server, "tcp", format=format_name), SENT)
        assert_unharmed(server.wait_for(len(SENT)), format_name)
    finally:
        server.stop()


def delivered(directory: Path, entry: SinkEntry, work: Any) -> None:
    """Run `work` with a delivery to one sink."""

    async def whole() -> None:
        async with asyncio.TaskGroup() as tasks:
            delivery = Delivery(Spool(directory / "spool", 64 * 1024 * 1024), directory)
            await delivery.configure([entry], tasks.create_task)
            await work(delivery)
            await delivery.stop()

    asyncio.run(whole())


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_an_outage(tmp_path: Path, certificate: tuple[Path, Path], transport: str) -> None:
    """The server is away while 10,000 records come: all arrive, in order, none twice."""
    server = Rsyslog(tmp_path, free_ports(), certificate)

    async def work(delivery: Delivery) -> None:
        server.start()
        delivery.append([event(number) for number in range(500)])
        await settle(delivery)
        server.stop()
        for at in range(500, 10_000, 100):
            delivery.append([event(number) for number in range(at, at + 100)])
            await asyncio.sleep(0)
        await until(lambda: not delivery.states()[0].up)
        server.start()
        await settle(delivery)

    try:
        delivered(tmp_path, make_entry(section(server, transport, certificate)), work)
        assert [message.id for message in server.received()] == list(range(10_000))
    finally:
        server.stop()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_server_that_is_killed_while_it_reads(tmp_path: Path, certificate: tuple[Path, Path], transport: str) -> None:
    """Killed in the middle of messages, five times: all arrive. At most the batch of each kill comes twice, with the same ids."""
    server = Rsyslog(tmp_path, free_ports(), certificate)
    chance = random.Random(7)

    async def work(delivery: Delivery) -> None:
        server.start()
        for kill in range(6):
            delivery.append([event(number) for number in range(kill * 2000, kill * 2000 + 2000)])
            if kill < 5:
                await asyncio.sleep(chance.uniform(0.0, 0.1))
                server.stop(signal.SIGKILL)
                server.start()
        await settle(delivery)

    try:
        entry = make_entry(section(server, transport, certificate))
        delivered(tmp_path, SinkEntry(entry.name, entry.sink, linger_s=0.0), work)
        ids = [int(line.split('id="')[1].split('"')[0]) for line in server.output.read_text().split("\n") if 'id="' in line]
        assert set(ids) == set(range(12_000))
        assert len(ids) <= 12_000 + 5 * 500
    finally:
        server.stop()
