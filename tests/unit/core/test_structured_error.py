"""Structured DNS Errors: which client gets what, byte for byte, from the specification and from the kernels."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.policy_schema import PolicySection
from pdns.config.schema import Block, Config, Upstream
from pdns.core.block_answer import BlockAnswers, fill
from pdns.core.entry import Entry
from pdns.core.policy import Policy
from pdns.core.structured_error import Operator, structured_text
from pdns.fast.query import parse_query as fast_parse_query
from pdns.reference.query import parse_query
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from pdns.wire.names import from_text, to_text

_OWN = ("organisation", "contact", "language")
_OPERATOR = {"organisation": "Leeds City Council", "contact": ["mailto:it@leeds.example", "tel:+441130000000"]}
_FULL = (
    b'{"c":["mailto:it@leeds.example","tel:+441130000000"],"j":"malware: malware.test is listed by urlhaus (case YC6Y-AQ3M)",'
    b'"s":1,"o":"Leeds City Council","l":"en"}'
)
_SHORT = b'{"c":["mailto:it@leeds.example","tel:+441130000000"],"s":1}'
_PLAIN = b"malware: malware.test is listed by urlhaus (case YC6Y-AQ3M)"


def asked(name: str, options: bytes | None, *, udp_bytes: int = 1232, do: bool = False) -> bytes:
    """A query for A with an OPT record that holds `options`, or without one."""
    head = b"\x12\x34\1\0\0\1\0\0\0\0" + (b"\0\0" if options is None else b"\0\1")
    question = from_text(name) + b"\0\1\0\1"
    if options is None:
        return head + question
    opt = b"\0\0\x29" + udp_bytes.to_bytes(2) + b"\0\0" + (b"\x80\0" if do else b"\0\0")
    return head + question + opt + len(options).to_bytes(2) + options


def block_answers(block: dict[str, Any]) -> BlockAnswers:
    """Of the default policy, with these settings of it and of `[block]`."""
    own = msgspec.convert({"name": "default", **{key: block[key] for key in _OWN if key in block}}, PolicySection)
    others = msgspec.convert({key: value for key, value in block.items() if key not in _OWN}, Block)
    return BlockAnswers(Policy(Config(upstream=Upstream(servers=("192.0.2.1",)), block=others, policy=(own,))))


def blocked(
    name: str = "malware.test", block: dict[str, Any] | None = None, *, feed: str = "urlhaus", category: str = "malware",
    also: tuple[str, ...] = (), reason: str = "",
) -> Entry:  # fmt: skip
    """The entry of a block under the name itself."""
    template = block_answers({**_OPERATOR, **(block or {})}).template(0, feed, category, also, (), 1, reason)
    return fill(template, from_text(name), from_text(name), 1000.0, 0)


def errors(wire: bytes) -> list[tuple[int, bytes]]:
    """The Extended DNS Errors of an answer."""
    return [(int.from_bytes(data[:2]), data[2:]) for code, data in parse_message(wire).options if code == p.EDNS_OPTION_EDE]


COOKIE, PADDING, NSID, SUBNET = b"\0\x0a\0\x08abcdefgh", b"\0\x0c\0\4\0\0\0\0", b"\0\3\0\0", b"\0\x08\0\4\0\1\0\0"
STRUCTURED = b"\0\x1a\0\0"
TABLE: list[tuple[bytes | None, list[tuple[int, bytes]]]] = [  # options of the client (None: no EDNS), errors in the answer
    (None, []),
    (b"", [(15, _PLAIN)]),
    (STRUCTURED, [(15, _FULL)]),
    (b"\0\x1a\0\3abc", [(15, _FULL)]),  # the draft: data is ignored in silence, the option counts
    (STRUCTURED + STRUCTURED, [(15, _FULL)]),
    (COOKIE, [(15, _PLAIN)]),
    (COOKIE + STRUCTURED, [(15, _FULL)]),
    (STRUCTURED + COOKIE, [(15, _FULL)]),
    (NSID, [(15, _PLAIN)]),
    (STRUCTURED + NSID, [(15, _FULL)]),
    (PADDING, [(15, _PLAIN)]),
    (PADDING + STRUCTURED, [(15, _FULL)]),
    (SUBNET + STRUCTURED, [(15, _FULL)]),
    (b"\0\x0f\0\2\0\x0f", [(15, _PLAIN)]),  # an EDE in a query (RFC 8914 says nothing of it)
    (b"\x1a\0\0\0", [(15, _PLAIN)]),  # option 6656
]


@pytest.mark.parametrize("parse", [parse_query, fast_parse_query])
@pytest.mark.parametrize("do", [False, True])
@pytest.mark.parametrize(("options", "told"), TABLE)
def test_what_each_client_is_told(parse: Any, options: bytes | None, told: list[tuple[int, bytes]], *, do: bool) -> None:
    """By the options of its query, in whichever order; DO changes nothing."""
    query = parse(asked("malware.test", options, do=do))
    wire = blocked().render(query, 1000.0, 1232)
    assert errors(wire) == told
    assert parse_message(wire).rcode == p.NOERROR


@pytest.mark.parametrize(
    ("room", "told"),
    [(0, [(15, _FULL)]), (-1, [(15, _SHORT)]), (len(_SHORT) - len(_FULL), [(15, _SHORT)]),
     (len(_SHORT) - len(_FULL) - 1, [(15, b"")]), (-len(_FULL), [(15, b"")]), (-len(_FULL) - 1, []), (-len(_FULL) - 6, [])],
)  # fmt: skip
def test_what_does_not_fit_is_left_out_whole(room: int, told: list[tuple[int, bytes]]) -> None:
    """First text and organisation, then all of the text, then the error; TC is not set for that. Nothing is cut."""
    query = parse_query(asked("malware.test", STRUCTURED))
    size = len(blocked().render(query, 1000.0, 65535))
    wire = blocked().render(query, 1000.0, size + room)
    assert len(wire) <= size + room
    assert (errors(wire), parse_message(wire).flags & p.TC) == (told, 0)


def test_an_answer_that_does_not_fit_is_truncated() -> None:
    """Without any error: TC and an empty answer."""
    query = parse_query(asked("malware.test", STRUCTURED))
    wire = blocked().render(query, 1000.0, len(query.question) + 12 + 11)
    assert (errors(wire), parse_message(wire).flags & p.TC, len(parse_message(wire).answer)) == ([], p.TC, 0)


@pytest.mark.parametrize(
    ("block", "category", "expected"),
    [
        ({"ede_code": 17}, "phishing", (17, {"s": 2})),
        ({"ede_code": 16}, "phishing", (16, {})),  # the draft defines no sub-error for Censored
        ({}, "ads", (15, {"s": 6})),
        ({"ede_code": 17}, "ads", (17, {})),  # an operator's policy is a sub-error of Blocked alone
        ({}, "c2", (15, {"s": 1})),
    ],
)
def test_sub_errors(block: dict[str, Any], category: str, expected: tuple[int, dict[str, int]]) -> None:
    """Only where the draft's registry has one for the category and the code."""
    wire = blocked(block=block, category=category).render(parse_query(asked("malware.test", STRUCTURED)), 1000.0, 1232)
    [(code, text)] = errors(wire)
    assert (code, {key: value for key, value in json.loads(text).items() if key == "s"}) == expected


