"""Where every format's reader puts what it finds."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, Literal

import msgspec

from feeds.annotations import NameAnnotation
from feeds.formats.actions import ListedActions
from feeds.names import KeyList
from feeds.normalise import NameEntry, NetworkEntry, Reason, is_cosmetic, plain_key, plain_keys, read_entry, url_host
from pdns.core.listing import ALLOW_BELOW, ALLOW_NAME, ALLOW_SUBTREE, BLOCK_BELOW, BLOCK_NAME, BLOCK_SUBTREE, ListedAction
from pdns.state.feed_status import SkippedLines
from pdns.wire.names import from_reversed_key, to_text

MAX_EXAMPLES: Final = 3
MAX_EXAMPLE_CHARACTERS: Final = 80
MAX_DETAILS: Final = 65_535
_ALLOW_SHIFT = ALLOW_NAME // BLOCK_NAME
_SECTION_BYTES: Final = 512  # of a line, that are looked at
MAX_LINE_VALUES: Final = 1000  # a line of 4096 bytes has room for 819 names
MAX_TOKEN_BYTES: Final = 4096  # of one value; what is longer is cut, and longer than any name still
MAX_MADE: Final = 1_000_000  # entries that follow from others: more of them than of those make no sense
_BYTES_SHOWN = 4 * MAX_EXAMPLE_CHARACTERS
_RESERVED_DETAILS = 4096  # once only so many are left, a detail is cut to what many names share
_URLS = frozenset((Reason.URL, Reason.URL_WITH_PATH))
IMPORTANT_SHIFT: Final = 4  # a rule of higher rank: its bits stand above those of pdns.blockset.reader until `rank` resolves them
_SECTION_BEGINS: Final = (b"{", b"[", b" ", b"\t")
_OF_ANOTHER_FORMAT: Final = frozenset((Reason.UNKNOWN_LINE, Reason.UNSUPPORTED_RULE))
_PLAIN_BITS: Final = BLOCK_SUBTREE | ALLOW_SUBTREE
# Lists whose sections say whether what follows is blocked or let through. Read line by line, the second kind would be blocked.
_SECTION = re.compile(
    rb"\s*(?:\{\s*[+-][a-z]|\{\{|\[[^\]]*(?:allow|white|except|exclu|permit|trusted)[^\]]*\]\s*$)", re.IGNORECASE
).match


class WrongList(Exception):
    """The list as a whole is of a kind that is not read; its text is the reason."""


class Collector:
    """The names, networks and skipped lines of one list. `line_number` and `line` are those of the line being read.

    Where a list has no lines, its entries count as such. `detail` is what the publisher says of the one being read.
    """

    def __init__(
        self,
        *,
        wildcard_includes_apex: bool | Literal["auto"] = False,
        addresses: bool = False,
        url_hosts: bool = False,
        top_level: bool = False,
        given: bool = False,
    ) -> None:
        self.names: dict[bytes, int] = {}  # reversed key -> BLOCK_* and ALLOW_* bits
        self.networks: set[bytes] = set()  # bytes of the address and one of prefix length
        self._plain = KeyList()  # names with everything below them, which `names` need not have
        self.line_number = 0
        self.line = b""
        self.detail: NameAnnotation | None = None
        self.action: ListedAction | None = None  # of what is added from now on, where `given`
        self.actions = ListedActions()
        self.given = given
        self.details: list[NameAnnotation] = []
        self.detail_of: dict[bytes, int] = {}  # reversed key -> index into `details`, where there is one
        self._detail_numbers: dict[NameAnnotation, int] = {}
        self._unit = "line"
        self._addresses = addresses
        self._url_hosts = url_hosts
        self._top_level = top_level
        self._excepted_networks: set[bytes] = set()
        self._below_bits = BLOCK_SUBTREE if wildcard_includes_apex is True else BLOCK_BELOW
        self._apex_if_only = wildcard_includes_apex == "auto"
        self.notes: list[str] = []  # how the list as a whole was read, where that is not what each line says
        self._odd: Counter[Reason] = Counter()
        self._examples: dict[Reason, list[str]] = {}
        self._shown: dict[Reason, int] = {}  # the line that was last thought of as an example

    def add(self, token: bytes, *, exact: bool = False, allow: bool = False, important: bool = False) -> None:
        """List what `token` spells: a name with everything below it (`exact`: the name alone), or what is below `*.x`.

        `allow` makes it an exception, `important` a rule that wins over others: call `rank` at the end. Others are counted.
        """
        token = token[:MAX_TOKEN_BYTES].lower()
        below = token.startswith(b"*.")
        key = plain_key(token[2:] if below else token)
        if key is None and token.endswith(b"."):
            key = plain_key(token[2:-1] if below else token[:-1])
        if key is None:
            entry = read_entry(token, top_level=self._top_level or allow)
            if not isinstance(entry, NameEntry):
                self._add_other(token, entry, allow=allow)
                return
            key, below = entry
        bits = self._below_bits if below else BLOCK_NAME if exact else BLOCK_SUBTREE
        if allow:
            bits *= _ALLOW_SHIFT
        if self.action is not None and self._refused(self.actions.add_name(key, self.action, below=below)):
            return
        self.put(key, bits << IMPORTANT_SHIFT if important else bits, self.detail)

    def add_root(self, *, allow: bool) -> None:
        """List every name there is (`*`), or except all that nothing else lists, where the feed may list top-level domains."""
        if self._top_level or allow:
            if self.action is not None and self._refused(self.actions.add_name(b"", self.action, below=True)):
                return
            self.put(b"", ALLOW_BELOW if allow else BLOCK_BELOW, self.detail)
        else:
            self.refuse(Reason.PATTERN)

    def add_plain(self, names: list[bytes]) -> None:
        """List plain names in lower case (`feeds.normalise.PLAIN_NAME`), each with everything below it."""
        self._plain.extend(plain_keys(names))

    def add_plain_key(self, key: bytes) -> None:
        """List one such name."""
        self._plain.extend([key])

    def all_names(self) -> Mapping[bytes, int]:
        """Everything that was listed."""
        return self._plain.merged(BLOCK_SUBTREE, self.names) if self._plain else self.names

    def put(self, key: bytes, bits: int, detail: NameAnnotation | None) -> None:
        """List a name, beside what is known of it."""
        if detail is not None or key in self.detail_of:
            self._note(key, detail or NameAnnotation())
        self.names[key] = self.names.get(key, 0) | bits

    def begin(self, entry: bytes, detail: NameAnnotation | None = None) -> None:
        """Go on to the next entry, of a list that has no lines. `entry` is how examples show it."""
        self._unit = "entry"
        self.line_number += 1
        self.line = entry
        self.describe(detail)

    def describe(self, detail: NameAnnotation | None) -> None:
        """Set the annotation of the entries that are added from now on. An empty `detail` counts as None."""
        self.detail = detail if detail != NameAnnotation() else None

    def add_address(self, token: bytes) -> None:
        """List what `token` spells, when that is an address or network. A name in such a place is counted."""
        token = token[:MAX_TOKEN_BYTES]
        entry = read_entry(token)
        if isinstance(entry, NameEntry):
            self.refuse(Reason.BAD_ENTRY)
        else:
            self._add_other(token, entry, allow=False)

    def add_url(self, token: bytes) -> None:
        """List the host of a URL, and nothing below it, where the feed's owner wants that; else count it."""
        token = token[:MAX_TOKEN_BYTES]
        entry = read_entry(token)
        reason = entry if isinstance(entry, Reason) and entry is not Reason.PORT else Reason.URL
        self._add_other(token, reason, allow=False)

    def add_network(self, key: bytes, reason: Reason, *, special: bool, allow: bool = False) -> None:
        """List a network, or make it an exception, when the feed's addresses are wanted. Call `carve` at the end."""
        if not self._addresses:
            self.refuse(reason)
        elif special and not allow:
            self.refuse(Reason.SPECIAL_ADDRESS)
        elif self.action is not None:
            if not self._refused(self.actions.add_network(key, self.action)):
                self.networks.add(key)
        elif allow:
            self._excepted_networks.add(key)
        else:
            self.networks.add(key)

    def include_apex(self) -> None:
        """Where all names that the list blocks are written `*.x`, and the feed leaves it open, take each to mean x as well."""
        if not self._apex_if_only or self._plain or not any(bits & BLOCK_BELOW for bits in self.names.values()):
            return
        if not any(bits & BLOCK_NAME for bits in self.names.values()):
            for key, bits in self.names.items():
                if bits & BLOCK_BELOW:
                    self.names[key] = bits | BLOCK_NAME
            self.notes.append("all its names are written *.x: x is blocked too (wildcard_includes_apex)")

    def carve(self) -> None:
        """Take each excepted network out of the wider ones that hold it, so that the longest prefix decides."""
        most = MAX_MADE + 2 * len(self.networks)
        for excepted in sorted(self._excepted_networks, key=lambda key: key[-1]):
            size, bits = len(excepted) - 1, excepted[-1]
            address = int.from_bytes(excepted[:-1])
            for prefix_bits in range(bits + 1):
                kept = address >> 8 * size - prefix_bits << 8 * size - prefix_bits
                if (around := kept.to_bytes(size) + bytes((prefix_bits,))) not in self.networks:
                    continue
                self.networks.remove(around)
                for half_bits in range(prefix_bits + 1, bits + 1):  # on the way down, the half that does not hold it
                    half = address >> 8 * size - half_bits << 8 * size - half_bits ^ 1 << 8 * size - half_bits
                    self.networks.add(half.to_bytes(size) + bytes((half_bits,)))
                if len(self.networks) > most:
                    raise WrongList(f"its exceptions cut its networks into more than {most:,} parts")

    def stop_wildcards(self) -> None:
        """Let a name that exists end the reach of wildcards above it, as in DNS (RFC 4592, 3.3.1): the closest encloser decides.

        Every listed name exists, and so does each name above one. A wildcard of its own reaches what is below it.
        """
        names = self.names
        above: list[bytes] = []  # names with a wildcard, each below the one before
        made: dict[bytes, int] = {}
        most = MAX_MADE + 2 * len(names)
        for key in sorted(names):
            if len(made) > most:
                raise WrongList(f"more than {most:,} names follow from its wildcards")
            while above and not key.startswith(above[-1]):
                above.pop()
            if above:
                for name in _between(above[-1], key):
                    if name not in names:
                        made[name] = ALLOW_SUBTREE
                bits = names[key]
                if not bits & (BLOCK_BELOW | ALLOW_BELOW):
                    made[key] = bits | ALLOW_BELOW
                elif not bits & (BLOCK_NAME | ALLOW_NAME):
                    made[key] = bits | ALLOW_NAME
            if names[key] & (BLOCK_BELOW | ALLOW_BELOW):
                above.append(key)
        names |= made

    def _add_other(self, token: bytes, entry: NetworkEntry | Reason, *, allow: bool) -> None:
        if entry in _URLS and self._url_hosts and not allow and (host := url_host(token)) is not None:
            self.add(host, exact=True)
        elif isinstance(entry, Reason):
            self.refuse(entry)
        elif allow:
            self.refuse(entry.reason)
        else:
            self.add_network(entry.key, entry.reason, special=entry.special)

    def _note(self, key: bytes, detail: NameAnnotation) -> None:
        """Keep `detail` of a name: of several the one that holds longest, the first of those."""
        known = self.detail_of.get(key)
        if known is not None:
            earlier = self.details[known].expires_s
            if not earlier or earlier >= detail.expires_s > 0:
                return
        elif key in self.names and detail.expires_s:
            detail = msgspec.structs.replace(detail, expires_s=0.0)  # listed without an end before
        if len(self.details) >= MAX_DETAILS - _RESERVED_DETAILS and detail not in self._detail_numbers:
            detail = NameAnnotation(threat=detail.threat, expires_s=detail.expires_s)
        number = self._detail_numbers.get(detail)
        if number is None:
            if len(self.details) >= MAX_DETAILS:
                self.detail_of.pop(key, None)
                return
            number = self._detail_numbers[detail] = len(self.details)
            self.details.append(detail)
        self.detail_of[key] = number

    def rank(self) -> None:
        """Let each name keep only what no rule of higher rank cancels, at the name or above it, as adblock engines do.

        From the highest: an important exception, an important rule, an exception, a rule. An exception for a name that a rule of
        equal importance lists is kept beside it, and wins.
        """
        if not any(bits > BLOCK_SUBTREE for bits in self.names.values()):
            return
        names = self.names = dict(self.all_names())
        keys = sorted(names)
        for at, key in enumerate(keys):
            bits = names[key]
            if bits <= BLOCK_SUBTREE:
                continue
            important = bits >> IMPORTANT_SHIFT
            bits = self._cancel(key, bits, (important & BLOCK_SUBTREE) * _ALLOW_SHIFT)
            cancelled = 0
            if bits & ALLOW_BELOW:
                cancelled |= BLOCK_SUBTREE
            if important & BLOCK_BELOW:
                cancelled |= ALLOW_SUBTREE
            if important & ALLOW_BELOW:
                cancelled |= BLOCK_SUBTREE | BLOCK_SUBTREE << IMPORTANT_SHIFT
            if cancelled:
                for below in keys[at + 1 : bisect_left(keys, key + b"\xff", at)]:
                    self._cancel(below, names[below], cancelled)
        for key in keys:
            bits = (names[key] | names[key] >> IMPORTANT_SHIFT) & _PLAIN_BITS
            if bits:
                names[key] = bits
            else:
                del names[key]

    def _cancel(self, key: bytes, bits: int, cancelled: int) -> int:
        """Take `cancelled` from the bits of a name, and count it where that takes anything; returns what is left."""
        if bits & cancelled:
            bits = self.names[key] = bits & ~cancelled
            self._odd[Reason.OVERRULED] += 1
            if self._wants_example(Reason.OVERRULED):
                examples, name = self._examples[Reason.OVERRULED], to_text(from_reversed_key(key))
                examples += [name] if name not in examples else []
        return bits

    def add_client(self, key: bytes) -> None:
        """List a network of clients, when there is an action for it."""
        if self.action is None:
            self.refuse(Reason.CLIENT_TRIGGER)
        else:
            self._refused(self.actions.add_client(key, self.action))

    def _refused(self, reason: Reason | None) -> bool:
        if reason is not None:
            self.refuse(reason)
        return reason is not None

    def refuse(self, reason: Reason) -> None:
        """Count the line, or a part of it. Raises `WrongList` when it begins a section."""
        if self._shown.get(reason) == self.line_number:  # a line may have a million values, none of which is a name
            self._odd[reason] += 1
            return
        if is_section(self.line):
            raise WrongList(
                "it has sections that block and sections that let through, as Privoxy's action files have; "
                f"such lists are not read (line {self.line_number}: {visible(self.line)})"
            )
        if reason in _OF_ANOTHER_FORMAT and is_cosmetic(self.line.lstrip()):
            reason = Reason.COSMETIC
        self._odd[reason] += 1
        self._shown[reason] = self.line_number
        if self._wants_example(reason):
            self._examples[reason].append(f"{self._unit} {self.line_number}: {visible(self.line)}")

    def _wants_example(self, reason: Reason) -> bool:
        """Whether fewer are kept for `reason` than may be: most of a million skipped lines are never decoded."""
        return len(self._examples.setdefault(reason, [])) < MAX_EXAMPLES

    @property
    def odd(self) -> dict[str, SkippedLines]:
        """Reason -> the lines that were skipped for it, the most frequent first."""
        return {
            str(reason): SkippedLines(count=count, examples=self._examples[reason]) for reason, count in self._odd.most_common()
        }


def _between(above: bytes, key: bytes) -> Iterator[bytes]:
    """The keys of all names below that of `above` and above that of `key`."""
    end = len(above)
    while (end := end + 1 + key[end]) < len(key):
        yield key[:end]


def is_section(line: bytes) -> bool:
    """Whether `line` begins a section of a list that blocks in some and lets through in others."""
    return line[:1] in _SECTION_BEGINS and _SECTION(line[:_SECTION_BYTES]) is not None


def visible(line: bytes) -> str:
    """`line` cut to 80 characters, with everything that a terminal would not show, or would act on, spelled out."""
    text = line[:_BYTES_SHOWN].strip().decode("utf-8", "backslashreplace")
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return shown if len(shown) <= MAX_EXAMPLE_CHARACTERS else shown[: MAX_EXAMPLE_CHARACTERS - 1] + "…"
