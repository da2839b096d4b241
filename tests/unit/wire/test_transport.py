"""What is known of each transport."""

from __future__ import annotations

from pdns.wire.transport import Transport


def test_properties() -> None:
    """Who proves its address, what is encrypted, where it listens."""
    seen = {one.value: (one.is_stream, one.is_encrypted, one.has_keepalive, one.default_port) for one in Transport}
    assert seen == {
        "udp": (False, False, False, 53),
        "tcp": (True, False, True, 53),
        "tls": (True, True, True, 853),
        "https": (True, True, False, 443),
        "quic": (True, True, False, 853),
        "h3": (True, True, False, 443),
    }
