"""One token of a list, as published: a name to list, an address, or the reason why it is neither.

Nothing is guessed: what does not clearly say "this whole domain" is counted, not listed.
"""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from pdns.errors import InvalidName
from pdns.wire.names import MAX_LABEL_BYTES, MAX_NAME_BYTES, to_ascii


class Reason(StrEnum):
    """Why a line, or a part of one, lists nothing. `docs/feed-formats.md` has an example of each."""

    ADDRESS = "address"  # an IP address in any notation
    NETWORK = "network"  # a network or range of addresses
    SPECIAL_ADDRESS = "special_address"  # loopback, private, multicast, or a network too wide to mean harm
    PORT = "port"  # a host with a port
    URL = "url"  # a URL without a path
    URL_WITH_PATH = "url_with_path"
    PATH = "path"  # a path without a host
    EMAIL = "email"
    REGEX = "regex"
    PATTERN = "pattern"  # * or ? elsewhere than in a leading `*.`
    SINGLE_LABEL = "single_label"  # a whole top-level domain, or a bare word
    LOCAL_NAME = "local_name"  # localhost and the like
    EMPTY_LABEL = "empty_label"
    LABEL_TOO_LONG = "label_too_long"
    NAME_TOO_LONG = "name_too_long"
    BAD_CHARACTERS = "bad_characters"
    BAD_IDN = "bad_idn"  # letters outside ASCII that no A-label stands for
    MODIFIER = "modifier"  # an adblock rule that means less than the whole domain
    COSMETIC = "cosmetic"  # an adblock rule about elements of a page
    OVERRULED = "overruled"  # cancelled by another rule of the list
    UNSUPPORTED_RULE = "unsupported_rule"  # of this format, but not about blocking a domain
    NAMESERVER_TRIGGER = "nameserver_trigger"  # of an RPZ: name servers, which a forwarder does not see
    CLIENT_TRIGGER = "client_trigger"  # of an RPZ: clients, whom only a feed with rpz_action = "given" has a say about
    CNAME_AND_OTHER = "cname_and_other"  # an RPZ record beside the CNAME of its owner, or a CNAME beside other data
    BAD_DATA = "bad_data"  # RPZ local data that is not valid, or of a type that cannot be answered
    TOO_MANY_ACTIONS = "too_many_actions"  # RPZ local data beyond the bounds
    OUT_OF_ZONE = "out_of_zone"  # an RPZ owner outside its zone
    EXTRA_TEXT = "extra_text"  # more on the line than its format has room for
    UNKNOWN_LINE = "unknown_line"  # not of this format
    BAD_ENTRY = "bad_entry"  # a row or object that does not have the shape of its format
    NO_VALUE = "no_value"  # the column or field is missing, empty, or no text
    OTHER_INDICATOR = "other_indicator"  # of something that DNS does not know: a file, a process, a mail
    NOT_FOR_BLOCKING = "not_for_blocking"  # the publisher gives it for information only (MISP: to_ids)
    WITHDRAWN = "withdrawn"  # deleted or revoked by its publisher
    MARKUP = "markup"
    LINE_TOO_LONG = "line_too_long"
    TOO_MANY_VALUES = "too_many_values"  # more on a line than a line of names can have
    NOT_TEXT = "not_text"  # NUL, or not UTF-8


class NameEntry(NamedTuple):
    """A name to list."""

    key: bytes  # `pdns.wire.names.reversed_key` of it
    below: bool  # written `*.x`


class NetworkEntry(NamedTuple):
    """An address or network. `key`: the bytes of the address, then one with the prefix length."""

    key: bytes
    reason: Reason  # what to count it by when addresses are not wanted
    special: bool  # loopback, private, multicast, or too wide: blocking it would hurt, whoever lists it


