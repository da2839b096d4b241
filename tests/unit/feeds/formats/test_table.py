"""CSV: which column has the names, and which rows are refused."""

from __future__ import annotations

import pytest

from pdns.errors import FeedError
from tests.unit.feeds.reading import names, odd, read


@pytest.mark.parametrize("column", ["2", "domain", "DOMAIN"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["", "BOM"])
def test_csv_column_by_name_or_number(column: str, end: str, bom: str) -> None:
    """The column is found by its name, in any case, or by its number, whatever the line ends, behind a byte order mark."""
    parsed = read(bom + end.join(["Domain,x", "one.test,1", "TWO[.]test,2"]), "csv", column=column if column != "2" else "1")
    assert names(parsed) == {"one.test": "subtree", "two.test": "subtree"}
    assert odd(parsed) in ({}, {"single_label": 1})


def test_csv_header_in_a_comment() -> None:
    """The header may be the last comment before the first row; a comment that only mentions the column is not a header."""
    assert names(read("# domain of the week\n#ip,domain\n192.0.2.1,one.test\n", "csv", column="domain")) == {
        "one.test": "subtree"
    }
    assert names(read("# Domain, Path\nip,domain\n192.0.2.1,one.test\n", "csv", column="domain")) == {"one.test": "subtree"}


@pytest.mark.parametrize(
    ("content", "column", "reason"),
    [
        ("ip,host\n1,one.test\n", "domain", 'no column "domain"; the first row is: ip, host; set column'),
        ("ip,host\n1,one.test\n", "", "not clear which column has the names; the first row is: ip, host; set column"),
        ("domain,fqdn\none.test,two.test\n", "", "not clear which column"),
        ("domain,url\none.test,http://one.test/x\n", "", "not clear which column"),
    ],
)
def test_csv_without_its_column(content: str, column: str, reason: str) -> None:
    """Without the column a table is refused, telling what it has; none is guessed of two, nor where it is a part of a URL."""
    with pytest.raises(FeedError, match="line 1") as caught:
        read(content, "csv", column=column)
    assert caught.value.reason.startswith(reason)


def test_csv_that_grows_a_column_less() -> None:
    """Only rows that end before the column are skipped; a quote that is never closed swallows no other row."""
    rows = "".join(f"x,name-{number}.test\n" for number in range(100))
    for end in ("", 'end"\n'):
        parsed = read('a,domain\nshort\n"x,quoted.test\n' + rows + end, "csv", column="domain")
        assert len(parsed.names) == 100
        assert parsed.odd["bad_entry"].examples[:2] == ["line 2: short", 'line 3: "x,quoted.test']
        assert odd(parsed) == {"bad_entry": 3 if end else 2}
