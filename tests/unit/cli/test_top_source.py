"""`pdns top` reads the status page, and says what is wrong when there is not one."""

from __future__ import annotations

import msgspec
import pytest

from pdns.cli.top_source import NoStatusError, endpoint_of, read_once
from tests.unit.cli.test_live_server import OK, listening
from tests.unit.supervisor.http.livesource import a_status


def test_the_status() -> None:
    """What the server sends, as a value and as it was sent; fields of a later version are left out."""
    raw = msgspec.json.encode({**msgspec.to_builtins(a_status()), "of_a_later_version": 1})
    with listening(OK + b"\r\n" + raw) as config:
        latest = read_once(endpoint_of(config))
    assert latest.status == a_status()
    assert latest.raw == raw


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is the server running"),
        (b"", "is the server running"),
        (OK + b"\r\n<html>", "not this version of pdns"),
        (OK + b"\r\n[1]", "not this version of pdns"),
        (OK + b"\r\n\xff\xfe", "not this version of pdns"),
        (b"HTTP/1.1 404 Not Found\r\n\r\nthere is nothing at this path\n", "earlier version"),
        (b'HTTP/1.1 404 Not Found\r\n\r\nmetrics.status_page is "off"\n', 'metrics.status_page is "off"'),
        (b"HTTP/1.1 503 x\r\n\r\nthe server stops\n", "status 503: the server stops"),
    ],
)
def test_no_status(said: bytes, text: str) -> None:
    """Whatever listens there, the error says what to look at."""
    with listening(said) as config, pytest.raises(NoStatusError, match=text):
        read_once(endpoint_of(config))


def test_an_answer_without_an_end_is_given_up() -> None:
    """Also when each byte comes soon enough."""
    with listening(OK + b"\r\n", drip=b" ") as config, pytest.raises(NoStatusError, match="no answer within 1 s"):
        read_once(endpoint_of(config), 1.0)


def test_nothing_listens() -> None:
    """The address is in the error."""
    with listening(b"") as config:
        where = endpoint_of(config)
    with pytest.raises(NoStatusError, match=f"127.0.0.1:{where.port}.*refused"):
        read_once(where)
