"""Which addresses the machine has."""

from __future__ import annotations

import logging

import pytest

from pdns.config.addresses import Endpoint
from pdns.net.sockets import has_address
from pdns.supervisor.listen_addresses import ListenAddresses


@pytest.mark.parametrize(
    ("host", "present"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("0.0.0.0", True),
        ("203.0.113.1", False),
        ("2001:db8::1", False),
        ("::", True),
        ("fe80::1%nosuch9", False),
    ],
)
def test_what_is_present(host: str, present: bool) -> None:
    """All of 127.0.0.0/8, and wildcards."""
    assert has_address(host, if_unknown=True) is present
    assert has_address(host, if_unknown=False) is present


def test_what_comes_and_goes_is_said_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line when it is missed, a line when it comes; nothing of those that were always there."""
    addresses = ListenAddresses(lambda: [Endpoint("127.0.0.1", 53), Endpoint("203.0.113.1", 53)])
    with caplog.at_level(logging.INFO):
        addresses.look()
        addresses.look()
        assert addresses.absent == ["203.0.113.1:53: no interface has this address"]
        monkeypatch.setattr("pdns.supervisor.listen_addresses.has_address", lambda _, **__: True)
        addresses.look()
        addresses.look()
    assert addresses.absent == []
    assert caplog.messages == [
        "203.0.113.1:53: no interface has this address; clients reach it once one has",
        "203.0.113.1:53: an interface has this address now",
    ]
