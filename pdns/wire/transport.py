"""How DNS messages travel."""

from __future__ import annotations

from enum import StrEnum


class Transport(StrEnum):
    """The value is its name in the configuration, in messages between processes, and as a label of metrics."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"  # to upstreams only

    def __init__(self, name: str) -> None:
        self.is_stream = name != "udp"  # then the client's address is proven, and length is bounded by the framing alone
        self.is_encrypted = name == "tls"
        self.upstream_port = 853 if self.is_encrypted else 53  # unless the configuration names another
