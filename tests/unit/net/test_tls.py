"""Whom a client trusts over TLS."""

from __future__ import annotations

import ssl

from pdns.net.tls import client_context


def test_authorities_without_newer_extensions_keep_working() -> None:
    """Names and certificates are checked; the strict mode that Python 3.13 turns on is off, in any version of Python."""
    context = client_context()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