_SHORT_BYTES: Final = 2  # a list may have millions of these, which are no names: each is thought about once
_SHORT_TOKENS: Final = 2 * 256**_SHORT_BYTES
_LENGTH: Final = tuple(bytes((length,)) for length in range(MAX_LABEL_BYTES + 1))
# No address ends in a label like this one, and no local name passes: what is odd is for `read_entry`.
_PLAIN = re.compile(rb"(?!localhost)(?:[a-z0-9_-]{1,63}\.)+[a-z][a-z0-9_-]{0,62}").fullmatch
PLAIN_NAME: Final = rb"(?!localhost)(?:[a-z0-9_-]{1,63}\.)+[a-z][a-z0-9_-]{0,62}"
_PARENTS: Final[dict[bytes, bytes]] = {}  # top-level domain -> its key
_MOST_PARENTS: Final = 10_000
_ALLOWED = re.compile(r"[a-z0-9_.-]+").fullmatch
_IPV4_LIKE = re.compile(r"(?:0x[0-9a-f]*|\d+|\*)(?:\.(?:0x[0-9a-f]*|\d+|\*)){0,3}\.?").fullmatch
_QUAD = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?[1-9]?\d|10\d)(?:\.(?!$)|$)){4}", re.ASCII).fullmatch
_IPV6_LIKE = re.compile(r"\[?([0-9a-f]{0,4}:[0-9a-f.]{0,15}:[0-9a-f:.]{0,40})(?:%\w+)?\]?").fullmatch
_RANGE = re.compile(r"[\d.]+-[\d.]+|[0-9a-f:]+:-[0-9a-f:]+").fullmatch
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:/+").match
_PATH = re.compile(r"[^/?#]*(?:/+[^/]|\?|#)").match
_PORT = re.compile(r"(?:[^/:@]+|\[[0-9a-f:.]+\]):\d+").fullmatch
_HOST = re.compile(r"[\w.-]+(?::\d+)?(?=[/?#])").match
_EMAIL = re.compile(r"[^@/]+@[\w.-]+").fullmatch
_URL_HOST = re.compile(r"(?:[a-z][a-z0-9+.-]*:/+)?(?:[^/?#\\@]*@)?(\[[0-9a-f:.]+\]|[^/?#\\:@*\s]+)(?::\d*)?(?:[/?#\\]|$)").match
# A rule about elements of a page: what it is about, one of the separators, then a selector or a script. White space before a `#`
# makes a comment of it.
COSMETIC: Final = rb"(?:\[\$[^\]]*\])?[^\s#$/|]+(?:#@?(?:[?$%]|\$\?)?#|\$@?\$)(?!\s|$)"
_COSMETIC = re.compile(COSMETIC).match
_REGEX_CHARACTERS = frozenset("\\^$*+|([{")
_DEFANGED = re.compile(r"\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)")
_OTHER_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")  # label separators after UTS 46
_LOCAL_NAMES: Final = frozenset((
    "localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4", "localhost6", "localhost6.localdomain6",
    "localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback", "ip6-localnet", "ip6-mcastprefix",
    "ip6-allnodes", "ip6-allrouters", "ip6-allhosts",
))  # fmt: skip
_NARROWEST_PREFIX_BITS = {4: 8, 6: 16}
_MAYBE_SPECIAL = frozenset((0, 10, 100, 127, 169, 172, 192, 198, 203, *range(224, 256)))  # first bytes
_DOCUMENTATION = tuple(map(ipaddress.ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")))


def plain_key(token: bytes) -> bytes | None:
    """The key of a lower-case name of two labels or more in plain ASCII; None when `token` needs a closer look."""
    if _PLAIN(token) is None or len(token) > MAX_NAME_BYTES - 2:
        return None
    labels = token.split(b".")
    labels.reverse()
    return b"".join([_LENGTH[len(label)] + label for label in labels])


def plain_keys(names: list[bytes]) -> list[bytes]:
    """The keys of names that are all known to be plain (`plain_key`)."""
    keys = []
    parents = _PARENTS
    for name in names:
        label, _, parent = name.partition(b".")
        above = parents.get(parent)
        if above is None:
            labels = parent.split(b".")
            labels.reverse()
            above = b"".join([_LENGTH[len(part)] + part for part in labels])
            if len(labels) == 1 and len(parents) < _MOST_PARENTS:
                parents[parent] = above
        keys.append(above + _LENGTH[len(label)] + label)
    return keys


def read_entry(token: bytes, *, top_level: bool = False) -> NameEntry | NetworkEntry | Reason:
    """What `token`, without white space around it, says; with `top_level`, a single label is a name. Never raises."""
    return (_read_short if len(token) <= _SHORT_BYTES else _read)(token, top_level)


def _read(token: bytes, top_level: bool) -> NameEntry | NetworkEntry | Reason:
    if b"\0" in token:
        return Reason.NOT_TEXT
    if is_cosmetic(token):
        return Reason.COSMETIC
    try:
        text = token.decode().lower()
    except UnicodeDecodeError:
        return Reason.NOT_TEXT
    text = _refanged(text)
    below = text.startswith("*.")
    host = text[2:] if below else text.removeprefix(".")  # `.x`: x and everything below it
    if len(host) > MAX_NAME_BYTES:
        return _not_a_name(text) or Reason.NAME_TOO_LONG
    if not host.isascii():
        host = host.translate(_OTHER_DOTS)
        try:
            host = ".".join([label if label.isascii() else to_ascii(label) for label in host.split(".")])
        except InvalidName:
            return _not_a_name(text) or Reason.BAD_IDN
    if (found := _address(host)) is not None:
        return found.reason if below and isinstance(found, NetworkEntry) else found
    if not host:
        return Reason.EMPTY_LABEL
    if not _ALLOWED(host):
        return _not_a_name(text) or Reason.BAD_CHARACTERS
    host = host.removesuffix(".")
    if host in _LOCAL_NAMES:
        return Reason.LOCAL_NAME
    labels = host.encode().split(b".")
    if not all(labels):
        return Reason.EMPTY_LABEL
    if any(len(label) > MAX_LABEL_BYTES for label in labels):
        return Reason.LABEL_TOO_LONG
    if len(host) > MAX_NAME_BYTES - 2:
        return Reason.NAME_TOO_LONG
    if len(labels) == 1 and not top_level:
        return Reason.SINGLE_LABEL
    return NameEntry(b"".join([_LENGTH[len(label)] + label for label in reversed(labels)]), below)


_read_short = lru_cache(_SHORT_TOKENS)(_read)


def is_cosmetic(line: bytes) -> bool:
    """Whether `line` is an adblock rule about elements of a page (`site.test##.advert`); it says nothing of the site."""
    return (b"#" in line or b"$" in line) and _COSMETIC(line) is not None


def url_host(token: bytes) -> bytes | None:
    """The host of what `read_entry` called a URL, with or without a path; None where there is none to be seen."""
    found = _URL_HOST(_refanged(token.decode("utf-8", "replace").lower()))
    return found[1].encode() if found else None


def _refanged(text: str) -> str:
    """`text` without what makes it harmless to click on."""
    if "[" in text or "(" in text or "{" in text:
        return _DEFANGED.sub(".", text).replace("[:]", ":").replace("[://]", "://")
    return text


def _not_a_name(text: str) -> Reason | None:
    """What `text` is, when it is something else that lists are known to hold."""
    if text.startswith("<"):
        return Reason.MARKUP
    if '"' in text or text.startswith("$"):
        return Reason.BAD_CHARACTERS
    if text.startswith(("|", "@@")):
        return Reason.UNSUPPORTED_RULE
    if (scheme := _SCHEME(text)) is not None:
        return Reason.URL_WITH_PATH if _PATH(text[scheme.end() :]) else Reason.URL
    if _PORT(text):
        return Reason.PORT
    if text.startswith("/"):
        return Reason.REGEX if text.endswith("/") and not _REGEX_CHARACTERS.isdisjoint(text) else Reason.PATH
    if _HOST(text.removeprefix("*.")):
        return Reason.URL_WITH_PATH if _PATH(text) else Reason.URL
    if "\\" in text or "|" in text or text.startswith("^") or text.endswith("$"):
        return Reason.REGEX
    if any(-1 < text.find(opening) < text.rfind(closing) for opening, closing in ("()", "[]", "{}")):
        return Reason.REGEX
    if _EMAIL(text):
        return Reason.EMAIL
    return Reason.PATTERN if "*" in text or "?" in text else None


def _address(text: str) -> NetworkEntry | Reason | None:
    """The address or network that `text` spells, the reason why it cannot be listed, or None when it is no address."""
    if _QUAD(text):
        address_bytes = bytes(map(int, text.split(".")))
        special = address_bytes[0] in _MAYBE_SPECIAL and _is_special(ipaddress.IPv4Network(address_bytes))
        return NetworkEntry(address_bytes + b"\x20", Reason.ADDRESS, special)
    bare, slash, mask = text.partition("/")
    if _IPV4_LIKE(bare):
        if "*" in bare:
            return Reason.NETWORK if bare.strip("*.") else Reason.PATTERN
        bare = bare.removesuffix(".")
    elif bracketed := _IPV6_LIKE(bare):
        bare = bracketed[1]
    else:
        return Reason.NETWORK if _RANGE(text) else None
    try:
        network = ipaddress.ip_network(f"{bare}/{mask}" if slash else bare, strict=False)
    except ValueError:
        if slash:
            return Reason.NETWORK if mask.isdigit() else None  # or a URL: 192.0.2.1/x.exe
        return Reason.ADDRESS  # 0x7f.1, 0177.0.0.1, 300.1.1.1
    address = network.network_address
    if network.prefixlen >= 96 and isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        network = ipaddress.IPv4Network((address.ipv4_mapped, network.prefixlen - 96))
    key = network.network_address.packed + bytes((network.prefixlen,))
    return NetworkEntry(key, Reason.NETWORK if slash else Reason.ADDRESS, _is_special(network))


def _is_special(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    address = network.network_address
    if network.prefixlen < _NARROWEST_PREFIX_BITS[network.version] or address.is_unspecified or address.is_reserved:
        return True
    if address.is_loopback or address.is_link_local or address.is_multicast:
        return True
    return not address.is_global and not any(address in documentation for documentation in _DOCUMENTATION)
