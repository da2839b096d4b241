"""Response policy zones transferred from real primaries: BIND, which keeps every change, and NSD, which keeps none."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

from feeds.fetch import SIGNATURE, Fetched, Kept, SourceError, Unchanged, zone
from feeds.parse import parse_feed
from pdns.config.addresses import zone_of
from pdns.config.schema import Feed
from pdns.errors import FeedError
from tests.integration.feedsprocess import FeedsProcess
from tests.integration.realservers import Named, Nsd
from tests.integration.zones import ORIGIN, RECORDS, SECRET, feed_of, key, signed, zone_text
from tests.unit.feeds.configs import blockers, configuration, files

OTHER = "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyMTI="
CHANGES = 1000


class Copy:
    """A copy that is kept up to date, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.raw, self.new = directory / "raw", directory / "new"
        self.kept: Kept | None = None

    async def refresh(self, feed: Feed, age_s: float = 0.0) -> Fetched | Unchanged:
        primary = zone_of(feed.url)
        assert primary is not None
        kept = self.kept._replace(age_s=age_s) if self.kept is not None else None
        result = await zone.fetch(feed, primary, kept, self.new)
        if isinstance(result, Fetched):
            self.new.rename(self.raw)
            self.kept = Kept(result.validators, self.raw, result.sha256, 0.0)
        assert not self.new.exists()
        return result

    def names(self, feed: Feed) -> Mapping[bytes, int]:
        return parse_feed(self.raw, feed).names

    @property
    def serial(self) -> int:
        assert self.kept is not None
        assert self.kept.validators.zone is not None
        return self.kept.validators.zone.serial


def transferred(port: int, secret: str = "") -> set[str]:
    """The records of the zone by a transfer that is not ours, but for the SOA."""
    keyring = dns.tsigkeyring.from_text({"transfer-key": ("hmac-sha256", secret)}) if secret else None
    messages = dns.query.xfr("127.0.0.1", ORIGIN, port=port, relativize=False, keyring=keyring)
    whole = dns.zone.from_xfr(messages, relativize=False)
    return {
        f"{name} IN {dns.rdatatype.to_text(data.rdtype)} {data}".lower()
        for name, _, data in whole.iterate_rdatas()
        if data.rdtype != dns.rdatatype.SOA
    }


def kept_records(copy: Copy) -> list[str]:
    lines = copy.raw.read_text().splitlines()
    assert lines[:2] == [f"$ORIGIN {ORIGIN}.", "$TTL 60"]
    assert lines[-1].startswith(f"{ORIGIN}. IN SOA localhost. host.{ORIGIN}. {copy.serial} ")
    return [line.lower() for line in lines[2:-1]]


def test_a_zone_arrives_whole(tmp_path: Path) -> None:
    """From NSD, signed: its rules are read, its timers known; asked again with the serial, it is unchanged."""
    key_of_nsd = f"key:\n    name: transfer-key\n    algorithm: hmac-sha256\n    secret: {SECRET}\n"
    more = f"    provide-xfr: 127.0.0.1 transfer-key\n{key_of_nsd}"
    with Nsd(tmp_path / "nsd", {ORIGIN: f"$ORIGIN {ORIGIN}.\n" + zone_text(7)}, more) as nsd:
        feed, copy = signed(nsd.port, tmp_path), Copy(tmp_path / "copy")
        fetched = asyncio.run(copy.refresh(feed))
        assert isinstance(fetched, Fetched)
        assert fetched.validators.zone is not None
        assert msgspec.structs.astuple(fetched.validators.zone) == (7, 86400, 3600, 604800)
        assert copy.names(feed).keys() == {key("bad.example"), key("fine.example"), key("worse.example")}
        assert isinstance(asyncio.run(copy.refresh(feed)), Unchanged)


