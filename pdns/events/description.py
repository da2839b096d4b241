"""From what a worker wrote to an event that people can read."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from xxhash import xxh3_64_intdigest

from pdns.blockset.annotations import Annotations
from pdns.blockset.reader import Blockset
from pdns.config.policies import DEFAULT_POLICY
from pdns.config.schema import Config
from pdns.core.block_answer import told_by
from pdns.core.client_identity import ClientIdentity, text_of
from pdns.core.listing import Listing
from pdns.errors import InvalidName
from pdns.event_store.event import BLOCKED, MONITORED, Event
from pdns.telemetry.block_labels import BlockLabels
from pdns.telemetry.event_ring import RawEvent
from pdns.wire import names

_MOST_REMEMBERED: Final = 20_000


def record_id(node: str, ring: int, number: int) -> int:
    """The id of a record: the same whenever it is read again, another one for each record of each node."""
    return xxh3_64_intdigest(f"{ring:x} {number:x} {node}".encode())


@lru_cache(_MOST_REMEMBERED)
def _text_of(wire: bytes) -> str | None:
    """A name in presentation format; None when it is damaged."""
    try:
        text = names.to_text(wire)
        return text if names.from_text(text) == wire else None
    except (IndexError, InvalidName):
        return None


class Describer:
    """Adds what the configuration and the blockset know."""

    def __init__(self, config: Config, node: str) -> None:
        self._blockset: Blockset | None = None
        self._annotations: Annotations | None = None
        self._threats: dict[tuple[str, str], str] = {}
        self.configure(config, node)

    def configure(self, config: Config, node: str) -> None:
        """Go by `config` from now on. `node` is the name of this machine."""
        self.node = node
        self._policies = {tenant.name: tenant.policy for tenant in config.tenant}

    def take_blockset(self, blockset: Blockset, annotations: Annotations | None) -> None:
        """Look up names there from now on."""
        self._blockset, self._annotations = blockset, annotations
        self._threats.clear()

    def event(self, raw: RawEvent, labels: BlockLabels, id_: int, offset_s: float) -> Event | None:
        """The event. `offset_s` is added to its times. None when a name is damaged."""
        qname, listed = _text_of(raw.qname), _text_of(raw.listed) if raw.is_blocked else ""
        if qname is None or listed is None:
            return None
        told = told_by(raw.text.decode("utf-8", "replace"), labels.feed, labels.category)
        listed = listed or self._monitored_name(raw.qname, labels.feed) or qname
        return Event(
            id=id_,
            time_s=raw.first_s + offset_s,
            last_s=raw.last_s + offset_s,
            n=raw.n,
            kind=BLOCKED if raw.is_blocked else MONITORED,
            node=self.node,
            tenant=labels.tenant,
            policy=self._policies.get(labels.tenant, DEFAULT_POLICY),
            client=text_of(ClientIdentity(raw.client_kind, raw.client_bits, raw.client)),
            transport=raw.transport.value,
            qname=qname,
            qtype=raw.qtype,
            listed=listed,
            rule=told.rule or listed,
            feed=labels.feed,
            category=labels.category,
            action=labels.action,
            others=labels.others,
            monitored=labels.monitored,
            threat=self._threat(raw, listed, labels.feed),
            reason=told.reason,
            case=told.case,
            merged=raw.is_merged,
        )

    def _monitored_name(self, qname: bytes, feed: str) -> str:
        """The most specific name that the feed lists at or above `qname`; "": it lists an address."""
        return next((names.to_text(listing.name) for listing in self._listings(qname) if listing.feed == feed), "")

    def _threat(self, raw: RawEvent, listed: str, feed: str) -> str:
        """What the feed calls the threat of a name; "" where it says nothing, or lists an address that the name leads to."""
        if self._annotations is None:
            return ""
        if (known := self._threats.get((listed, feed))) is not None:
            return known
        if len(self._threats) >= _MOST_REMEMBERED:
            self._threats.clear()
        found = (*self._listings(names.from_text(listed)), *self._listings(raw.qname))  # the latter for what is only below a name
        listings = (one for one in found if one.feed == feed and names.to_text(one.name) == listed)
        threat = next((self._annotations.of(one).threat for one in listings), "")
        self._threats[listed, feed] = threat
        return threat

    def _listings(self, name: bytes) -> tuple[Listing, ...]:
        return () if self._blockset is None else self._blockset.lookup(name)
