"""Whom a client trusts over TLS."""

from __future__ import annotations

import ssl


def client_context(ca_file: str = "") -> ssl.SSLContext:
    """A context that checks names and certificates against `ca_file`, or the system's authorities. Raises `OSError`.

    Python 3.13 refuses authorities without some extensions of RFC 5280, such as keyUsage. Private authorities often lack them,
    and an update of Python must not take an upstream or a feed away.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
