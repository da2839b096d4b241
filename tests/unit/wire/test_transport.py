"""What is known of each transport."""

from __future__ import annotations

from pdns.wire.transport import Transport


def test_properties() -> None:
    """Who proves its address, what is encrypted, what runs over UDP, where it listens."""
    seen = {
        one.value: (one.is_stream, one.is_encrypted, one.is_over_udp, one.has_keepalive, one.default_port) for one in Transport
    }
    assert seen == {
        "udp": (False, False, True, False, 53),
        "tcp": (True, False, False, True, 53),
        "tls": (True, True, False, True, 853),
        "https": (True, True, False, False, 443),
        "quic": (True, True, True, False, 853),
        "h3": (True, True, True, False, 443),
    }