def test_prohibited_has_no_structured_errors() -> None:
    """Clients discard structured text behind any other code, so that it gets the text."""
    wire = blocked(block={"ede_code": 18}).render(parse_query(asked("malware.test", STRUCTURED)), 1000.0, 1232)
    assert errors(wire) == [(18, _PLAIN)]


def test_other_feeds_are_told() -> None:
    """All causes stand in the justification."""
    [(_, text)] = errors(
        blocked(also=("threatfox", "a", "b", "c")).render(parse_query(asked("malware.test", STRUCTURED)), 1000.0, 1232)
    )
    assert json.loads(text)["j"] == _PLAIN.decode() + "; also listed by threatfox, a, b"


def test_without_an_operator_there_is_still_a_reason() -> None:
    """Nothing is configured: text, sub-error and language."""
    entry = blocked(block={"organisation": "", "contact": []})
    [(_, text)] = errors(entry.render(parse_query(asked("malware.test", STRUCTURED)), 1000.0, 1232))
    assert text == b'{"j":"' + _PLAIN + b'","s":1,"l":"en"}'


@pytest.mark.parametrize(
    ("ede", "more", "told"),
    [
        ((35, b"by us \xc3\xa9"), (), [(35, '{"j":"by us \u00e9","l":"und"}'.encode())]),
        ((35, b""), (), [(35, b'{"j":"blocked by the upstream DNS server","l":"en"}')]),
        ((35, b'"\\"'), (), [(35, b'{"j":"\\"\\\\\\"","l":"und"}')]),
        ((22, b"no route"), ((35, b"x"),), [(22, b"no route"), (35, b'{"j":"x","l":"und"}')]),
        ((4, b"forged"), (), [(35, b'{"j":"forged","l":"und"}')]),
        ((4, b""), ((4, b""),), [(35, b'{"j":"blocked by the upstream DNS server","l":"en"}')] * 2),
        ((6, b"bogus"), (), [(6, b"bogus")]),
        ((15, b"rebinding protection"), (), [(15, b'{"j":"rebinding protection","l":"en"}')]),
    ],
)
def test_errors_that_are_not_of_a_list(ede: tuple[int, bytes], more: Any, told: list[tuple[int, bytes]]) -> None:
    """Those of upstreams and of the protection from rebinding are structured as well; Forged Answer is never told."""
    entry = Entry(p.NXDOMAIN, "upstream", 1000.0, 60, ede=ede, more_ede=more)
    assert errors(entry.render(parse_query(asked("x.test", STRUCTURED)), 1000.0, 1232)) == told
    assert errors(entry.render(parse_query(asked("x.test", b"")), 1000.0, 1232)) == [ede, *more]


