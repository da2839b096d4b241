"""How DNS messages travel."""

from __future__ import annotations

from enum import StrEnum

_PORTS = {"tls": 853, "https": 443, "quic": 853, "h3": 443}


class Transport(StrEnum):
    """The value is its name in the configuration, in messages between processes, and as a label of metrics.

    The order is that of the numbers in kernels (`pdns/fast/stats.pxd`) and in rings.
    """

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"  # RFC 7858
    HTTPS = "https"  # HTTP/2, RFC 8484
    QUIC = "quic"  # RFC 9250
    H3 = "h3"  # HTTP/3, RFC 8484

    def __init__(self, name: str) -> None:
        self.is_stream = name != "udp"  # then the client's address is proven, and length is bounded by the framing alone
        self.is_encrypted = name in _PORTS
        self.has_keepalive = name in ("tcp", "tls")  # RFC 7828; HTTP and QUIC have means of their own (RFC 9250, 5.5.2)
        self.default_port = _PORTS.get(name, 53)
