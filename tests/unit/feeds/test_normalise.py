"""Tokens of lists: each is a name, an address, or has a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.normalise import NameEntry, NetworkEntry, Reason, plain_key, read_entry
from pdns.wire.names import from_labels, from_reversed_key, from_text, labels_of, reversed_key

A_LABEL = "a" * 63


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("evil.test", "evil.test"),
        ("EVIL.Test", "evil.test"),
        ("evil.test.", "evil.test"),
        (".evil.test", "evil.test"),
        ("_dmarc.evil.test", "_dmarc.evil.test"),
        ("-odd-.evil.test", "-odd-.evil.test"),
        ("xn--bcher-kva.test", "xn--bcher-kva.test"),
        ("xn--a.test", "xn--a.test"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("BÜCHER.test", "xn--bcher-kva.test"),
        ("b\u0075\u0308cher.test", "xn--bcher-kva.test"),
        ("support¬forum.test", "xn--supportforum-tqa.test"),
        ("i❤.test", "xn--i-7iq.test"),
        ("I❤NY.test", "xn--iny-4r6a.test"),
        ("a\u00d7b.test", "xn--ab-rha.test"),
        ("faß.test", "xn--fa-hia.test"),
        ("_x.bücher.test", "_x.xn--bcher-kva.test"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("evil[.]test", "evil.test"),
        ("www(.)evil[.]test", "www.evil.test"),
        ("evil[dot]test", "evil.test"),
        ("1.2.3.4.5", "1.2.3.4.5"),
        ("evil.123", "evil.123"),
        ("1.evil", "1.evil"),
        (f"{A_LABEL}.{A_LABEL}.{A_LABEL}.{'a' * 61}", f"{A_LABEL}.{A_LABEL}.{A_LABEL}.{'a' * 61}"),
    ],
)
def test_names(token: str, name: str) -> None:
    """Case, dots at either end, U-labels, underscores and defanged dots all end in the one name that is meant."""
    assert read_entry(token.encode()) == NameEntry(reversed_key(from_text(name)), below=False)
    if not token.startswith("."):
        assert read_entry(b"*." + token.encode()) in (NameEntry(reversed_key(from_text(name)), below=True), Reason.NAME_TOO_LONG)


@pytest.mark.parametrize(
    ("token", "key", "reason", "special"),
    [
        ("8.8.8.8", bytes((8, 8, 8, 8, 32)), Reason.ADDRESS, False),
        ("192.0.2.1", bytes((192, 0, 2, 1, 32)), Reason.ADDRESS, False),
        ("8.8.8.8.", bytes((8, 8, 8, 8, 32)), Reason.ADDRESS, False),
        ("::ffff:8.8.8.8", bytes((8, 8, 8, 8, 32)), Reason.ADDRESS, False),
        ("2001:DB8::1", bytes.fromhex("20010db8000000000000000000000001 80"), Reason.ADDRESS, False),
        ("[2001:db8::1]", bytes.fromhex("20010db8000000000000000000000001 80"), Reason.ADDRESS, False),
        ("8.8.8.0/24", bytes((8, 8, 8, 0, 24)), Reason.NETWORK, False),
        ("8.8.8.9/24", bytes((8, 8, 8, 0, 24)), Reason.NETWORK, False),
        ("8.8.8.0/255.255.255.0", bytes((8, 8, 8, 0, 24)), Reason.NETWORK, False),
        ("2001:db8::/32", bytes.fromhex("20010db8000000000000000000000000 20"), Reason.NETWORK, False),
        ("::ffff:8.8.8.0/120", bytes((8, 8, 8, 0, 24)), Reason.NETWORK, False),
        ("0.0.0.0", bytes((0, 0, 0, 0, 32)), Reason.ADDRESS, True),
        ("127.0.0.1", bytes((127, 0, 0, 1, 32)), Reason.ADDRESS, True),
        ("10.1.2.3", bytes((10, 1, 2, 3, 32)), Reason.ADDRESS, True),
        ("100.64.0.1", bytes((100, 64, 0, 1, 32)), Reason.ADDRESS, True),
        ("224.0.0.1", bytes((224, 0, 0, 1, 32)), Reason.ADDRESS, True),
        ("255.255.255.255", bytes((255, 255, 255, 255, 32)), Reason.ADDRESS, True),
        ("8.0.0.0/7", bytes((8, 0, 0, 0, 7)), Reason.NETWORK, True),
        ("0.0.0.0/0", bytes((0, 0, 0, 0, 0)), Reason.NETWORK, True),
        ("2001::/15", bytes.fromhex("20000000000000000000000000000000 0f"), Reason.NETWORK, True),
        ("::1", bytes(15) + b"\x01\x80", Reason.ADDRESS, True),
        ("fe80::1%eth0", bytes.fromhex("fe800000000000000000000000000001 80"), Reason.ADDRESS, True),
    ],
)
def test_addresses(token: str, key: bytes, reason: Reason, *, special: bool) -> None:
    """Addresses and networks are read in their usual notations, and special ones are marked."""
    assert read_entry(token.encode()) == NetworkEntry(key, reason, special)


REASONS = {
    Reason.ADDRESS: ["*.8.8.8.8", "0300.0250.0.1", "0x7f000001", "0x7f.1", "2130706433", "127.1", "300.1.1.1", "dead:beef:1"],
    Reason.NETWORK: ["8.8.8.*", "8.8.*.*", "8.8.8.1-8.8.8.9", "8.8.8.8/33", "*.8.8.8.0/24"],
    Reason.PORT: ["evil.test:443", "8.8.8.8:80", "[2001:db8::1]:80"],
    Reason.URL: [
        "http://evil.test",
        "https://evil.test/",
        "hxxp://evil[.]test/",
        "evil.test/",
        "http://8.8.8.8",
        "ftp://x.test:21/",
    ],
    Reason.URL_WITH_PATH: [
        *(
            "http://evil.test/x",
            "https://evil.test:8443/x.exe",
            "http://evil.test?x",
            "http://bücher.test/x",
            "http://evil.test//x",
        ),
        *("evil.test/x", "8.8.8.8/x.exe", "evil.test:80/x", "evil.test/?a=[]", "*.evil.test/x"),
    ],
    Reason.PATH: ["/x.php", "/a/b/", "/", "/((l))/ld.php", "//"],
    Reason.EMAIL: ["someone@evil.test", "a.b+c@evil.test"],
    Reason.REGEX: [
        *(r"\.evil\.test$", "^evil[0-9]", "/ad[sx]/", "(a|b).test", "a|b.test", r"evil\.test", "evil[0-9].test", "a{2}.test"),
    ],
    Reason.PATTERN: ["*", "ads*.evil.test", "*evil.test", "evil.*", "*.*.evil.test", "*.*", "e*v?l.test"],
    Reason.SINGLE_LABEL: ["com", ".com", "*.com", "com.", "phishing", "xn--p1ai", "москва"],
    Reason.LOCAL_NAME: ["localhost", "LocalHost.", "localhost.localdomain", "ip6-allnodes", "broadcasthost", "local"],
    Reason.EMPTY_LABEL: ["", ".", "..", "*.", "a..test", "..evil.test", "evil.test..", "*..evil.test"],
    Reason.LABEL_TOO_LONG: ["a" * 64 + ".test", "a" * 74 + ".onion"],
    Reason.NAME_TOO_LONG: [
        *(".".join(["a" * 60] * 5), ".".join("a" * 130), "a" * 300 + "ü.test", f"{A_LABEL}.{A_LABEL}.{A_LABEL}.{'a' * 62}"),
    ],
    Reason.BAD_CHARACTERS: [
        *("$0", "$0/", "a,b.test", '"evil.test",', "evil.test;", "a=b.test", "evil!.test", "{", "]", "-->", "a b.test"),
        *("a\x01.test", "$TTL"),
    ],
    Reason.BAD_IDN: ["xn--ü.test", "a…b.test", "℀x❤.test", "❤\u200d.test", "-❤.test", "ab--❤.test", "1א❤.test", "\u0300❤.test"],
    Reason.UNSUPPORTED_RULE: ["||evil.test^", "@@||evil.test^", "|http://evil.test"],
    Reason.MARKUP: ["<html>", "<p>evil.test</p>"],
}


@pytest.mark.parametrize("reason", REASONS)
def test_reasons(reason: Reason) -> None:
    """What is not clearly a whole domain is counted by what it is, and never listed."""
    found = {token: read_entry(token.encode()) for token in REASONS[reason]}
    assert {token: entry for token, entry in found.items() if entry is not reason} == {}


def test_full_width_digits() -> None:
    """An address in full-width digits is an address, as browsers take it."""
    assert read_entry("\uff18.\uff18.\uff18.\uff18".encode()) == NetworkEntry(
        bytes((8, 8, 8, 8, 32)), Reason.ADDRESS, special=False
    )


@pytest.mark.parametrize("token", [b"\xff.test", b"evil\xc3.test", b"evil\0.test", "evil.test".encode("utf-16")])
def test_not_text(token: bytes) -> None:
    """NUL and what is not UTF-8 is no text."""
    assert read_entry(token) is Reason.NOT_TEXT


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_token(token: bytes) -> None:
    """Any token has an answer, and a name that comes out is one of plain characters with two labels or more."""
    entry = read_entry(token)
    if isinstance(entry, NameEntry):
        name = from_reversed_key(entry.key)
        labels = labels_of(name)
        assert from_labels(labels) == name
        assert len(labels) > 1
        assert set(b"".join(labels)) <= set(b"abcdefghijklmnopqrstuvwxyz0123456789-_")


@given(
    st.from_regex(r"[a-z0-9_.-]{1,80}", fullmatch=True) | st.from_regex(r"([a-z0-9]{1,3}\.){1,6}[a-z0-9]{1,3}", fullmatch=True)
)
def test_short_cut(token: str) -> None:
    """The quick way to a key gives what the careful one gives, or leaves it to it."""
    if (key := plain_key(token.encode())) is not None:
        assert read_entry(token.encode()) == NameEntry(key, below=False)
