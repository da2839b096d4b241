"""What is said of a file that is not TOML: the mistake in the words of the person who made it."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.syntax import explain

QUOTE = "the quote that begins here is not closed"
BACKSLASH = r"a backslash inside double quotes must be written twice (\\); inside single quotes, once"
SEVERAL = "several values need square brackets: write [ before the first and ] after the last"
LINES = "expected a key with a value (key = value), a heading such as [server], or a comment that begins with #"
ONCE = "put all its keys under one heading"
HEADING = "a heading is [name], or [[name]] for one of several, and stands alone on its line"


def explained(text: str) -> str:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    return explain(str(caught.value), text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # quotes
        ('[server]\nlisten = ["127.0.0.1:53]\n', f"line 2: {QUOTE} (column 11)"),
        ('a = "x\nb = 1\n', f"line 1: {QUOTE} (column 5)"),
        ("a = 'x\nb = 1\nc = 2\n", f"line 1: {QUOTE} (column 5)"),
        ("a = 1\nb = 'x\nc = 'y'\n", f"line 2: {QUOTE} (column 5)"),
        ('a = """x\n\nb = 1\n', f"line 1: {QUOTE} (column 5)"),
        ('a = "x""\n', f"line 1: {QUOTE} (column 8)"),
        ("a = 'it's'\n", f"line 1: {QUOTE} (column 10)"),
        ("a = it's\n", 'line 1: text must be in quotes: write "it\'s" (column 5)'),
        ('# it\'s fine\r\na = "don\'t"\r\nb = "x\r\n', f"line 3: {QUOTE} (column 5)"),
        ("a = \u201cx\u201d\n", 'line 1: \u201c is not a quote here: write "x" (column 5)'),
        ("a = [\u2018x\u2019, \u2018y\u2019]\n", 'line 1: \u2018 is not a quote here: write "x" (column 6)'),
        ('a = "x\u201d\n', f'line 1: {QUOTE}: \u201d does not close it, write " (column 5)'),
        ('a = "C:\\lists"\n', f"line 1: {BACKSLASH} (column 10)"),
        # values
        ("servers = [9.9.9.9]\n", 'line 1: text must be in quotes: write "9.9.9.9" (column 12)'),
        ('servers = [\n  "9.9.9.9",\n  2001:db8::1,\n]\n', 'line 3: text must be in quotes: write "2001:db8::1" (column 3)'),
        ("listen = 127.0.0.1:53 # all\n", 'line 1: text must be in quotes: write "127.0.0.1:53" (column 10)'),
        ("allow = [*.gov.uk]\n", 'line 1: text must be in quotes: write "*.gov.uk" (column 10)'),
        ('a = x"\n', 'line 1: text must be in quotes: write "x" (column 5)'),
        (
            "url = https://u:hunter2@a.example/?key=hunter2\n",
            'line 1: text must be in quotes: write "https://***@a.example/?***" (column 7)',
        ),
        ("a = Yes\n", "line 1: write true instead of Yes (column 5)"),
        ("a = False\n", "line 1: write false instead of False (column 5)"),
        ("a = null\n", "line 1: TOML has no null: leave the key out (column 5)"),
        ("a = 30s\n", "line 1: a number has no unit: write 30 instead of 30s (column 5)"),
        ("a = 50 %\n", "line 1: a number has no unit: write 50 instead of 50 % (column 5)"),
        ("a = 01\n", "line 1: a number does not begin with 0: write 1 (column 5)"),
        ("a = .5\n", "line 1: .5 is not a number: write digits, with at most one dot between them (column 5)"),
        ("a =\n", "line 1: a value is missing after = (column 4)"),
        ("a = [1,, 2]\n", "line 1: a value is missing here (column 8)"),
        ("a == 1\n", "line 1: write = once (column 4)"),
        ('a = "x",\n', "line 1: a line must not end with a comma: remove it (column 8)"),
        ("a = 1;\n", "line 1: a line must not end with ; outside brackets: remove it (column 6)"),
        ('a = "x", "y"\n', f"line 1: {SEVERAL} (column 5)"),
        ('a = "x" y\n', "line 1: nothing may follow the closing quote but a comment: y (column 9)"),
        ("a = [1]]\n", "line 1: nothing but a comment may follow here: ] (column 8)"),
        # brackets
        ('servers = ["9.9.9.9"\nx = 1\n', "line 1: the [ that begins here is not closed (column 11)"),
        ('a = [\n  "x",\n  "y"\n\n[server]\nb = 1\n', "line 1: the [ that begins here is not closed (column 5)"),
        ("a = [1,\n", "line 1: the [ that begins here is not closed (column 5)"),
        ("a = {b = 1\n}\n", "line 1: the { that begins here is not closed (column 5)"),
        ('a = ["x" "y"]\n', 'line 1: a comma is missing before "y" (column 10)'),
        ('a = [\n  "x"\n  "y",\n]\n', 'line 3: a comma is missing before "y" (column 3)'),
        ('a = {b = "x", }\n', "line 1: a comma must not stand before }: remove it (column 15)"),
        ("[server\na = 1\n", "line 1: the heading is not closed: write [server] (column 1)"),
        ("[[feed]]\na = 1\n[[feed]\n", "line 3: the heading is not closed: write [[feed]] (column 1)"),
        ("[feed\n", "line 1: the heading is not closed: write [[feed]] (column 1)"),
        ("[a b]\n", f"line 1: {HEADING} (column 4)"),
        ("[]\n", f"line 1: {HEADING} (column 2)"),
        ("[x] y = 1\n", f"line 1: {HEADING} (column 5)"),
        # keys
        ('name "x"\n', 'line 1: = is missing after "name" (column 6)'),
        ('name: "x"\n', 'line 1: write = after "name", not ":" (column 5)'),
        ("key name = 1\n", "line 1: a key has no spaces: key name (column 5)"),
        ("a\u00a0= 1\n", "line 1: an invisible character (U+00A0): replace it by a space, or remove it (column 2)"),
        ("// x\n", "line 1: a comment begins with # (column 1)"),
        ('{ "a": 1 }\n', f"line 1: {LINES} (column 1)"),
        ("[s]\na = 1\n\na = 2\n", 'line 4: "a" is set twice in this section: line 2 sets it already (column 6)'),
        ("[s]\na = 1\n[t]\n[s]\n", f"line 4: [s] appears twice, first in line 1: {ONCE} (column 3)"),
        (
            "[feed]\n[[feed]]\n",
            "line 2: [feed] appears twice, first in line 1: write [[feed]] each time (column 7)",
        ),
        ("a.b = 1\na = 2\n", "line 2: a key above has set this already (column 6)"),
    ],
)
def test_what_is_said(text: str, expected: str) -> None:
    """The line where the mistake is, not where the parser noticed, with what to write instead, and without passwords."""
    assert explained(text) == expected


@given(st.text(alphabet="a\"'[]{}=,#\n\\ \u201c1.:\t\r\u00a0", max_size=40))
def test_anything(text: str) -> None:
    """Whatever is wrong, one line comes of it, which begins with the number of a line that is there."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = explain(str(error), text)
        assert len(said.splitlines()) == 1
        assert 1 <= int(said.removeprefix("line ").partition(":")[0]) <= text.count("\n") + 1