def test_a_primary_without_differences_gives_the_whole(tmp_path: Path) -> None:
    """NSD keeps no differences unless it is told to: the zone comes whole, and is right."""
    with Nsd(tmp_path / "nsd", {ORIGIN: zone_text()}, "    provide-xfr: 127.0.0.1 NOKEY\n") as nsd:
        feed, copy = feed_of(nsd.port), Copy(tmp_path / "copy")
        asyncio.run(copy.refresh(feed))
        nsd.stop()
        nsd.zones[ORIGIN] = zone_text(2, RECORDS + "new.example 60 CNAME .\n")
        nsd.start()
        assert isinstance(asyncio.run(copy.refresh(feed)), Fetched)
        assert (copy.serial, key("new.example") in copy.names(feed)) == (2, True)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_thousand_changes_end_with_the_same_zone(tmp_path: Path) -> None:
    """Additions and removals, fetched as signed differences: at the end, and on the way, the records are those of the primary."""
    draw = random.Random(1)
    listed = [f"n{number}.example" for number in range(200)]
    with Named(
        tmp_path / "named", ORIGIN, zone_text(1, "".join(f"{name} 60 CNAME .\n" for name in listed)), tsig=SECRET
    ) as named:
        feed, copy = signed(named.port, tmp_path), Copy(tmp_path / "copy")

        async def follow() -> None:
            await copy.refresh(feed)
            for turn in range(CHANGES):
                gone = [listed.pop(draw.randrange(len(listed))) for _ in range(draw.randint(0, 3))]
                new = [
                    f"{draw.choice(('', '*.'))}t{turn}-{number}.Example" for number in range(draw.randint(0 if gone else 1, 3))
                ]
                kinds = [draw.choice(("CNAME .", "CNAME rpz-passthru.", "A 192.0.2.1", 'TXT "a ; b IN SOA c"')) for _ in new]
                removed = [name if " " in name else f"{name} 60 CNAME ." for name in gone]
                added = [f"{name} 60 {kind}" for name, kind in zip(new, kinds, strict=True)]
                named.update(add=added, delete=removed)
                listed.extend(added)
                if turn % 7:  # several changes in one difference, now and then
                    assert isinstance(await copy.refresh(feed), Fetched)
                    assert turn % 50 or sorted(kept_records(copy)) == sorted(transferred(named.port, SECRET))
            await copy.refresh(feed)

        asyncio.run(follow())
        assert copy.serial == CHANGES + 1
        assert sorted(kept_records(copy)) == sorted(transferred(named.port, SECRET))
        again = Copy(tmp_path / "again")
        asyncio.run(again.refresh(feed))
        assert copy.names(feed) == again.names(feed)


def refused(copy: Copy, feed: Feed, age_s: float = 0.0) -> FeedError:
    """Why a refresh failed, which left everything as it was."""
    before = copy.raw.read_bytes() if copy.raw.exists() else None
    with pytest.raises(FeedError) as caught:
        asyncio.run(copy.refresh(feed, age_s))
    assert (copy.raw.read_bytes() if copy.raw.exists() else None) == before
    assert not copy.new.exists()
    assert SECRET not in str(caught.value)
    return caught.value


def test_keys_that_do_not_fit(tmp_path: Path) -> None:
    """Another secret, another name and no key at all are refused by BIND, and each reason says what to compare."""
    with Named(tmp_path / "named", ORIGIN, zone_text(), tsig=SECRET) as named:
        copy = Copy(tmp_path / "copy")
        feed = signed(named.port, tmp_path)
        assert isinstance(asyncio.run(copy.refresh(feed)), Fetched)
        wrong = refused(copy, signed(named.port, tmp_path, OTHER))
        assert isinstance(wrong, SourceError)
        assert wrong.result == SIGNATURE
        assert "(BADSIG): tsig_secret_file is not the secret that it has" in wrong.reason
        assert "BADKEY" in refused(copy, msgspec.structs.replace(feed, tsig_name="other-key")).reason
        assert "perhaps tsig_name is missing here" in refused(copy, feed_of(named.port)).reason
        broken = tmp_path / "broken"
        broken.write_text("not base64!")
        assert "expected base64" in refused(copy, msgspec.structs.replace(feed, tsig_secret_file=str(broken))).reason
        named.update(add=["new.example 60 CNAME ."])
        assert isinstance(asyncio.run(copy.refresh(feed)), Fetched)
        assert key("new.example") in copy.names(feed)


