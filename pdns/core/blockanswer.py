"""What a blocked client gets, for each action and type."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from pdns.config import Block
from pdns.core import protocol as p
from pdns.core.answers import answer_entry, error_entry, negative_entry_of_itself
from pdns.core.entry import Entry, Monitored, Verdict
from pdns.core.names import to_text

_ZERO = {p.A: bytes(4), p.AAAA: bytes(16)}
_REASON_MAX_BYTES = 100  # so that the name still fits


class Template(NamedTuple):
    """An answer for every name that one feed blocks in one way: all of it but the listed name and the time."""

    entry: Entry  # with the Extended DNS Error code, and no text
    ttl_s: int
    feed: str
    category: str
    action: str
    also: tuple[str, ...]  # as in a verdict
    monitored: Monitored
    ede_head: bytes  # the text is this, the listed name, then `ede_tail`
    ede_tail: bytes


class BlockAnswers:
    """Makes the answer to a blocked query, after `[block]` of the configuration."""

    def __init__(self, config: Block) -> None:
        self.action = config.action
        self._ttl_s = config.ttl_s
        self._ede_code = config.ede_code
        self._addresses: dict[int, bytes] = {}
        self._templates: dict[tuple[str, str, tuple[str, ...], Monitored, int, str], Template] = {}
        if config.action == "sinkhole":
            packed = [ip_address(text).packed for text in config.sinkhole]
            self._addresses = {p.A if len(address) == 4 else p.AAAA: address for address in packed}
        elif config.action == "zero":
            self._addresses = _ZERO

    def entry(self, verdict: Verdict, qtype: int, now: float, monitored: Monitored, stamp: int, reason: str = "") -> Entry:
        """The answer. Types without a sinkhole get NODATA; every negative one has an SOA; DO changes nothing."""
        template = self.template(verdict.feed, verdict.category, verdict.also, monitored, qtype, reason)
        return fill(template, verdict.listed, now, stamp)

    def template(
        self, feed: str, category: str, also: tuple[str, ...], monitored: Monitored, qtype: int, reason: str = ""
    ) -> Template:
        """What every answer has in common that blocks a query of this type on the word of `feed`, and `also` of others, or for
        `reason`. The same object each time.
        """
        if qtype not in self._addresses:
            qtype = 0
        key = (feed, category, also, monitored, qtype, reason)
        template = self._templates.get(key)
        if template is None:
            head, tail = f"{category}: ".encode(), f" is listed by {feed}".encode()
            if reason:
                told = reason.encode()[:_REASON_MAX_BYTES].decode("utf-8", "ignore")
                head, tail = f"{category}: {told} (".encode(), b")"
            entry = self._entry(qtype)
            entry.ede = (self._ede_code, b"")
            template = self._templates[key] = Template(
                entry, self._ttl_s, feed, category, self.action, also, monitored, head, tail
            )  # fmt: skip
        return template

    def _entry(self, qtype: int) -> Entry:
        if (address := self._addresses.get(qtype)) is not None:
            return answer_entry(qtype, [address], "blocked", 0.0, self._ttl_s)
        if self.action in ("refused", "drop"):
            return error_entry(p.REFUSED, "blocked", 0.0, self._ttl_s, None)
        rcode = p.NXDOMAIN if self.action == "nxdomain" else p.NOERROR
        return negative_entry_of_itself(rcode, "blocked", 0.0, self._ttl_s)


def fill(template: Template, listed: bytes, now: float, stamp: int) -> Entry:
    """The answer to a query that is blocked because `listed` is."""
    common = template.entry
    code = common.ede[0] if common.ede is not None else p.EDE_BLOCKED
    return Entry(
        common.rcode, "blocked", now, template.ttl_s, body=common.body, counts=common.counts, ttls=common.ttls,
        ede=(code, ede_text(template, listed)), monitored=template.monitored, stamp=stamp,
        verdict=Verdict(template.feed, template.category, listed, template.action, template.also),
    )  # fmt: skip


def ede_text(template: Template, listed: bytes) -> bytes:
    """Who blocked it and why, within what an OPT record has room for."""
    return (template.ede_head + to_text(listed).encode() + template.ede_tail)[: p.EDE_TEXT_MAX_BYTES]
