"""One configured upstream: where it is, how it does, what it can do. No I/O, no clock."""

from __future__ import annotations

import ipaddress
from copy import deepcopy

from pdns.config.upstream_address import UpstreamAddress, parse_upstream
from pdns.config.value_types import Dnssec
from pdns.upstream.case import CaseMemory
from pdns.upstream.edns import EdnsMemory
from pdns.upstream.health import Health
from pdns.upstream.honesty import Honesty
from pdns.upstream.usefulness import Usefulness


class UpstreamServer:
    """`name` is its configured text."""

    def __init__(self, name: str, *, case_randomisation: bool, dnssec: Dnssec = "trust-ad") -> None:
        self.name = name
        self.address = parse_upstream(name)
        self.takes_datagrams = not self.address.transport.is_stream  # else it is asked over streams only
        self.expects_validation = dnssec == "trust-ad"
        self.trusts_ad = self.expects_validation and _is_protected(self.address)  # else its AD flag proves nothing
        self.stream_error = ""  # why the last connection or stream failed, "" once another connection is made
        self.health = Health()
        self.usefulness = Usefulness()
        self.case = CaseMemory(enabled=case_randomisation)
        self.edns = EdnsMemory()
        self.honesty = Honesty()

    def remember(self, other: UpstreamServer) -> None:
        """Have found out what `other` has by now, which stands for the same server."""
        self.stream_error = other.stream_error
        self.health, self.usefulness = deepcopy(other.health), deepcopy(other.usefulness)
        self.case, self.edns = deepcopy(other.case), deepcopy(other.edns)
        self.honesty = deepcopy(other.honesty)


def _is_protected(address: UpstreamAddress) -> bool:
    """Whether no attacker on the way can change what the upstream says: RFC 4035, 4.9.3."""
    return address.transport.is_encrypted or ipaddress.ip_address(address.host).is_loopback