def test_a_primary_that_is_away_or_has_no_such_zone(tmp_path: Path) -> None:
    """The reason names address, port and what to look at; the copy stays."""
    with Named(tmp_path / "named", ORIGIN, zone_text()) as named:
        feed, copy = feed_of(named.port), Copy(tmp_path / "copy")
        asyncio.run(copy.refresh(feed))
        other = msgspec.structs.replace(feed, url=f"axfr://127.0.0.1:{named.port}/other.example")
        assert "does not have this zone, or does not give it to this address" in refused(copy, other).reason
    assert refused(copy, feed).reason == f"127.0.0.1: no connection to port {named.port}: Connection refused"


@contextmanager
def cutting(port: int, after_bytes: int | None) -> Iterator[int]:
    """A way to 127.0.0.1:`port` that closes after so many bytes of answer; for None, it holds them back for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def relay() -> None:
            try:
                while True:
                    client, _ = listener.accept()
                    with client, socket.create_connection(("127.0.0.1", port)) as server:
                        server.sendall(client.recv(4096))
                        if after_bytes is None:
                            client.recv(1)  # until it is given up
                            continue
                        data = b""
                        while len(data) < after_bytes:
                            data += server.recv(after_bytes - len(data))
                        client.sendall(data)
            except OSError:
                return

        thread = threading.Thread(target=relay)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_transfers_that_end_early_or_never(tmp_path: Path) -> None:
    """In the middle of a message, between two, or hanging: an error each time, of a whole zone and of a difference."""
    many = "".join(f"n{number}.example 60 CNAME .\n" for number in range(5000))
    with Named(tmp_path / "named", ORIGIN, zone_text(1, many)) as named:
        copy = Copy(tmp_path / "copy")
        for after_bytes in (1, 100, 50_000):
            with cutting(named.port, after_bytes) as port:
                assert "cut short" in refused(copy, feed_of(port)).reason
        asyncio.run(copy.refresh(feed_of(named.port)))
        named.update(add=[f"new{number}.example 60 CNAME ." for number in range(500)])
        for after_bytes in (2, 5000):
            with cutting(named.port, after_bytes) as port:
                assert "cut short" in refused(copy, feed_of(port)).reason
        with cutting(named.port, None) as port:
            began = time.monotonic()
            assert "timeout_s = 0.5" in refused(copy, feed_of(port, timeout_s=0.5)).reason
            assert time.monotonic() - began < 60
        assert copy.serial == 1


@pytest.mark.long
def test_a_large_zone_signed(tmp_path: Path) -> None:
    """Many messages, each covered by the signature of the one before: whole, and as a difference of several messages."""
    many = "".join(f"n{number}.example 60 CNAME .\n" for number in range(20_000))
    with Named(tmp_path / "named", ORIGIN, zone_text(1, many), tsig=SECRET) as named:
        feed, copy = signed(named.port, tmp_path), Copy(tmp_path / "copy")
        asyncio.run(copy.refresh(feed))
        assert len(copy.names(feed)) == 20_000
        for start in range(0, 4000, 500):
            named.update(delete=[f"n{number}.example 60 CNAME ." for number in range(start, start + 500)])
        asyncio.run(copy.refresh(feed))
        assert copy.serial == 9
        assert sorted(kept_records(copy)) == sorted(transferred(named.port, SECRET))


def test_a_zone_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes than `max_bytes`, or more records than is sane, and the transfer ends; so it is with a difference."""
    with Named(tmp_path / "named", ORIGIN, zone_text()) as named:
        copy = Copy(tmp_path / "copy")
        assert "max_bytes = 100" in refused(copy, feed_of(named.port, max_bytes=100)).reason
        monkeypatch.setattr(zone, "MAX_RECORDS", 2)
        assert "more than 2 records" in refused(copy, feed_of(named.port)).reason
        monkeypatch.undo()
        asyncio.run(copy.refresh(feed_of(named.port)))
        named.update(add=[f"new{number}.example 60 CNAME ." for number in range(20)])
        monkeypatch.setattr(zone, "MAX_CHANGES", 10)
        assert "more than 10 records" in refused(copy, feed_of(named.port)).reason


