"""One configured upstream."""

from __future__ import annotations

import pytest

from pdns.config.value_types import Dnssec
from pdns.upstream.server import UpstreamServer


@pytest.mark.parametrize(
    ("name", "dnssec", "trusted"),
    [
        ("udp://192.0.2.1", "trust-ad", False),
        ("tcp://[2001:db8::1]", "trust-ad", False),
        ("udp://10.0.0.1", "trust-ad", False),
        ("udp://127.0.0.1:5353", "trust-ad", True),
        ("udp://[::1]:5353", "trust-ad", True),
        ("tls://192.0.2.1#dns.example", "trust-ad", True),
        ("tls://192.0.2.1#dns.example", "pass", False),
        ("udp://127.0.0.1", "pass", False),
    ],
)
def test_ad_is_believed_over_a_protected_path(name: str, dnssec: Dnssec, trusted: bool) -> None:
    """Encrypted, or on this machine; and of no upstream that is not expected to validate."""
    server = UpstreamServer(name, case_randomisation=True, dnssec=dnssec)
    assert (server.trusts_ad, server.expects_validation) == (trusted, dnssec == "trust-ad")
