"""hosts(5): every name is used, and every line that is not valid is named."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.hosts_file import BadLine, Host, read_hosts
from pdns.wire import names


def test_lines() -> None:
    """Addresses of both families, aliases, comments, blanks, line ends of Windows, a byte order mark, international names."""
    content = (
        "\ufeff# comment\n10.0.0.5\tPC.Corp.Example pc # my own\r\n\n  2001:DB8::1  b\u00fccher.example.\n10.0.0.6 x".encode()
    )
    assert list(read_hosts(content)) == [
        Host(2, bytes([10, 0, 0, 5]), names.from_text("pc.corp.example"), True),
        Host(2, bytes([10, 0, 0, 5]), names.from_text("pc"), False),
        Host(4, socket.inet_pton(socket.AF_INET6, "2001:db8::1"), names.from_text("xn--bcher-kva.example"), True),
        Host(5, bytes([10, 0, 0, 6]), names.from_text("x"), True),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"<html>", "expected an address"),
        (b"10.0.0.256 x", "expected an address"),
        (b"10.0.0.05 x", "expected an address"),
        (b"10.0.0.0/8 x", "expected an address"),
        (b"fe80::1%lo0 localhost", "an address with an interface"),
        (b"10.0.0.1", "no name after"),
        (b"10.0.0.1 a..b", "empty label"),
        (b"10.0.0.1 " + b"a" * 64, "label over 63 bytes"),
        (b"10.0.0.1 " + b".".join([b"a" * 60] * 5), "name over 255 bytes"),
        (b"10.0.0.1 10.0.0.2", "an address where a name is expected"),
        (b"10.0.0.1 a,b", "not a host name"),
        (b"10.0.0.1 *.example", "not a host name"),
        (b"10.0.0.1 \\097", "not a host name"),
        (b"10.0.0.1 .", "not a host name"),
        (b"10.0.0.1 \xff", "not UTF-8"),
        (b"\xff 10.0.0.1", "expected an address"),
        (b"10.0.0.1\0x", "expected an address"),
    ],
)
def test_what_is_wrong(line: bytes, reason: str) -> None:
    """Each is named with its line; the lines around it are used."""
    before, bad, after = read_hosts(b"10.0.0.1 before\n" + line + b"\n10.0.0.2 after\n")
    assert isinstance(before, Host)
    assert isinstance(after, Host)
    assert isinstance(bad, BadLine)
    assert bad.line == 2
    assert reason in bad.reason
    assert bad.reason.isprintable()


def test_other_names_of_a_line_are_used() -> None:
    """A name that is not valid costs only itself."""
    assert [type(one) for one in read_hosts(b"10.0.0.1 a a,b c")] == [Host, BadLine, Host]


def test_localhost_is_left_out() -> None:
    """Every hosts file has it, and it keeps its own addresses."""
    found = list(read_hosts(b"127.0.0.1 localhost x.localhost pc\n::1 localhost\n"))
    assert [one.name for one in found if isinstance(one, Host)] == [names.from_text("pc")]
    assert len(found) == 1


@given(st.binary(max_size=200) | st.text(".:\n \t#abf0123456789%*\\", max_size=200).map(str.encode))
def test_any_content(content: bytes) -> None:
    """Nothing else comes out, in the order of the lines."""
    lines = [one.line for one in read_hosts(content)]
    assert lines == sorted(lines)
    assert all(1 <= line <= content.count(b"\n") + 1 for line in lines)
