"""Response policy zones by transfer: what changed since our serial (RFC 1995), else the whole zone (RFC 5936).

The primary is an address. The copy is text (`feeds.fetch.zone_text`); a difference is applied to it on the way to the candidate.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, cast

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rdtypes.ANY.SOA
import dns.transaction
import dns.tsig
import dns.xfr

from feeds.fetch import SIGNATURE, Fetched, Kept, SourceError, Unchanged, Validators, ZoneState
from feeds.fetch.candidate import Candidate, discard
from feeds.fetch.tsig import key_of, tsig_reason
from feeds.fetch.zone_text import Inconsistent, ZoneTextChanges, head, line_of
from pdns.config.addresses import ZoneAddress
from pdns.config.schema import Feed
from pdns.errors import FeedError

MAX_RECORDS = 5_000_000  # of a zone
MAX_CHANGES = 1_000_000  # in one difference; they are held in memory until they are applied
_NO_IXFR = frozenset((dns.rcode.NOTIMP, dns.rcode.FORMERR, dns.rcode.REFUSED, dns.rcode.SERVFAIL, dns.rcode.NOTAUTH))


async def fetch(feed: Feed, primary: ZoneAddress, kept: Kept | None, into: Path) -> Fetched | Unchanged:
    """The zone as `primary` has it now, in the file `into`; `Unchanged` if its serial is that of the copy.

    A zone older than the copy is refused until the copy has expired, as its own SOA has it. Raises `FeedError`, and leaves no
    file then.
    """
    key = key_of(feed)
    try:
        async with asyncio.timeout(feed.timeout_s):
            return await _fetch(feed, primary, kept, into, key)
    except TimeoutError:
        reason = f"not done after timeout_s = {feed.timeout_s:g}: raise it if the zone is large or the line slow"
    except dns.xfr.TransferError as exc:
        reason = _refusal(exc.rcode, signed=key is not None)
    except dns.exception.DNSException as exc:
        said = tsig_reason(exc)
        if said is not None:
            raise SourceError(feed.name, f"{primary.host}: {said}", result=SIGNATURE) from None
        reason = f"{'the answer is not signed, or ' if 'TSIG' in str(exc) else ''}not a zone transfer: {exc}".rstrip(": ")
    except EOFError:
        reason = "the transfer was cut short"
    except OSError as exc:
        reason = f"no connection to port {primary.port}: {os.strerror(exc.errno or 0)}"
    raise FeedError(feed.name, f"{primary.host}: {reason}")


async def _fetch(
    feed: Feed, primary: ZoneAddress, kept: Kept | None, into: Path, key: dns.tsig.Key | None
) -> Fetched | Unchanged:
    state = kept.validators.zone if kept is not None else None
    if kept is None or state is None or not kept.can_grow or kept.age_s > state.expire_s:
        return await _whole(feed, primary, into, key)
    try:
        return await _changes(feed, primary, kept, state, into, key)
    except dns.xfr.SerialWentBackwards:
        wait_s = max(0.0, state.expire_s - kept.age_s)
        reason = f"its serial went back behind {state.serial}, which we have: raise it there; else it is taken in {wait_s:,.0f} s"
        raise FeedError(feed.name, f"{primary.host}: {reason}") from None
    except dns.xfr.TransferError as exc:
        if exc.rcode not in _NO_IXFR:
            raise
    except (dns.exception.FormError, dns.transaction.DeleteNotExact, Inconsistent):
        pass  # a difference from something else than our copy
    return await _whole(feed, primary, into, key)


async def _whole(feed: Feed, primary: ZoneAddress, into: Path, key: dns.tsig.Key | None) -> Fetched:
    with Candidate(into, feed.name, feed.max_bytes) as candidate:
        zone = _Inbound(feed, primary, candidate)
        await _transfer(zone, primary, None, key)
    return Fetched(candidate.size_bytes, candidate.sha256, Validators(zone=zone.state, sha256=candidate.sha256))


async def _changes(
    feed: Feed, primary: ZoneAddress, kept: Kept, state: ZoneState, into: Path, key: dns.tsig.Key | None
) -> Fetched | Unchanged:
    with Candidate(into, feed.name, feed.max_bytes) as candidate:
        zone = _Inbound(feed, primary, candidate)
        await _transfer(zone, primary, state.serial, key)
        if zone.state is not None and zone.changes is not None:
            await asyncio.to_thread(_apply, zone, zone.changes, kept.raw, candidate)
    if zone.state is None:
        discard(into)
        return Unchanged(kept.validators)
    return Fetched(candidate.size_bytes, candidate.sha256, Validators(zone=zone.state, sha256=candidate.sha256))


def _apply(zone: _Inbound, changes: ZoneTextChanges, before: Path, candidate: Candidate) -> None:
    for piece in changes.applied_to(before, zone.origin):
        candidate.write(piece)
    candidate.write(zone.soa)


async def _transfer(zone: _Inbound, primary: ZoneAddress, serial: int | None, key: dns.tsig.Key | None) -> None:
    query = dns.message.make_query(zone.origin, dns.rdatatype.AXFR if serial is None else dns.rdatatype.IXFR)
    if serial is not None:
        soa = query.find_rrset(query.authority, zone.origin, dns.rdataclass.IN, dns.rdatatype.SOA, create=True)
        soa.add(dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.SOA, f". . {serial} 0 0 0 0"))
    if key is not None:
        query.use_tsig(key)
    await dns.asyncquery.inbound_xfr(primary.host, zone, query, primary.port)


class _Inbound(dns.transaction.TransactionManager):
    """Where a transfer goes: a whole zone straight into the candidate, a difference into `changes`."""

    def __init__(self, feed: Feed, primary: ZoneAddress, candidate: Candidate) -> None:
        self.origin = dns.name.from_text(primary.zone)
        self.changes: ZoneTextChanges | None = None
        self.state: ZoneState | None = None  # when there is something new, and all of it is here
        self.soa = b""
        self._feed = feed
        self._candidate = candidate

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        return self.origin, False, self.origin

    def get_class(self) -> dns.rdataclass.RdataClass:
        return dns.rdataclass.IN

    def reader(self) -> dns.transaction.Transaction:
        raise NotImplementedError

    def writer(self, replacement: bool = False) -> dns.transaction.Transaction:
        """Begin: with `replacement`, a whole zone, whatever was asked for."""
        return _Writer(self, replacement)

    def begin(self, *, whole: bool) -> None:
        self.changes = None if whole else ZoneTextChanges()
        self.state = None
        if whole:
            self._candidate.write(head(self.origin))

    def put(self, count: int, name: dns.name.Name, rdataset: dns.rdataset.Rdataset, *, add: bool) -> None:
        limit = MAX_RECORDS if self.changes is None else MAX_CHANGES
        if count > limit:
            raise FeedError(self._feed.name, f"more than {limit:,} records")
        for rdata in rdataset:
            line = line_of(name, rdata)
            if self.changes is None:
                self._candidate.write(line)
            elif add:
                self.changes.add(line)
            else:
                self.changes.delete(line)

    def finish(self, soa: dns.rdtypes.ANY.SOA.SOA) -> None:
        self.soa = line_of(self.origin, soa)
        if self.changes is None:
            self._candidate.write(self.soa)
        self.state = ZoneState(soa.serial, soa.refresh, soa.retry, soa.expire)


class _Writer(dns.transaction.Transaction):
    """What `dns.xfr.Inbound` calls while it checks the order of a transfer; the rest of a transaction is not used."""

    def __init__(self, zone: _Inbound, replacement: bool) -> None:
        super().__init__(zone, replacement=replacement)
        self._zone = zone
        self._records = 0
        self._soa: dns.rdtypes.ANY.SOA.SOA | None = None
        zone.begin(whole=replacement)

    def add(self, *args: Any) -> None:  # Any: a name and a dataset, but declared for much else too
        self._put(*args, add=True)

    def delete_exact(self, *args: Any) -> None:
        self._put(*args, add=False)

    def replace(self, *args: Any) -> None:
        """The SOA, first of each step of a difference; the last one counts."""
        self._soa = cast("dns.rdtypes.ANY.SOA.SOA", args[1][0])

    def commit(self) -> None:
        assert self._soa is not None
        self._zone.finish(self._soa)

    def rollback(self) -> None:
        self._zone.state = None

    def _put(self, name: dns.name.Name, rdataset: dns.rdataset.Rdataset, *, add: bool) -> None:
        self._records += len(rdataset)
        self._zone.put(self._records, name, rdataset, add=add)


def _refusal(rcode: dns.rcode.Rcode, *, signed: bool) -> str:
    said = f"the primary said {dns.rcode.to_text(rcode)}"
    if rcode in (dns.rcode.REFUSED, dns.rcode.NOTAUTH):
        key = "with this key" if signed else "without a key, so perhaps tsig_name is missing here"
        return f"{said}: it does not have this zone, or does not give it to this address {key}"
    return said
