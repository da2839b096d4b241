"""Numbers of combinations and actions that depend on what is listed only, not on the order in which it was met.

Two machines that compile the same entries make the same files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pdns.blockset.layout import ClientEntry, Manifest
from pdns.core.listing import NO_ACTION, ListedAction, action_of, bits_of, with_actions


class CanonicalNumbers(NamedTuple):
    """What a manifest has, and how it follows from what was met."""

    combinations: list[list[tuple[int, int]]]
    order: list[int]  # of each combination of the manifest, its number as it was met
    number_of: list[int]  # the reverse
    actions: list[ListedAction]  # those that are used
    clients: list[ClientEntry]


def canonical_numbers(
    combinations: Sequence[Sequence[tuple[int, int]]], actions: Sequence[ListedAction], clients: Sequence[ClientEntry]
) -> CanonicalNumbers:
    """Number `combinations` and `actions`, which are counted from 1, by what they say."""
    used = {action_of(said, below=below) for part in combinations for _, said in part for below in (False, True)}
    used |= {client.action for client in clients}
    used.discard(NO_ACTION)
    ordered = sorted(used, key=lambda number: actions[number - 1])
    new = {NO_ACTION: NO_ACTION} | {number: at for at, number in enumerate(ordered, 1)}

    def renumbered(said: int) -> int:
        at_name, below = action_of(said, below=False), action_of(said, below=True)
        return with_actions(bits_of(said), new[at_name], new[below]) if at_name or below else said

    parts = [[(feed, renumbered(said)) for feed, said in part] for part in combinations]
    order = sorted(range(len(parts)), key=parts.__getitem__)
    number_of = [0] * len(order)
    for at, number in enumerate(order):
        number_of[number] = at
    return CanonicalNumbers(
        [parts[number] for number in order],
        order,
        number_of,
        [actions[number - 1] for number in ordered],
        [ClientEntry(client.feed, client.network, new[client.action]) for client in clients],
    )


def content_hash(manifest: Manifest) -> str:
    """A SHA-256 of what the blockset lists: its mapped files, and what the numbers in them stand for. Equal entries have
    the same, whatever the generation and the time.
    """
    files = {name: manifest.files[name] for name in manifest.mapped}
    feeds = [feed.name for feed in manifest.feeds]
    said = (files, feeds, manifest.combinations, manifest.runs, manifest.actions or [], manifest.clients or [])
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()
