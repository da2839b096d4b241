"""Structured DNS Errors (draft-ietf-dnsop-structured-dns-error): why a name is blocked, as I-JSON, for clients that ask."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pdns.wire import protocol as p

Errors = tuple[tuple[int, bytes], ...]  # Extended DNS Errors: info code, text

MAX_ORGANISATION_CHARACTERS = 100
MAX_CONTACTS = 3
MAX_CONTACT_CHARACTERS = 100
CONTACT_SCHEMES = ("mailto:", "tel:")  # all that the draft registers; clients ignore others
STRUCTURED_CODES = frozenset((p.EDE_BLOCKED, p.EDE_CENSORED, p.EDE_FILTERED, p.EDE_BLOCKED_UPSTREAM))
SUB_ERRORS = {"malware": 1, "c2": 1, "botnet": 1, "cryptojacking": 1, "dga": 1, "phishing": 2}  # category -> sub-error
OPERATOR_POLICY = 6  # the sub-error of all other categories; it is defined for code 15 alone
_UNKNOWN_LANGUAGE = "und"  # RFC 5646, 4.1
_NO_TEXT = b'{"j":"blocked by the upstream DNS server","l":"en"}'
_MOST_ALSO = 3


class Operator(NamedTuple):
    """Who filters, and whom to ask about it. `contact` are `mailto:` and `tel:` URIs, `language` a tag of RFC 5646."""

    organisation: str = ""
    contact: tuple[str, ...] = ()
    language: str = "en"


class StructuredText(NamedTuple):
    """What the structured errors of one kind of block have in common: the text of the Extended DNS Error stands, escaped, between
    `head` and `tail`.
    """

    head: bytes
    tail: bytes
    short: bytes  # the same without text and organisation, for small answers; b"": nothing would be left


def structured_text(operator: Operator, ede_code: int, category: str, also: Sequence[str] = ()) -> StructuredText | None:
    """Of blocks in `category` under `ede_code`, of names that the feeds `also` list too. None for a code that has no structured
    errors.
    """
    if ede_code not in STRUCTURED_CODES:
        return None
    contact = [
        one
        for one in operator.contact
        if one.startswith(CONTACT_SCHEMES) and len(one) <= MAX_CONTACT_CHARACTERS and one.isascii()
    ]
    fields: dict[str, object] = {"c": list(map(sound, contact[:MAX_CONTACTS]))} if contact else {}
    sub_error: dict[str, object] = {}
    if ede_code != p.EDE_CENSORED:
        number = SUB_ERRORS.get(category, OPERATOR_POLICY)
        sub_error = {"s": number} if number != OPERATOR_POLICY or ede_code == p.EDE_BLOCKED else {}
    organisation = sound(operator.organisation)[:MAX_ORGANISATION_CHARACTERS]
    named: dict[str, object] = {"o": organisation} if organisation else {}
    more = f"; also listed by {', '.join(also[:_MOST_ALSO])}" if also else ""
    head = _minimal({**fields, "j": ""}).removesuffix(b'"}')
    tail = b'",' + _minimal({**sub_error, **named, "l": operator.language}).removeprefix(b"{")
    short = _minimal({**fields, **sub_error})
    return StructuredText(head, more.encode() + tail, short if fields or sub_error else b"")


def structured_json(structured: StructuredText, text: bytes) -> bytes:
    """The structured error that tells `text`."""
    return structured.head + escaped(text) + structured.tail


def escaped(text: bytes) -> bytes:
    """`text`, in UTF-8 and with no character that I-JSON does not have, as it stands in a JSON string."""
    return text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def sound(text: str) -> str:
    """`text` without control characters, surrogates and noncharacters (RFC 7493, 2.1)."""
    return "".join(char for char in text if char.isprintable())


def structured_errors(errors: Errors, structured: StructuredText | None) -> Iterator[Errors]:
    """`errors` for a client that understands structured ones: in full, then shorter and shorter. `structured` is that of the
    first; others have their text alone. Such a client is never told "Forged Answer": the draft forbids it.
    """
    codes = [p.EDE_BLOCKED_UPSTREAM if code == p.EDE_FORGED else code for code, _ in errors]
    kinds = (structured, *(None for _ in errors[1:]))
    yield tuple((code, _encoded(code, text, kind)) for code, (_, text), kind in zip(codes, errors, kinds, strict=True))
    if structured is not None and structured.short:
        yield ((codes[0], structured.short),)
    yield ((codes[0], b""),)


def _encoded(code: int, text: bytes, structured: StructuredText | None) -> bytes:
    if code not in STRUCTURED_CODES:
        return text
    if structured is not None:
        return structured_json(structured, text)
    if not text:
        return _NO_TEXT
    language = _UNKNOWN_LANGUAGE if code == p.EDE_BLOCKED_UPSTREAM else "en"
    return _minimal({"j": sound(text.decode("utf-8", "ignore")), "l": language})


def _minimal(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
