"""Looks for the cached answers of a name, or drops them, without keeping queries waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from pdns.core.cache import AnswerCache
from pdns.core.entry import Entry
from pdns.ipc.messages import CachedAnswer, FindCached, FoundCached

ENTRIES_A_TURN: Final = 2000  # below a millisecond, also when all are dropped
MOST_SHOWN: Final = 50
_MOST_BODY_BYTES: Final = 20 * 1024  # of all answers: a message holds 64 KiB, with bodies and names in base64
_TAIL_BYTES: Final = 7


async def find(cache: AnswerCache, wanted: FindCached, now: float) -> FoundCached:
    """Carry out `wanted`. Each turn of the loop looks at some entries; queries are answered in between."""
    count, room = 0, _MOST_BODY_BYTES
    shown: list[CachedAnswer] = []
    async for key in _keys(cache, wanted):
        count += 1
        if wanted.remove:
            cache.remove(key)
        elif len(shown) < MOST_SHOWN and (entry := cache.peek(key)) is not None:
            body = entry.body if len(entry.body) <= room else b""
            room -= len(body)
            shown.append(_cached(key, entry, body, now, recheck=entry.rules_epoch != cache.rules_epoch))
    return FoundCached(wanted.number, True, count, tuple(shown))


async def _keys(cache: AnswerCache, wanted: FindCached) -> AsyncIterator[bytes]:
    place = 0
    while place >= 0:
        keys, place = cache.keys_of(wanted.name, wanted.below, place, ENTRIES_A_TURN)
        for key in keys:
            yield key
        await asyncio.sleep(0)


def _cached(key: bytes, entry: Entry, body: bytes, now: float, *, recheck: bool) -> CachedAnswer:
    tail = key[-_TAIL_BYTES:]
    return CachedAnswer(
        name=key[:-_TAIL_BYTES],
        qtype=int.from_bytes(tail[:2]),
        policy=int.from_bytes(tail[5:]),
        dnssec=bool(tail[4] & 1),
        unchecked=bool(tail[4] & 2),
        rcode=entry.rcode,
        source=entry.source,
        expires_in_s=round(entry.expires_s - now, 3),
        age_s=round(now - entry.stored_s, 3),
        hits=entry.hits,
        recheck=recheck,
        answers=int.from_bytes(entry.counts[:2]),
        authority=int.from_bytes(entry.counts[2:]),
        body=body,
    )
