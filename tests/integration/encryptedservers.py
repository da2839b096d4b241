"""Real servers that answer over DoT, DoH and DoQ. Where one is not installed the test is skipped."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import pytest

from loadtest.loopback import free_port
from tests.integration.loadbalancers import PATIENCE_S
from tests.integration.realservers import UNBOUND_SERVER, RealServer

_TOOLS = Path(__file__).parents[2] / "build/tools"
_UNBOUND = (
    UNBOUND_SERVER
    + """\
    interface: 127.0.0.1@{port}
    interface: 127.0.0.1@{https_port}
    interface: 127.0.0.1@{tls_port}
    https-port: {https_port}
    tls-port: {tls_port}
    tls-service-pem: "{cert}"
    tls-service-key: "{key}"
    local-zone: "example." redirect
    local-data: "example. A 192.0.2.7"
remote-control:
    control-enable: no
"""
)
_DNSDIST = """\
setSecurityPollSuffix("")
setACL({{"127.0.0.0/8"}})
setLocal("127.0.0.1:{port}")
addDOHLocal("127.0.0.1:{https_port}", "{cert}", "{key}", "/dns-query")
addTLSLocal("127.0.0.1:{tls_port}", "{cert}", "{key}")
addAction(AllRule(), SpoofAction("192.0.2.7"))
"""


class EncryptedServer(RealServer):
    """A server of one certificate, which has 192.0.2.7 for every name below `example`."""

    def __init__(self, name: str, directory: Path, pair: tuple[Path, Path]) -> None:
        super().__init__(name, directory)
        self._pair = pair
        self.tls_port, self.https_port, self.quic_port = free_port(), free_port(), 0

    def _answers(self) -> bool:
        assert self._process is not None
        until_s = time.monotonic() + PATIENCE_S
        while self._process.poll() is None and time.monotonic() < until_s:
            with contextlib.suppress(OSError):
                for port in (self.tls_port, self.https_port):
                    socket.create_connection(("127.0.0.1", port)).close()
                return True
            time.sleep(0.02)
        return False

    def _filled(self, template: str) -> str:
        cert, key = self._pair
        return template.format(
            directory=self._directory, port=self.port, tls_port=self.tls_port, https_port=self.https_port, cert=cert, key=key
        )


class EncryptedUnbound(EncryptedServer):
    """An `unbound` with DoT and DoH."""

    def __init__(self, directory: Path, pair: tuple[Path, Path]) -> None:
        super().__init__("unbound", directory, pair)

    def _command(self) -> list[str]:
        path = self._directory / "unbound.conf"
        path.write_text(self._filled(_UNBOUND))
        return ["-d", "-c", str(path)]


class EncryptedDnsdist(EncryptedServer):
    """A `dnsdist` with DoT and DoH."""

    def __init__(self, directory: Path, pair: tuple[Path, Path]) -> None:
        super().__init__("dnsdist", directory, pair)

    def _command(self) -> list[str]:
        path = self._directory / "dnsdist.conf"
        path.write_text(self._filled(_DNSDIST))
        return ["--supervised", "--disable-syslog", "-C", str(path)]


class Dnsproxy(EncryptedServer):
    """AdGuard's `dnsproxy` with DoT, DoH and DoQ, which asks the port `forward_to`."""

    def __init__(self, directory: Path, pair: tuple[Path, Path], forward_to: int) -> None:
        path = _TOOLS / "dnsproxy"
        if not path.exists():
            pytest.skip("needs dnsproxy: tests/install-go-tools")
        super().__init__(str(path), directory, pair)
        self._forward_to = forward_to
        self.quic_port = free_port()

    def _command(self) -> list[str]:
        cert, key = self._pair
        return [
            "--listen=127.0.0.1", f"--port={self.port}", f"--tls-port={self.tls_port}", f"--https-port={self.https_port}",
            f"--quic-port={self.quic_port}", f"--tls-crt={cert}", f"--tls-key={key}", f"--upstream=127.0.0.1:{self._forward_to}",
        ]  # fmt: skip