def test_a_serial_that_goes_back(tmp_path: Path) -> None:
    """An older zone is refused until what we have has expired, as its SOA says; then it is taken."""
    with Nsd(tmp_path / "nsd", {ORIGIN: zone_text(10)}, "    provide-xfr: 127.0.0.1 NOKEY\n") as nsd:
        feed, copy = feed_of(nsd.port), Copy(tmp_path / "copy")
        asyncio.run(copy.refresh(feed))
        nsd.stop()
        nsd.zones[ORIGIN] = zone_text(9, "old.example 60 CNAME .\n")
        nsd.start()
        reason = refused(copy, feed, age_s=604_000).reason
        assert "its serial went back behind 10, which we have: raise it there; else it is taken in 800 s" in reason
        assert isinstance(asyncio.run(copy.refresh(feed, age_s=604_801)), Fetched)
        assert copy.serial == 9


def test_a_difference_from_another_zone_is_not_applied(tmp_path: Path) -> None:
    """When the copy does not hold what a difference removes, the whole zone is fetched instead."""
    with Named(tmp_path / "named", ORIGIN, zone_text()) as named:
        feed, copy = feed_of(named.port), Copy(tmp_path / "copy")
        asyncio.run(copy.refresh(feed))
        copy.raw.write_text(copy.raw.read_text().replace("bad.example.", "damaged.example."))
        named.update(delete=["bad.example 60 CNAME ."])
        asyncio.run(copy.refresh(feed))
        assert sorted(kept_records(copy)) == sorted(transferred(named.port))


def test_a_serial_of_another_copy_is_not_used(tmp_path: Path) -> None:
    """What changed since one zone is not applied to another, as where an update waits to be looked at: it is fetched whole."""
    with Named(tmp_path / "named", ORIGIN, zone_text()) as named:
        feed, copy = feed_of(named.port), Copy(tmp_path / "copy")
        asyncio.run(copy.refresh(feed))
        copy.raw.write_text("$ORIGIN rpz.example.\nother.example.rpz.example. IN CNAME .\n")
        assert copy.kept is not None
        copy.kept = copy.kept._replace(sha256="0" * 64)
        named.update(add=["new.example 60 CNAME ."])
        asyncio.run(copy.refresh(feed))
        assert sorted(kept_records(copy)) == sorted(transferred(named.port))


def test_a_bad_transfer_changes_nothing_that_is_live(tmp_path: Path) -> None:
    """The whole way: with a wrong key, and with the primary away, blockset and copy stay; the status says why, and counts."""
    state_dir = tmp_path / "state"
    with Named(tmp_path / "named", ORIGIN, zone_text(), tsig=SECRET) as named:
        feed = signed(named.port, tmp_path)
        with FeedsProcess(configuration(state_dir, feed)) as process:
            process.first()
            kept = files(state_dir / "feeds"), files(state_dir / "blocksets")
            (tmp_path / f"secret-{SECRET[:4]}").write_text(OTHER)
            named.update(add=["new.example 60 CNAME ."])
            assert "BADSIG" in process.update().feeds["zone"].last_error
            named.kill()
            said = process.update().feeds["zone"]
            assert "no connection" in said.last_error
            assert said.results == {"updated": 1, "signature": 1, "error": 1}
            assert (files(state_dir / "feeds"), files(state_dir / "blocksets")) == kept
            assert blockers(state_dir, "bad.example") == {"zone"}
