"""One configured upstream: where it is, how it does, what it can do. No I/O, no clock."""

from __future__ import annotations

from copy import deepcopy

from pdns.config.upstream_address import parse_upstream
from pdns.upstream.case import CaseMemory
from pdns.upstream.edns import EdnsMemory
from pdns.upstream.health import Health
from pdns.upstream.usefulness import Usefulness


class UpstreamServer:
    """`name` is its configured text."""

    def __init__(self, name: str, *, case_randomisation: bool) -> None:
        self.name = name
        self.address = parse_upstream(name)
        self.takes_datagrams = not self.address.transport.is_stream  # else it is asked over streams only
        self.stream_error = ""  # why the last connection or stream failed, "" once another connection is made
        self.health = Health()
        self.usefulness = Usefulness()
        self.case = CaseMemory(enabled=case_randomisation)
        self.edns = EdnsMemory()

    def remember(self, other: UpstreamServer) -> None:
        """Have found out what `other` has by now, which stands for the same server."""
        self.stream_error = other.stream_error
        self.health, self.usefulness = deepcopy(other.health), deepcopy(other.usefulness)
        self.case, self.edns = deepcopy(other.case), deepcopy(other.edns)