def strict(raw: bytes) -> dict[str, Any]:
    """An I-JSON object (RFC 7493): UTF-8, no name twice, no surrogate or noncharacter, in the shortest spelling."""
    text = raw.decode("utf-8")
    pairs: list[tuple[str, Any]] = json.loads(text, object_pairs_hook=list)
    fields = dict(pairs)
    assert len(fields) == len(pairs)
    assert json.dumps(fields, ensure_ascii=False, separators=(",", ":")) == text
    for char in text:
        assert not 0xD800 <= ord(char) <= 0xDFFF
        assert ord(char) & 0xFFFE != 0xFFFE
        assert not 0xFDD0 <= ord(char) <= 0xFDEF
    return fields


LABELS = st.binary(min_size=1, max_size=63)
NAMES = st.lists(LABELS, min_size=1, max_size=4).filter(lambda labels: sum(map(len, labels)) + len(labels) < 255)
TEXTS = st.text(max_size=120)
CONTACTS = st.lists(st.sampled_from(["mailto:a@b.example", 'mailto:"x\\y"@b.example', "https://x", "tel:1"]), max_size=4)


@given(
    NAMES, TEXTS, TEXTS, CONTACTS,
    st.sampled_from([15, 16, 17]), st.sampled_from(["malware", "ads", "phishing"]), st.integers(50, 2000), st.integers(0, 3),
)  # fmt: skip
def test_it_is_always_strict_json_and_never_too_long(
    labels: list[bytes], organisation: str, reason: str, contact: list[str], code: int, category: str, room: int, others: int
) -> None:
    """Whatever the name, the reason, the organisation and the size."""
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    config = {"organisation": organisation, "contact": contact, "ede_code": code}
    template = block_answers(config).template(0, "urlhaus", category, ("a", "b")[:others], (), 1, reason)
    entry = fill(template, name.lower(), name.lower(), 1000.0, 0)
    query = parse_query(b"\x12\x34\1\0\0\1\0\0\0\0\0\1" + name + b"\0\1\0\1" + b"\0\0\x29\xff\xff\0\0\0\0\0\4" + STRUCTURED)
    wire = entry.render(query, 1000.0, room)
    assert len(wire) <= max(room, 12 + len(name) + 4 + 11)
    for told, text in errors(wire):
        assert told == code
        if text:
            fields = strict(text)
            assert {"c", "j", "s"} & set(fields)
            assert ("l" in fields) == bool({"j", "o"} & set(fields))
            assert all(fields[key] not in ("", []) for key in fields)
            if "j" in fields:
                assert list(fields) == [key for key in "cjsol" if key in fields]


@pytest.mark.parametrize("label", [b'"', b"\\", b'a"\\b', b"\0\x7f\xff", b'\\"' * 31])
def test_names_are_escaped_twice(label: bytes) -> None:
    """In presentation format, and that in JSON."""
    name = bytes((len(label),)) + label + b"\0"
    template = block_answers({}).template(0, "urlhaus", "malware", (), (), 1, 'he said "no" \\')
    query = parse_query(asked("malware.test", STRUCTURED))
    [(_, text)] = errors(fill(template, name, name, 1000.0, 0).render(query, 1000.0, 65535))
    assert strict(text)["j"].startswith('malware: he said "no" \\ (' + to_text(name)[:40])


@pytest.mark.parametrize("organisation", ["\\u0000", '","j":"', "\\", '"}', "}" * 100])
def test_an_organisation_that_looks_like_json(organisation: str) -> None:
    """It is told as it is written; the configuration accepts it, and so does the program."""
    template = block_answers({"organisation": organisation}).template(0, "urlhaus", "malware", (), (), 1, "")
    query = parse_query(asked("malware.test", STRUCTURED))
    [(_, text)] = errors(
        fill(template, from_text("malware.test"), from_text("malware.test"), 1000.0, 0).render(query, 1000.0, 65535)
    )
    assert strict(text)["o"] == organisation


def test_contacts_that_clients_ignore_are_not_sent() -> None:
    """Only the schemes of the draft's registry."""
    made = structured_text(Operator("", ("https://x.example", "mailto:\u00e9@x.example", "tel:1"), "en"), 15, "malware")
    assert made is not None
    assert made.head.startswith(b'{"c":["tel:1"],"j":"')


def test_the_default_block_lives_as_the_draft_says() -> None:
    """Between 10 and 60 seconds."""
    assert 10 <= Block().ttl_s <= 60
