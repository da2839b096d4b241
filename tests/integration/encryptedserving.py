"""The real program behind encrypted listeners, with a certificate of an authority of the test's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from loadtest.loopback import free_port
from tests.certificates import Issued, issue, write_pair
from tests.fakes.upstream import Handler
from tests.integration.running_pdns import RunningPdns, UpstreamThread, feed

NAME: Final = "dns.example"
BLOCKED: Final = "malware.example"
PAGE: Final = "page.example.net"  # leads to this machine


class Encrypted(NamedTuple):
    """A running program, its ports by transport, and the authority that clients are to trust."""

    pdns: RunningPdns
    ports: dict[str, int]
    ca_file: Path
    authority: Issued

    @property
    def doh_url(self) -> str:
        return f"https://127.0.0.1:{self.ports['https']}/dns-query"

    def asked(self, transport: str) -> float:
        """How many queries came in that way."""
        return self.pdns.value("queries_total", transport=transport)


@contextmanager
def encrypted(
    directory: Path,
    transports: Sequence[str] = ("tls", "https"),
    further: Mapping[str, Mapping[str, Any]] | None = None,
    handler: Handler | None = None,
    **sections: Any,
) -> Iterator[Encrypted]:
    """The program with a listener for each of `transports`, with `further` keys by transport and an upstream that is
    `handler`; `sections` are laid over its configuration.
    """
    authority = issue((), authority=True, subject="Authority of the test")
    ca_file = directory / "ca.pem"
    ca_file.write_bytes(authority.cert_pem)
    cert, key = write_pair(directory, issue((NAME, f"*.{NAME}", "127.0.0.1"), issuer=authority))
    ports = {transport: free_port() for transport in transports}
    listeners = [
        {"transport": one, "listen": [f"127.0.0.1:{port}"], "cert_file": str(cert), "key_file": str(key)}
        | dict((further or {}).get(one, {}))
        for one, port in ports.items()
    ]
    with UpstreamThread(handler) as upstream:
        config = {
            "upstream": {"servers": [upstream.address], "timeout_s": 3.0},
            "feed": [feed(directory, "listed", BLOCKED)],
            "record": [{"name": PAGE, "a": ["127.0.0.1"]}],
            "listener": listeners,
            **sections,
        }
        with RunningPdns(directory, config) as pdns:
            yield Encrypted(pdns, ports, ca_file, authority)
