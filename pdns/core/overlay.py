"""Local records, laid over the outside world, and what they have to do with answers: decision 45."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from pdns.config.schema import Cache
from pdns.core.answers import denial_entry, error_entry
from pdns.core.cache import AnswerCache
from pdns.core.cacheable import cacheable
from pdns.core.chain import follow
from pdns.core.crossing import ChainHead, head_of, joined
from pdns.core.entry import Ede, Entry
from pdns.core.outcome import Forward
from pdns.core.records import LocalAnswer, message_of
from pdns.core.ruleset import RuleSet
from pdns.core.translation import in_place_of
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.message import Message


class Overlay:
    """What the local records of one rule set say, and how an answer goes on that begins with them."""

    rules: RuleSet
    _cache: AnswerCache
    _config: Cache

    def _local_answer(self, qname: bytes, qtype: int, now: float, *, do: bool) -> LocalAnswer | None:
        """What the local records say; None where they leave it to the outside."""
        records = self.rules.records
        if not records or not records.may_answer(names.filter_key(qname)):
            return None
        found = records.answer(qname, qtype)
        if found is not None and not found.rrsets and self.rules.special.is_own(qname, qtype):
            return None
        return None if found is None or (found.left and self._special_entry(qname, qtype, now, do=do) is None) else found

    def _local_since(self, forward: Forward) -> LocalAnswer | None:
        """What the local records say of a question that was asked when they said nothing, or something else."""
        if forward.proof or (found := self._local_answer(forward.qname, forward.asked_type, 0.0, do=forward.do)) is None:
            return None
        if found.outside and forward.head is not None and forward.head.begun_with == self._head(found, forward).begun_with:
            return None
        return found if forward.lacking is None else self._local_answer(forward.qname, forward.qtype, 0.0, do=forward.do)

    def _asked_for_a(self, forward: Forward, lacking: Message) -> Forward:
        """The question for A that follows from `lacking`, the answer to AAAA; local records may begin its answer too."""
        further = in_place_of(self.rules, forward, lacking)
        found = self._local_answer(forward.qname, p.A, 0.0, do=forward.do)
        return self._led_outside(found, further) if found is not None and found.outside else further

    def _store_local(self, found: LocalAnswer, forward: Forward, now: float) -> Entry:
        entry = found.entry(forward.qname, now, self._cache.rules_epoch)
        if entry.expires_s > now and not found.outside:
            self._cache.put(forward.key, entry)
        return entry

    def _head(self, found: LocalAnswer, forward: Forward) -> ChainHead:
        """The beginning of an answer that local records lead outside with."""
        message = found.message(forward.qname, forward.asked_type)
        chain = follow(message, forward.qname, forward.asked_type, do=forward.do)
        hops = len(chain.names) - 1
        head = head_of(message, chain, hops, None, self._mark(chain.names[:hops], forward.qtype))
        return head._replace(begun_with=head.records)

    def _led_outside(self, found: LocalAnswer, forward: Forward) -> Forward:
        """`forward` for the rest of an answer that begins with local records."""
        route = self.rules.routes.of(found.end, forward.asked_type)
        return forward._replace(route=route, head=self._head(found, forward), asked=found.end)

    def _exists(self, name: bytes, qtype: int) -> bool:
        """Whether there are names at or below `name` that those who are asked about it need not know."""
        return self.rules.records.exists(name) or self.rules.routes.exists(name, qtype)

    def _is_local(self, name: bytes, qtype: int) -> bool:
        """Whether local records answer for a name, of which feeds and blocks have no say then."""
        records = self.rules.records
        return bool(records) and records.may_answer(names.filter_key(name)) and records.answers(name, qtype)

    def behind_head(self, forward: Forward, entry: Entry, now: float) -> Entry:
        """The answer to `forward`: its head, then what `entry` says of the name behind it."""
        assert forward.head is not None
        question = forward.qname + forward.qtype.to_bytes(2) + p.CLASS_IN.to_bytes(2)
        tail = message_of(entry, forward.asked_name + question[len(forward.qname) :])
        message = joined(forward.head, question, tail)
        chain = follow(message, forward.qname, forward.qtype, do=forward.do)
        made = cacheable(message, chain, self._config, do=forward.do, now=now, rules_epoch=self._cache.rules_epoch)
        made.source = "local"
        return made

    def _store_denial(self, forward: Forward, now: float) -> Entry:
        entry = denial_entry("local", now, self._config.servfail_ttl_s)
        entry.rules_epoch = self._cache.rules_epoch
        self._cache.put(forward.key, entry)
        return entry

    def _store_failure(self, forward: Forward, errors: tuple[Ede, ...], now: float) -> Entry:
        entry = error_entry(p.SERVFAIL, "error", now, self._config.servfail_ttl_s, errors[0], self._cache.rules_epoch)  # RFC 9520
        entry.more_ede = errors[1:]
        self._cache.put(forward.key, entry)
        return entry

    def _mark(self, chain: Sequence[bytes], qtype: int) -> int:
        """What an answer is marked with: another number when the routes or the local records of its names change."""
        routes = self.rules.routes.mark(chain, qtype)
        if not self.rules.records:
            return routes
        types = (qtype, p.A) if qtype == p.AAAA and self.rules.dns64.enabled else (qtype,)
        marks = [self.rules.records.mark(name, one) for name in chain for one in types]
        return crc32(repr((routes, marks)).encode()) or 1 if any(marks) else routes

    def _special_entry(self, qname: bytes, qtype: int, now: float, *, do: bool) -> Entry | None:
        key = names.filter_key(qname)
        for data in (self.rules.special, self.rules.undelegated):
            if data.may_answer(key) and (entry := data.answer(qname, qtype, now, do=do)) is not None:
                return entry
        return None
