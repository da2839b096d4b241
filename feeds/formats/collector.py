"""Where every format's reader puts what it finds."""

from __future__ import annotations

from collections import Counter
from typing import Final

from feeds.normalise import NameEntry, NetworkEntry, Reason, plain_key, read_entry
from pdns.blockset import ALLOW_NAME, BLOCK_BELOW, BLOCK_NAME, BLOCK_SUBTREE
from pdns.feedstatus import OddLines

MAX_EXAMPLES: Final = 3
MAX_EXAMPLE_CHARACTERS: Final = 80
_ALLOW_SHIFT = ALLOW_NAME // BLOCK_NAME
_OCTETS_SHOWN = 4 * MAX_EXAMPLE_CHARACTERS


class Collector:
    """The names, networks and odd lines of one list. `line_number` and `line` are those of the line being read."""

    def __init__(self, *, wildcard_includes_apex: bool = False, addresses: bool = False) -> None:
        self.names: dict[bytes, int] = {}  # reversed key -> BLOCK_* and ALLOW_* bits
        self.networks: set[bytes] = set()  # address octets and one octet of prefix length
        self.line_number = 0
        self.line = b""
        self._addresses = addresses
        self._below_bits = BLOCK_SUBTREE if wildcard_includes_apex else BLOCK_BELOW
        self._odd: Counter[Reason] = Counter()
        self._examples: dict[Reason, list[str]] = {}

    def add(self, token: bytes, *, exact: bool = False, allow: bool = False) -> None:
        """List what `token` spells: a name with everything below it (`exact`: the name alone), or what is below `*.x`.

        `allow` makes it an exception. A token that is no name is counted.
        """
        token = token.lower()
        below = token.startswith(b"*.")
        key = plain_key(token[2:] if below else token)
        if key is None and token.endswith(b"."):
            key = plain_key(token[2:-1] if below else token[:-1])
        if key is None:
            entry = read_entry(token)
            if not isinstance(entry, NameEntry):
                self._add_other(entry, allow=allow)
                return
            key, below = entry
        bits = self._below_bits if below else BLOCK_NAME if exact else BLOCK_SUBTREE
        self.names[key] = self.names.get(key, 0) | (bits * _ALLOW_SHIFT if allow else bits)

    def add_network(self, octets: bytes, reason: Reason, *, special: bool) -> None:
        """List a network, when the feed's addresses are wanted."""
        if not self._addresses:
            self.refuse(reason)
        elif special:
            self.refuse(Reason.SPECIAL_ADDRESS)
        else:
            self.networks.add(octets)

    def _add_other(self, entry: NetworkEntry | Reason, *, allow: bool) -> None:
        if isinstance(entry, Reason):
            self.refuse(entry)
        elif allow:
            self.refuse(entry.reason)
        else:
            self.add_network(entry.octets, entry.reason, special=entry.special)

    def refuse(self, reason: Reason) -> None:
        """Count the line, or a part of it."""
        self._odd[reason] += 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < MAX_EXAMPLES:
            example = f"line {self.line_number}: {visible(self.line)}"
            if example not in examples:
                examples.append(example)

    @property
    def odd(self) -> dict[str, OddLines]:
        """Reason -> what was passed over for it, the commonest first."""
        return {str(reason): OddLines(count=count, examples=self._examples[reason]) for reason, count in self._odd.most_common()}


def visible(line: bytes) -> str:
    """`line` cut to 80 characters, with everything that a terminal would not show, or would act on, spelled out."""
    text = line[:_OCTETS_SHOWN].strip().decode("utf-8", "backslashreplace")
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return shown if len(shown) <= MAX_EXAMPLE_CHARACTERS else shown[: MAX_EXAMPLE_CHARACTERS - 1] + "…"
