"""Debian's unbound, BIND and dnsmasq as plain forwarders on loopback: no validation, no root hints, nothing written elsewhere."""

from __future__ import annotations

from pathlib import Path

from tests.integration.realservers import UNBOUND_SERVER, RealServer

_UNBOUND = (
    UNBOUND_SERVER
    + """\
    interface: 127.0.0.1@{port}
    module-config: "iterator"
    num-threads: 1
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{upstream}
"""
)
_NAMED = """\
options {{
    directory "{directory}";
    pid-file none;
    session-keyfile none;
    managed-keys-directory "{directory}";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion yes;
    dnssec-validation no;
    forward only;
    forwarders {{ 127.0.0.1 port {upstream}; }};
    notify no;
}};
controls {{ }};
"""


class Forwarder(RealServer):
    """A server of others in front of the upstream on a port of 127.0.0.1."""

    program = ""

    def __init__(self, directory: Path, upstream: int) -> None:
        super().__init__(self.program, directory, "ready.diff.example.net")
        self._upstream = upstream

    def _write(self, name: str, text: str) -> str:
        path = self._directory / name
        path.write_text(text.format(port=self.port, directory=self._directory, upstream=self._upstream))
        return str(path)


class ForwardingUnbound(Forwarder):
    program = "unbound"

    def _command(self) -> list[str]:
        return ["-d", "-c", self._write("unbound.conf", _UNBOUND)]


class ForwardingNamed(Forwarder):
    program = "named"

    def _command(self) -> list[str]:
        return ["-g", "-n", "1", "-c", self._write("named.conf", _NAMED)]


class ForwardingDnsmasq(Forwarder):
    program = "dnsmasq"

    def _command(self) -> list[str]:
        options = "--keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --listen-address=127.0.0.1 --bind-interfaces"
        return [*options.split(), "--user=", "--pid-file=", f"--port={self.port}", f"--server=127.0.0.1#{self._upstream}"]


PEERS = (ForwardingUnbound, ForwardingNamed, ForwardingDnsmasq)
