"""What a blocked client gets, for each action and type."""

from __future__ import annotations

from ipaddress import ip_address

from pdns.config import Block
from pdns.core import protocol as p
from pdns.core.answers import answer_entry, error_entry, negative_entry
from pdns.core.entry import Entry, Monitored, Verdict
from pdns.core.names import to_text

_ZERO = {p.A: bytes(4), p.AAAA: bytes(16)}


class BlockAnswers:
    """Makes the entry for a verdict, after `[block]` of the configuration."""

    def __init__(self, config: Block) -> None:
        self.action = config.action
        self._ttl_s = config.ttl_s
        self._ede_code = config.ede_code
        self._addresses: dict[int, bytes] = {}
        if config.action == "sinkhole":
            packed = [ip_address(text).packed for text in config.sinkhole]
            self._addresses = {p.A if len(address) == 4 else p.AAAA: address for address in packed}
        elif config.action == "zero":
            self._addresses = _ZERO

    def entry(self, verdict: Verdict, qname: bytes, qtype: int, now: float, monitored: Monitored, stamp: int) -> Entry:
        """The answer. Types without a sinkhole get NODATA; every negative one has an SOA; DO changes nothing."""
        ede = (self._ede_code, ede_text(verdict))
        if (address := self._addresses.get(qtype)) is not None:
            return answer_entry(
                qtype, [address], "blocked", now, self._ttl_s, ede=ede, verdict=verdict, monitored=monitored, stamp=stamp
            )
        if self.action in ("refused", "drop"):
            entry = error_entry(p.REFUSED, "blocked", now, self._ttl_s, ede, stamp)
            entry.verdict, entry.monitored = verdict, monitored
            return entry
        rcode = p.NXDOMAIN if self.action == "nxdomain" else p.NOERROR
        return negative_entry(
            rcode, qname, qname, "blocked", now, self._ttl_s, ede=ede, verdict=verdict, monitored=monitored, stamp=stamp
        )


def ede_text(verdict: Verdict) -> bytes:
    """Who blocked it and why, within what an OPT record has room for."""
    return f"{verdict.category}: {to_text(verdict.listed)} is listed by {verdict.feed}".encode()[: p.EDE_TEXT_MAX_BYTES]
